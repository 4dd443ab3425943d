//! A connection that closes itself if none of its calls is admitted in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::ConnectionHandle;
use super::table::ConnectionPermit;

/// A connection with its permit and its deadline.
pub(crate) struct LimitedConnection<S> {
    inner: S,
    permit: ConnectionPermit,
    /// The deadline; none once a call was admitted.
    limits: Option<AdmissionLimits>,
}

struct AdmissionLimits {
    deadline: Pin<Box<Sleep>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> LimitedConnection<S> {
    /// Wraps a connection of which a call must be admitted before `deadline`.
    pub(super) fn new(inner: S, permit: ConnectionPermit, deadline: Instant) -> Self {
        let limits = AdmissionLimits {
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            closing: Box::pin(permit.handle().closing().clone().cancelled_owned()),
        };
        Self { inner, permit, limits: Some(limits) }
    }

    /// Fails if the connection is unauthenticated and must close.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(limits) = &mut self.limits else { return Ok(()) };
        if self.permit.handle().is_authenticated() {
            self.limits = None;
            return Ok(());
        }
        let is_late = limits.deadline.as_mut().poll(context).is_ready();
        if is_late || limits.closing.as_mut().poll(context).is_ready() {
            tracing::debug!(is_late, "closed a connection that showed no token");
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl<S> Connected for LimitedConnection<S> {
    type ConnectInfo = ConnectionHandle;

    fn connect_info(&self) -> ConnectionHandle {
        self.permit.handle().clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LimitedConnection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LimitedConnection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }
}
