//! Accepts connections and performs TLS handshakes, each in its own task with a deadline, so that a
//! silent client delays nobody. Plaintext clients of a TLS port get an error and are closed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::stream::LimitedConnection;
use super::table::ConnectionPermit;
use super::{ConnectionTable, OpenFiles};
use crate::tls::plaintext;

/// The time that a connection has until one of its calls is admitted.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepted connections that may wait for the server.
const READY_QUEUE: usize = 256;

/// The first and the longest pause after a failure to accept.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The time without failures before recovery is logged, and the time between two logs of a failure.
const LOG_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The first byte of every TLS connection: a record that belongs to a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// A plaintext or TLS connection.
pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

type IncomingConnection = io::Result<LimitedConnection<Transport>>;

/// Returns the connections to `listener` until `stop`, over TLS if there is a configuration for it.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    files: OpenFiles,
    stop: CancellationToken,
) -> impl Stream<Item = IncomingConnection> + Send {
    let (ready, connections) = mpsc::channel(READY_QUEUE);
    let acceptor = tls.map(TlsAcceptor::from);
    tokio::spawn(async move {
        stop.run_until_cancelled(accept(listener, acceptor, files, ready)).await
    });
    ReceiverStream::new(connections)
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    files: OpenFiles,
    ready: mpsc::Sender<IncomingConnection>,
) {
    let table = ConnectionTable::new(files);
    let mut monitor =
        AcceptMonitor { files, pause: None, failed: None, logged: None, is_full: false };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                monitor.on_accept(&table);
                let Some(permit) = table.register(peer.ip()) else {
                    monitor.on_full(&table);
                    continue;
                };
                let (acceptor, ready) = (acceptor.clone(), ready.clone());
                tokio::spawn(async move {
                    let closing = permit.handle().closing().clone();
                    closing.run_until_cancelled(handshake(stream, permit, acceptor, ready)).await
                });
            }
            Err(error) => monitor.on_error(&error, &table).await,
        }
    }
}

/// Logs failures to accept connections, and the recovery.
struct AcceptMonitor {
    files: OpenFiles,
    /// The last pause; none after a connection was accepted.
    pause: Option<Duration>,
    /// The time of the last failure; none after the recovery.
    failed: Option<Instant>,
    /// The time of the last log.
    logged: Option<Instant>,
    is_full: bool,
}

impl AcceptMonitor {
    /// Logs the error, closes the oldest unauthenticated connection, and pauses.
    async fn on_error(&mut self, error: &io::Error, table: &ConnectionTable) {
        let now = Instant::now();
        self.failed = Some(now);
        if self.logged.is_none_or(|logged| now - logged > LOG_PAUSES.1) {
            self.logged = Some(now);
            let (limit, open) = (self.files.0, table.open_count());
            match Errno::from_io_error(error) {
                Some(Errno::MFILE) => tracing::error!(
                    "out of file descriptors: {open} connections are open and the limit of open files is {limit}; new connections wait. Raise the limit (`ulimit -n`)"
                ),
                Some(Errno::NFILE) => tracing::error!(
                    "this machine is out of file descriptors (fs.file-max): new connections wait"
                ),
                _ => tracing::error!(%error, "cannot accept connections"),
            }
        }
        table.close_oldest();
        let pause = self.pause.map_or(RETRY_PAUSES.0, |pause| (pause * 2).min(RETRY_PAUSES.1));
        self.pause = Some(pause);
        tokio::time::sleep(pause).await;
    }

    fn on_accept(&mut self, table: &ConnectionTable) {
        self.pause = None;
        // Closing one connection makes room for one; that alone is no recovery.
        if self.failed.is_some_and(|failed| failed.elapsed() > LOG_PAUSES.0) {
            // `logged` stays: during a flood the same failure returns soon.
            self.failed = None;
            tracing::info!(open = table.open_count(), "connections are accepted again");
        }
    }

    fn on_full(&mut self, table: &ConnectionTable) {
        if !std::mem::replace(&mut self.is_full, true) {
            let (limit, open) = (self.files.0, table.open_count());
            tracing::error!(
                "{open} connections are open, the most that the limit of {limit} open files allows: further ones are closed. Raise the limit (`ulimit -n`)"
            );
        }
    }
}

/// Performs the TLS handshake and hands the connection to the server.
async fn handshake(
    stream: TcpStream,
    permit: ConnectionPermit,
    acceptor: Option<TlsAcceptor>,
    ready: mpsc::Sender<IncomingConnection>,
) {
    let deadline = Instant::now() + ADMISSION_TIMEOUT;
    // Calls are short, and waiting for full packets would delay them.
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    let Ok(Ok(1)) = timeout_at(deadline, stream.peek(&mut first)).await else { return };
    let transport = match acceptor {
        None => Transport::Plain(stream),
        Some(_) if first != [TLS_HANDSHAKE] => return plaintext::refuse(stream).await,
        Some(acceptor) => match timeout_at(deadline, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Transport::Tls(Box::new(stream)),
            Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
            Err(_) => return tracing::debug!("a handshake took too long"),
        },
    };
    // The server takes no connections while it stops.
    let _ = ready.send(Ok(LimitedConnection::new(transport, permit, deadline))).await;
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
