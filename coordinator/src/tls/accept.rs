//! Accepts connections and makes them TLS, each in a task of its own with a deadline, so that one
//! that says nothing holds up nobody. What comes out is TLS and nothing else: clients that speak
//! plaintext are told so and sent away.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::plaintext;

/// So many connections may be in the middle of a handshake; others wait in the backlog.
const HANDSHAKES: usize = 256;

/// How long a handshake may take, and as long again its first byte.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause after the system could not accept, because it is out of descriptors for example.
const PAUSE: Duration = Duration::from_millis(100);

/// The first byte of every TLS connection: a record that belongs to a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

type Connection = io::Result<TlsStream<TcpStream>>;

/// The connections to `listener` that speak TLS, until `stop`.
pub(crate) fn incoming(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    stop: CancellationToken,
) -> impl Stream<Item = Connection> + Send {
    let (ready, connections) = mpsc::channel(HANDSHAKES);
    tokio::spawn(async move {
        stop.run_until_cancelled(accept(listener, TlsAcceptor::from(config), ready)).await
    });
    ReceiverStream::new(connections)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<Connection>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    // It is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (acceptor, ready) = (acceptor.clone(), ready.clone());
                tokio::spawn(async move {
                    greet(stream, acceptor, ready).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Looks at what a client says first, and hands it on if it speaks TLS.
async fn greet(stream: TcpStream, acceptor: TlsAcceptor, ready: mpsc::Sender<Connection>) {
    let mut first = [0];
    let Ok(Ok(1)) = timeout(PATIENCE, stream.peek(&mut first)).await else { return };
    if first != [TLS_HANDSHAKE] {
        return plaintext::refuse(stream).await;
    }
    // Calls are short; waiting to fill packets would only delay them.
    let _ = stream.set_nodelay(true);
    match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            // While it stops nobody takes them.
            let _ = ready.send(Ok(stream)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}
