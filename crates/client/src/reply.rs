//! The answer to an operation, as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ostler_wire::jute::{DecodeError, Reader};
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// What stands behind the header of a server's answer, undecoded, or why there is none.
pub(crate) type Answer = Result<Vec<u8>>;

type Decode<T> = Box<dyn FnOnce(Answer) -> Result<T> + Send>;

/// The answer to an operation.
///
/// The operation was queued when the method was called: operations reach the server in the order of
/// the calls, whether or not their replies are awaited, and in whatever order. Dropping a reply
/// does not take the operation back.
///
/// ```no_run
/// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
/// // Three operations on their way at once, done in this order.
/// let first = client.set("/a", "1", None);
/// let second = client.set("/a", "2", None);
/// let (data, _) = client.get("/a").await?;
/// assert_eq!(data, b"2");
/// (first.await?, second.await?);
/// # Ok(())
/// # }
/// ```
#[must_use = "without awaiting it nobody knows whether the operation succeeded"]
pub struct Reply<T> {
    inner: Inner<T>,
}

enum Inner<T> {
    Refused(Error),
    Coming { receiver: oneshot::Receiver<Answer>, decode: Decode<T> },
    Done,
}

// Nothing in it is ever pinned; what the decoder holds is moved.
impl<T> Unpin for Reply<T> {}

impl<T> Reply<T> {
    pub(crate) fn refused(error: Error) -> Self {
        Self { inner: Inner::Refused(error) }
    }

    /// An answer that `decode` turns into what the caller wants.
    pub(crate) fn coming(
        receiver: Result<oneshot::Receiver<Answer>>,
        decode: impl FnOnce(Answer) -> Result<T> + Send + 'static,
    ) -> Self {
        match receiver {
            Ok(receiver) => Self { inner: Inner::Coming { receiver, decode: Box::new(decode) } },
            Err(error) => Self::refused(error),
        }
    }

    /// The same for answers whose body alone matters.
    pub(crate) fn reading(
        receiver: Result<oneshot::Receiver<Answer>>,
        read: impl FnOnce(&mut Reader<'_>) -> core::result::Result<T, DecodeError> + Send + 'static,
    ) -> Self {
        Self::coming(receiver, |answer| decoded(&answer?, read))
    }
}

/// Reads a body whole.
pub(crate) fn decoded<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> core::result::Result<T, DecodeError>,
) -> Result<T> {
    read(&mut Reader::new(bytes)).map_err(Error::bad_answer)
}

impl<T> Future for Reply<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let answer = match &mut self.inner {
            Inner::Coming { receiver, .. } => {
                // Without a word only a client that is torn down leaves its callers.
                ready!(Pin::new(receiver).poll(cx)).unwrap_or(Err(Error::Closed))
            }
            Inner::Refused(_) | Inner::Done => Err(Error::Closed),
        };
        match core::mem::replace(&mut self.inner, Inner::Done) {
            Inner::Refused(error) => Poll::Ready(Err(error)),
            Inner::Coming { decode, .. } => Poll::Ready(decode(answer)),
            Inner::Done => panic!("a reply is awaited once"),
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.inner {
            Inner::Refused(_) => "Reply(refused)",
            Inner::Coming { .. } => "Reply(coming)",
            Inner::Done => "Reply(done)",
        })
    }
}
