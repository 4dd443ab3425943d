//! A connection that ends by itself if none of its calls is admitted in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::Visitor;
use super::visitors::Seat;

/// A connection with its place.
pub(crate) struct Guest<S> {
    inner: S,
    seat: Seat,
    /// Ends a stranger; gone as soon as it is known.
    limits: Option<Limits>,
}

struct Limits {
    deadline: Pin<Box<Sleep>>,
    sent_away: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Guest<S> {
    /// A connection of which a call must be admitted before `deadline`.
    pub(super) fn new(inner: S, seat: Seat, deadline: Instant) -> Self {
        let limits = Limits {
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            sent_away: Box::pin(seat.visitor().sent_away().clone().cancelled_owned()),
        };
        Self { inner, seat, limits: Some(limits) }
    }

    /// Fails once the time of a stranger is over.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(limits) = &mut self.limits else { return Ok(()) };
        if self.seat.visitor().is_known() {
            self.limits = None;
            return Ok(());
        }
        let is_late = limits.deadline.as_mut().poll(context).is_ready();
        if is_late || limits.sent_away.as_mut().poll(context).is_ready() {
            tracing::debug!(is_late, "closed a connection that showed no token");
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl<S> Connected for Guest<S> {
    type ConnectInfo = Visitor;

    fn connect_info(&self) -> Visitor {
        self.seat.visitor().clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guest<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guest<S> {
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
