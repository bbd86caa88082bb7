//! Owners: through which server a session is being used, as its leader sees it.
//!
//! A client that loses its connection may be quicker with its new server than its last request
//! was on the way through the old one. Such a request comes from one who no longer owns the
//! session, and is refused. Only the leader knows, and a new leader knows of nobody: the first
//! who uses a session owns it.
// Java: SessionTrackerImpl.checkSession.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ostler_wire::ids::SessionId;
use ostler_zab::LinkId;

/// Who uses a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// A client of this server.
    Here,
    /// A client of the learner at the other end.
    Learner(LinkId),
}

/// The owners of all sessions that have one.
#[derive(Debug, Default)]
pub(super) struct Owners {
    of: HashMap<SessionId, Owner, FixedState>,
}

impl Owners {
    /// Gives a session to the one with whom it was opened or taken up again.
    pub(super) fn set(&mut self, session: SessionId, owner: Owner) {
        self.of.insert(session, owner);
    }

    /// Whether a session may be used by `owner`, who has it from now on if nobody had. A learner
    /// that is not there any more has nothing.
    pub(super) fn allows(
        &mut self,
        session: SessionId,
        owner: Owner,
        is_there: impl FnOnce(LinkId) -> bool,
    ) -> bool {
        let present = self.of.entry(session).or_insert(owner);
        if let Owner::Learner(link) = *present
            && *present != owner
            && !is_there(link)
        {
            *present = owner;
        }
        *present == owner
    }

    /// Forgets a session that has ended.
    pub(super) fn remove(&mut self, session: SessionId) {
        self.of.remove(&session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_user_owns_until_it_is_gone_or_the_session_moves() {
        let (session, learner) = (SessionId(7), Owner::Learner(LinkId(1)));
        let mut owners = Owners::default();
        assert!(owners.allows(session, learner, |_| true));
        assert!(owners.allows(session, learner, |_| true));
        assert!(!owners.allows(session, Owner::Here, |_| true));
        owners.set(session, Owner::Here);
        assert!(!owners.allows(session, learner, |_| true));
        owners.set(session, learner);
        assert!(owners.allows(session, Owner::Here, |_| false), "its learner is gone");
        owners.remove(session);
        assert!(owners.allows(session, learner, |_| true));
    }
}
