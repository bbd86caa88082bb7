//! Until when the session certainly lives: what a client may rely on while it hears nothing.
//!
//! Servers count the session timeout from when a request reaches them. That was not before it was
//! sent; so an answer proves that the session lives until a timeout after its request was *sent*,
//! however late the answer came.
//!
//! It does not prove it of a server that is cut off from its leader and has not noticed that yet,
//! for at most `syncLimit` ticks: such a one answers as if nothing were wrong.

use std::collections::VecDeque;
use std::time::Duration;

/// The newest request that a server with a quorum has answered.
#[derive(Default)]
pub(super) struct Proof {
    /// When the connect request was sent.
    connect: Duration,
    /// When the pings without an answer were sent, the oldest first.
    pings: VecDeque<Duration>,
    /// A ping waits to be sent.
    is_ping_queued: bool,
    /// When the newest answered request was sent.
    latest: Option<Duration>,
}

impl Proof {
    /// A ping was put before the bytes that are sent next.
    pub(super) fn ping_queued(&mut self) {
        self.is_ping_queued = true;
    }

    /// Bytes are sent, of which a connect request is the first on its connection.
    pub(super) fn sent(&mut self, now: Duration, is_connect: bool) {
        if is_connect {
            self.connect = now;
        }
        if self.is_ping_queued {
            self.is_ping_queued = false;
            self.pings.push_back(now);
        }
    }

    /// The connect request was answered.
    pub(super) fn connected(&mut self) {
        self.answered(self.connect);
    }

    /// A ping was answered. Nothing to say about a server without a quorum: see
    /// [`Self::answered`].
    pub(super) fn pong(&mut self, is_quorum: bool) {
        if let Some(sent) = self.pings.pop_front()
            && is_quorum
        {
            self.answered(sent);
        }
    }

    /// A request was answered by a server that has a quorum; one that has none keeps no session.
    pub(super) fn answered(&mut self, sent: Duration) {
        self.latest = self.latest.max(Some(sent));
    }

    /// The connection is gone, and answers with it.
    pub(super) fn disconnected(&mut self) {
        self.pings.clear();
        self.is_ping_queued = false;
    }

    /// Until when the session certainly lives; `None` before a server had it.
    ///
    /// A quarter of the timeout is not counted: servers tell each other every half tick which
    /// sessions they have heard of, and one that fails takes the last half with it; the shortest
    /// timeout is two ticks.
    pub(super) fn certain_until(&self, timeout: Duration) -> Option<Duration> {
        self.latest.map(|latest| latest + timeout * 3 / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_proves_as_much_as_its_request_is_young() {
        let mut proof = Proof::default();
        assert_eq!(proof.certain_until(s(12)), None);
        proof.sent(s(1), true);
        proof.sent(s(2), false);
        proof.connected();
        assert_eq!(proof.certain_until(s(12)), Some(s(10)));
        for at in [4, 6] {
            proof.ping_queued();
            proof.sent(s(at), false);
        }
        proof.pong(true);
        assert_eq!(proof.certain_until(s(12)), Some(s(13)));
        // An older request's answer takes nothing away.
        proof.answered(s(3));
        assert_eq!(proof.certain_until(s(12)), Some(s(13)));
        proof.disconnected();
        proof.pong(true);
        assert_eq!(proof.certain_until(s(12)), Some(s(13)));
        // A server without a quorum proves nothing.
        proof.ping_queued();
        proof.sent(s(8), false);
        proof.pong(false);
        assert_eq!(proof.certain_until(s(12)), Some(s(13)));
    }
}
