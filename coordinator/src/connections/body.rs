//! Bounds of a request body, checked as it arrives: the size of each message by its method, the
//! time of its arrival, and the memory of all large messages together.
//!
//! tonic allocates the length that a message's prefix claims, and has one limit for all methods of
//! a service. The first is too late and the second too coarse for requests from anywhere.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use rheo_proto::refusal::{self, Reason};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

/// Memory of the large messages of all requests together, in bytes.
const MEMORY: usize = 256 << 20;

/// The largest message that does not wait for memory, in bytes.
const SMALL: usize = 64 << 10;

/// Bytes per permit of the semaphore.
const UNIT: usize = 1 << 10;

/// Bytes of the prefix of a message: a compression flag and the length.
const PREFIX: usize = 5;

/// The bounds shared by all requests to one server; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct RequestBounds {
    memory: Arc<Semaphore>,
    timeout: Duration,
}

impl RequestBounds {
    /// Creates bounds under which each message must arrive in full within `timeout`.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { memory: Arc::new(Semaphore::new(MEMORY / UNIT)), timeout }
    }
}

/// The memory permit of one request. The body acquires it; the reply releases it.
pub(crate) type MemoryShare = Arc<Mutex<Option<OwnedSemaphorePermit>>>;

type PermitFuture =
    Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + 'static>>;

/// A body that fails as soon as a message exceeds its size or its time.
pub(crate) struct BoundedBody {
    inner: Body,
    max_message: usize,
    bounds: RequestBounds,
    share: MemoryShare,
    /// Received bytes of an incomplete prefix.
    prefix: Vec<u8>,
    /// Bytes of the current message that are still to come.
    left: usize,
    /// Received data that wait for memory.
    delayed: Option<(Bytes, PermitFuture)>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl BoundedBody {
    /// Wraps `inner`, whose messages may have `max_message` bytes; also returns the memory share.
    pub(crate) fn new(
        inner: Body,
        max_message: usize,
        bounds: RequestBounds,
    ) -> (Self, MemoryShare) {
        let share = MemoryShare::default();
        let body = Self {
            inner,
            max_message,
            bounds,
            share: Arc::clone(&share),
            prefix: Vec::with_capacity(PREFIX),
            left: 0,
            delayed: None,
            deadline: None,
        };
        (body, share)
    }

    /// Tracks message boundaries in `data`; returns the length of a large message that begins
    /// there.
    fn track(&mut self, mut data: &[u8]) -> Result<Option<usize>, Status> {
        let mut large = None;
        while !data.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(data.len());
                self.left -= taken;
                data = &data[taken..];
                if self.left == 0 {
                    self.deadline = None;
                }
                continue;
            }
            let taken = (PREFIX - self.prefix.len()).min(data.len());
            self.prefix.extend_from_slice(&data[..taken]);
            data = &data[taken..];
            let Some((_, length)) = self.prefix.split_first_chunk::<1>() else { break };
            let Ok(length) = <[u8; 4]>::try_from(length) else { break };
            self.prefix.clear();
            self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if self.left > self.max_message {
                let (length, max_message) = (self.left, self.max_message);
                let text = format!(
                    "field `message` cannot be used: {length} bytes, at most {max_message} are accepted by this method"
                );
                return Err(refusal::status(&Reason::InvalidArgument, text, None));
            }
            if self.left > SMALL {
                large = Some(self.left);
            }
        }
        Ok(large)
    }

    fn set_share(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.share.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }

    /// Fails if the next message is late.
    fn check_time(&mut self, context: &mut Context<'_>) -> Result<(), Status> {
        let timeout = self.bounds.timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        if deadline.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        let text = format!("the request did not arrive within {} s", timeout.as_secs_f64());
        Err(Status::deadline_exceeded(text))
    }
}

impl HttpBody for BoundedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if let Some((data, acquiring)) = &mut this.delayed {
                let permit = ready!(acquiring.as_mut().poll(context));
                let data = std::mem::take(data);
                this.delayed = None;
                // The server caused this wait.
                this.deadline = None;
                // The semaphore is never closed.
                this.set_share(permit.ok());
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
                return match this.check_time(context) {
                    Ok(()) => Poll::Pending,
                    Err(late) => Poll::Ready(Some(Err(late))),
                };
            };
            let Some(frame) = frame else { return Poll::Ready(None) };
            let data = match frame.map(Frame::into_data) {
                Ok(Ok(data)) => data,
                Ok(Err(other)) => return Poll::Ready(Some(Ok(other))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            match this.track(&data) {
                Err(refused) => return Poll::Ready(Some(Err(refused))),
                Ok(None) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Some(length)) => {
                    // Released before the wait, or two such requests could wait for each other.
                    this.set_share(None);
                    let units = u32::try_from(length.div_ceil(UNIT)).unwrap_or(u32::MAX);
                    let acquiring = Arc::clone(&this.bounds.memory).acquire_many_owned(units);
                    this.delayed = Some((data, Box::pin(acquiring)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.delayed.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
    use tokio::time::Instant;

    use super::*;

    /// The timeout of a message in these tests.
    const TIMEOUT: Duration = Duration::from_millis(400);

    fn body(max_message: usize) -> BoundedBody {
        BoundedBody::new(Body::empty(), max_message, RequestBounds::new(Duration::from_mins(1))).0
    }

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.resize(PREFIX + length as usize, 7);
        bytes
    }

    #[test]
    fn messages_are_tracked_across_any_chunks() {
        let stream = [message(3), message(0), message(9)].concat();
        for size in 1..stream.len() {
            let mut body = body(9);
            for piece in stream.chunks(size) {
                assert_eq!(body.track(piece).unwrap(), None);
            }
            assert_eq!((body.left, body.prefix.len()), (0, 0));
        }
    }

    #[test]
    fn too_large_a_message_is_refused_by_its_prefix() {
        let prefix = &message(10)[..PREFIX];
        assert!(body(10).track(prefix).is_ok());
        let refused = body(9).track(prefix).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains("10 bytes, at most 9"), "{}", refused.message());
    }

    #[test]
    fn a_large_message_asks_for_memory() {
        let large = u32::try_from(SMALL).unwrap() + 1;
        assert_eq!(body(1 << 20).track(&message(large)).unwrap(), Some(SMALL + 1));
    }

    /// A body of pieces.
    struct PieceBody(BoxStream<'static, Vec<u8>>);

    impl HttpBody for PieceBody {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let piece = self.0.poll_next_unpin(context);
            piece.map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from(piece)))))
        }
    }

    /// Returns a stream of pieces, each after a pause.
    fn pieces(pieces: Vec<Vec<u8>>, pause: Duration) -> impl Stream<Item = Vec<u8>> + Send {
        stream::iter(pieces).then(move |piece| async move {
            tokio::time::sleep(pause).await;
            piece
        })
    }

    /// Reads a body to its end; returns the time that took.
    async fn read(
        pieces: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> (Result<(), Status>, Duration) {
        let inner = Body::new(PieceBody(pieces.boxed()));
        let (mut body, _share) = BoundedBody::new(inner, 1 << 20, RequestBounds::new(TIMEOUT));
        let began = Instant::now();
        let next = async |body: &mut BoundedBody| {
            std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
        };
        loop {
            match next(&mut body).await {
                Some(Ok(_)) => {}
                Some(Err(refused)) => return (Err(refused), began.elapsed()),
                None => return (Ok(()), began.elapsed()),
            }
        }
    }

    #[tokio::test]
    async fn a_stalled_or_slow_message_is_refused_after_its_timeout() {
        let stopped = stream::iter([message(10)[..8].to_vec()]).chain(stream::pending());
        let drip = message(1000).into_iter().map(|byte| vec![byte]).collect();
        let silent = stream::pending();
        let dripping = pieces(drip, TIMEOUT / 20);
        for slow in [stopped.boxed(), dripping.boxed(), silent.boxed()] {
            let (read, took) = read(slow).await;
            let refused = read.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::DeadlineExceeded);
            assert_eq!(refused.message(), "the request did not arrive within 0.4 s");
            assert!(took >= TIMEOUT, "{took:?}");
        }
    }

    #[tokio::test]
    async fn each_message_of_a_stream_has_its_own_timeout() {
        let messages = (0..20).map(|_| message(10)).collect();
        let (read, took) = read(pieces(messages, TIMEOUT / 10)).await;
        read.unwrap();
        assert!(took > TIMEOUT, "{took:?}");
    }
}
