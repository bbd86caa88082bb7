//! Who may not go on: large requests when there are too many, and requests that waited too long.
//!
//! Both are refused before anything was done for them. What merely has to wait is not here: that
//! is what `frames` and the bounds of a connection are for.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use ostler_wire::frame;
use ostler_wire::op::OpCode;

use super::conn::Conn;
use crate::clock::Clock;
use crate::limits::Settings;

/// The large frames in progress in the whole server: a count that its shards share.
///
/// A frame counts from when it was taken until it is answered or its connection is gone. What can
/// be answered at once never counts. Of frames that shards take at the same moment each is
/// counted, so that the bound holds exactly.
// Java: ZooKeeperServer.checkRequestSizeWhenReceivingMessage.
#[derive(Clone, Debug)]
pub struct LargeRequests {
    threshold_bytes: Option<usize>,
    max_bytes: usize,
    in_progress_bytes: Arc<AtomicUsize>,
}

impl LargeRequests {
    /// A count of nothing.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            threshold_bytes: settings.large_request_threshold_bytes,
            max_bytes: settings.large_requests_max_bytes,
            in_progress_bytes: Arc::default(),
        }
    }

    /// Whether the frame that `bytes` begins with, as far as its length is there, may be taken.
    pub(super) fn have_room(&self, bytes: &[u8]) -> bool {
        if self.threshold_bytes.is_none() {
            return true;
        }
        let Some(prefix) = bytes.first_chunk::<{ frame::PREFIX_BYTES }>() else { return true };
        let length = usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(0);
        let in_progress = self.in_progress_bytes.load(Ordering::Relaxed);
        !self.is_large(length) || self.fits(in_progress, length).is_some()
    }

    /// Counts a frame of this length if it is large; an error if there is no room for it.
    pub(super) fn admit(&self, length: usize) -> Result<Option<LargeRequest>, TooMuch> {
        if !self.is_large(length) {
            return Ok(None);
        }
        let add = |in_progress| self.fits(in_progress, length);
        match self.in_progress_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(Some(LargeRequest {
                in_progress_bytes: Arc::clone(&self.in_progress_bytes),
                length,
            })),
            Err(_) => Err(TooMuch),
        }
    }

    fn is_large(&self, length: usize) -> bool {
        self.threshold_bytes.is_some_and(|threshold| length > threshold)
    }

    fn fits(&self, in_progress: usize, length: usize) -> Option<usize> {
        in_progress.checked_add(length).filter(|sum| *sum <= self.max_bytes)
    }
}

/// There are too many large requests in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooMuch;

/// One large frame in progress; no longer when dropped.
#[derive(Debug)]
pub(super) struct LargeRequest {
    in_progress_bytes: Arc<AtomicUsize>,
    length: usize,
}

impl Drop for LargeRequest {
    fn drop(&mut self) {
        self.in_progress_bytes.fetch_sub(self.length, Ordering::Relaxed);
    }
}

/// What becomes of a request that was held back while too much was in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is carried out.
    Take,
    /// It is answered with an error, in its turn.
    Throttle,
    /// Its connection is closed.
    Drop,
}

/// Judges the oldest request of a connection by how long it was held back.
// Java: RequestThrottler, and ZooKeeperServer.shouldThrottleOp.
pub(super) fn judge(settings: &Settings, at: Clock, conn: &Conn, op: Option<OpCode>) -> Verdict {
    let Some(since) = conn.held_since else { return Verdict::Take };
    let waited_ms = at.now.millis_since(since);
    let session_timeout_ms = u64::try_from(conn.timeout_ms).unwrap_or(0);
    if settings.drop_stale && waited_ms > session_timeout_ms {
        return Verdict::Drop;
    }
    // An unknown operation gets the answer that it always gets.
    let may_be_refused =
        !matches!(op, None | Some(OpCode::Ping | OpCode::CreateSession | OpCode::CloseSession));
    let limit_ms = settings.throttled_op_wait_ms;
    if limit_ms > 0 && waited_ms > limit_ms && may_be_refused {
        return Verdict::Throttle;
    }
    Verdict::Take
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large_requests() -> LargeRequests {
        LargeRequests::new(&Settings {
            large_request_threshold_bytes: Some(10),
            large_requests_max_bytes: 25,
            ..Settings::default()
        })
    }

    #[test]
    fn large_frames_count_until_they_are_dropped() {
        let large = large_requests();
        let of_another_shard = large.clone();
        assert!(large.admit(10).unwrap().is_none(), "not large");
        let first = large.admit(11).unwrap();
        let second = of_another_shard.admit(14).unwrap();
        assert_eq!(large.admit(11).unwrap_err(), TooMuch);
        assert!(large.admit(10).unwrap().is_none(), "small ones always have room");
        drop(first);
        assert_eq!(large.admit(12).unwrap_err(), TooMuch);
        let third = large.admit(11).unwrap();
        drop((second, third));
        assert_eq!(large.admit(26).unwrap_err(), TooMuch);
        assert!(large.admit(25).unwrap().is_some());
    }

    #[test]
    fn a_frame_is_refused_by_its_length_alone() {
        let large = large_requests();
        let _taken = large.admit(20);
        for (bytes, room) in [
            (&[][..], true),
            (&[0, 0, 0], true),
            (&[0, 0, 0, 10], true),
            (&[0, 0, 0, 11], false),
            (&[0, 0, 0, 11, 1, 2, 3], false),
            (&[0xff; 4], true),
        ] {
            assert_eq!(large.have_room(bytes), room, "{bytes:?}");
        }
        let off = LargeRequests::new(&Settings::default());
        assert!(off.have_room(&[0x7f, 0xff, 0xff, 0xff]));
    }
}
