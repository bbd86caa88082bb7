//! Who keeps a connection when two servers dial each other for an election.
//!
//! There is one connection between two servers, and it is the one that the larger id dialled. The
//! smaller one may dial too: it says who it is, hangs up, and is dialled back. Both sides decide
//! alone, by the two ids, so no message about it is needed.
//!
//! Not here: what is said on the connection ([`ostler_wire::vote`]), and the sockets.

use ostler_wire::ids::Sid;

/// What becomes of a connection whose other end is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It stays, in place of any older one to the same server, which is closed.
    Keep,
    /// It is closed, and so is any older one to the same server; then this server dials, at the
    /// address that the other end named.
    DialBack,
    /// It is closed, and nothing else changes.
    Close,
}

/// For the dialler, as soon as it has said who it is (and proved it): a larger id will dial back.
///
/// [`Verdict::DialBack`] is never the answer here.
// Java: QuorumCnxManager.startConnection.
#[must_use]
pub fn dialled(me: Sid, peer: Sid) -> Verdict {
    if peer < me && peer.0 >= 0 { Verdict::Keep } else { Verdict::Close }
}

/// For the one who was dialled, as soon as the dialler has said who it is (and proved it).
///
/// A server that claims this server's own id is misconfigured and can be no partner. Ids below 0
/// and the largest one are those of observers without an id: nobody can dial them back, and the
/// connection that they dialled may not stay, so they are turned away.
// Java: QuorumCnxManager.handleConnection, which closes those too, but tries to dial them.
#[must_use]
pub fn accepted(me: Sid, peer: Sid) -> Verdict {
    if peer.0 < 0 || peer == NO_ID || peer == me {
        Verdict::Close
    } else if peer < me {
        Verdict::DialBack
    } else {
        Verdict::Keep
    }
}

/// What an observer without an id says for its id.
// Java: QuorumPeer.OBSERVER_ID.
const NO_ID: Sid = Sid(i64::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_connection_that_the_larger_id_dialled_stays() {
        for a in 0..5 {
            for b in 0..5 {
                let (a, b) = (Sid(a), Sid(b));
                let kept_by_both =
                    dialled(a, b) == Verdict::Keep && accepted(b, a) == Verdict::Keep;
                let closed_by_both =
                    dialled(a, b) == Verdict::Close && accepted(b, a) != Verdict::Keep;
                assert_eq!(kept_by_both, a > b);
                assert_eq!(closed_by_both, a <= b);
            }
        }
    }

    #[test]
    fn the_smaller_id_is_dialled_back() {
        assert_eq!(accepted(Sid(3), Sid(1)), Verdict::DialBack);
        assert_eq!(accepted(Sid(3), Sid(0)), Verdict::DialBack);
        assert_eq!(accepted(Sid(1), Sid(3)), Verdict::Keep);
    }

    #[test]
    fn who_cannot_be_dialled_back_is_turned_away() {
        for peer in [Sid(-1), Sid(-2), Sid(i64::MIN), Sid(i64::MAX)] {
            assert_eq!(accepted(Sid(3), peer), Verdict::Close);
            assert_eq!(dialled(Sid(3), peer), Verdict::Close);
        }
    }

    #[test]
    fn a_server_is_no_partner_of_itself() {
        assert_eq!(accepted(Sid(3), Sid(3)), Verdict::Close);
        assert_eq!(dialled(Sid(3), Sid(3)), Verdict::Close);
    }
}
