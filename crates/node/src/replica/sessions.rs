//! Sessions: who is alive, until when, and how an id is made and proven.
//!
//! Expiry instants are rounded up to the next tick, so sessions expire in batches and up to a tick
//! late; clients are used to it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use ostler_wire::connect::Password;
use ostler_wire::ids::{SessionId, WallMs};

use crate::clock::{Clock, Time};
use crate::limits::EXPIRY_GRACE;
use crate::status::ExpiryBucket;

/// The sessions that are alive, by id and by the instant at which they will not be.
#[derive(Debug)]
pub(super) struct Sessions {
    tick_ms: u64,
    expiry_ms: HashMap<SessionId, u64, FixedState>,
    /// Invariant: a session stands in exactly the bucket that `expiry_ms` names.
    buckets: BTreeMap<u64, HashSet<SessionId, FixedState>>,
    next: SessionId,
}

impl Sessions {
    pub(super) fn new(tick_ms: u64, server_id: u8, wall: WallMs) -> Self {
        Self {
            tick_ms: tick_ms.max(1),
            expiry_ms: HashMap::default(),
            buckets: BTreeMap::new(),
            next: first_id(server_id, wall),
        }
    }

    /// Takes over a session that was found at start; ids made from now on lie behind it.
    pub(super) fn restore(&mut self, now: Time, session: SessionId, timeout_ms: i32) {
        self.avoid(session);
        self.track(now, session, timeout_ms);
    }

    /// Makes ids from now on lie behind this one, if it may have been made here.
    ///
    /// Only a clock that went back lets one lie ahead. Then it is not the only one: others behind
    /// it were made too and are over, or are on their way here.
    pub(super) fn avoid(&mut self, session: SessionId) {
        if session.0 >> 56 == self.next.0 >> 56 && session >= self.next {
            self.next = far_behind(session, self.next);
        }
    }

    /// Makes an id that no session has had.
    pub(super) fn next_id(&mut self) -> SessionId {
        while self.next == SessionId::NONE
            || self.next.0 == i64::MIN
            || self.expiry_ms.contains_key(&self.next)
        {
            self.next = SessionId(self.next.0.wrapping_add(1));
        }
        let session = self.next;
        self.next = SessionId(session.0.wrapping_add(1));
        session
    }

    /// Keeps watch over a session, which has its whole timeout before it.
    pub(super) fn track(&mut self, now: Time, session: SessionId, timeout_ms: i32) {
        if !self.renew(now, session, timeout_ms) {
            self.add(now, session, timeout_ms);
        }
    }

    /// Forgets all sessions: somebody else watches over them.
    pub(super) fn clear(&mut self) {
        self.expiry_ms.clear();
        self.buckets.clear();
    }

    /// Whether the session is alive.
    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.expiry_ms.contains_key(&session)
    }

    /// Notes a sign of life; false if the session is not alive.
    pub(super) fn touch(&mut self, at: Time, session: SessionId, timeout_ms: i32) -> bool {
        let Some(&present) = self.expiry_ms.get(&session) else { return false };
        let expiry = self.expiry(at, timeout_ms);
        // A late touch never takes back what a newer one gave.
        if expiry > present {
            self.leave_bucket(present, session);
            self.enter_bucket(expiry, session);
        }
        true
    }

    /// Starts a timeout anew that may be shorter than the one before; false if the session is not
    /// alive.
    pub(super) fn renew(&mut self, now: Time, session: SessionId, timeout_ms: i32) -> bool {
        let Some(&present) = self.expiry_ms.get(&session) else { return false };
        self.leave_bucket(present, session);
        self.add(now, session, timeout_ms);
        true
    }

    /// Forgets a session; false if it was not alive.
    pub(super) fn remove(&mut self, session: SessionId) -> bool {
        let Some(expiry) = self.expiry_ms.remove(&session) else { return false };
        self.leave_bucket(expiry, session);
        true
    }

    /// When the next session may have to be expired.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.buckets.keys().next().map(|expiry| Time::from_millis(*expiry) + EXPIRY_GRACE)
    }

    /// Sessions whose time has come and that nobody can still have touched.
    pub(super) fn due(&self, now: Time) -> Vec<SessionId> {
        self.buckets
            .iter()
            .take_while(|(expiry, _)| Time::from_millis(**expiry) + EXPIRY_GRACE <= now)
            .flat_map(|(_, sessions)| sessions.iter().copied())
            .collect()
    }

    /// The buckets, soonest first.
    pub(super) fn report(&self, at: Clock) -> Vec<ExpiryBucket> {
        let now = at.now.millis().cast_signed();
        self.buckets
            .iter()
            .map(|(expiry, sessions)| ExpiryBucket {
                at: WallMs(at.wall.0 + expiry.cast_signed() - now),
                sessions: sessions.iter().copied().collect(),
            })
            .collect()
    }

    fn add(&mut self, now: Time, session: SessionId, timeout_ms: i32) {
        let expiry = self.expiry(now, timeout_ms);
        self.enter_bucket(expiry, session);
    }

    // Java: ExpiryQueue.roundToNextInterval.
    fn expiry(&self, now: Time, timeout_ms: i32) -> u64 {
        let instant = now.millis() + u64::try_from(timeout_ms).unwrap_or(0);
        (instant / self.tick_ms + 1) * self.tick_ms
    }

    fn enter_bucket(&mut self, expiry: u64, session: SessionId) {
        self.expiry_ms.insert(session, expiry);
        self.buckets.entry(expiry).or_default().insert(session);
    }

    fn leave_bucket(&mut self, expiry: u64, session: SessionId) {
        let Some(sessions) = self.buckets.get_mut(&expiry) else { return };
        sessions.remove(&session);
        if sessions.is_empty() {
            self.buckets.remove(&expiry);
        }
    }
}

/// Server id in bits 63..56, the low 40 bits of a millisecond clock in 55..16, then zeros.
///
/// By the wall clock, not a monotonic one as in Java: that starts again with the machine, and an
/// old session's id must not come again.
// Java: SessionTrackerImpl.initializeNextSessionId.
fn first_id(server_id: u8, wall: WallMs) -> SessionId {
    let clock = (wall.0.cast_unsigned() << 24) >> 8;
    SessionId((clock | u64::from(server_id) << 56).cast_signed())
}

/// An id that no life of a server before this one has reached: farther behind `session` than any
/// makes ids, and by how far depends on when this life began (`ours`), so that the next life does
/// not come here as well when it finds only the same session.
fn far_behind(session: SessionId, ours: SessionId) -> SessionId {
    /// The bits below the server id.
    const CLOCK: u64 = (1 << 56) - 1;
    /// More sessions than a server makes in all its lives.
    const LEAP: u64 = 1 << 32;
    /// About four hours of the clock.
    const LIFE: u64 = (LEAP << 8) - (1 << 16);
    let (found, ours) = (session.0.cast_unsigned(), ours.0.cast_unsigned());
    let behind = (found & CLOCK).wrapping_add(LEAP + (ours & LIFE)) & CLOCK;
    SessionId((found & !CLOCK | behind).cast_signed())
}

/// The password of a session: any server can compute it, none has to be asked.
///
/// It is a checksum that Java's `Random` makes of the id, not a secret. Session 0 has one too, but
/// nobody accepts it.
// Java: ZooKeeperServer.generatePasswd.
pub(super) fn password(session: SessionId) -> Password {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut seed = (session.0.cast_unsigned() ^ 0xB341_5C00 ^ MULTIPLIER) & MASK;
    let mut password = Password::default();
    for bytes in password.chunks_exact_mut(4) {
        seed = seed.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        let upper = u32::try_from(seed >> 16).expect("48 bits less 16 are 32");
        bytes.copy_from_slice(&upper.to_le_bytes());
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_equal_javas() {
        for (session, expected) in [
            (0x0100_0000_0000_0000, 0xf22a_cd4a_97e6_9d6d_20a4_9bb6_38ea_db38_u128),
            (0x0100_0018_ec48_0001, 0xdd37_d22a_2fad_27a2_ad12_b484_c492_aa78),
            (1, 0x054c_c74a_3732_7db2_15e7_02e2_0c73_f005),
        ] {
            assert_eq!(u128::from_be_bytes(password(SessionId(session))), expected);
        }
    }

    #[test]
    fn ids_carry_the_server_and_the_clock() {
        let id = first_id(1, WallMs(0x12_3456_789a_bcde));
        assert_eq!(id, SessionId(0x0156_789a_bcde_0000));
        assert!(first_id(254, WallMs(0)).0 < 0);
    }

    #[test]
    fn expiry_is_rounded_up_to_a_tick_and_moved_by_touches() {
        let mut sessions = Sessions::new(2000, 1, WallMs(0));
        let at = Time::from_millis(1000);
        let session = sessions.next_id();
        sessions.track(at, session, 4000);
        let deadline = |ms| Some(Time::from_millis(ms) + EXPIRY_GRACE);
        assert_eq!(sessions.next_deadline(), deadline(6000));
        assert!(sessions.touch(Time::from_millis(2500), session, 4000));
        assert_eq!(sessions.next_deadline(), deadline(8000));
        assert!(sessions.touch(Time::from_millis(1500), session, 4000), "a late touch");
        assert_eq!(sessions.next_deadline(), deadline(8000));
        assert_eq!(sessions.due(Time::from_millis(8000)), []);
        assert_eq!(sessions.due(Time::from_millis(8040)), [session]);
        assert!(sessions.remove(session));
        assert!(!sessions.touch(Time::from_millis(8040), session, 4000));
        assert_eq!(sessions.next_deadline(), None);
    }

    #[test]
    fn ids_found_at_start_are_not_made_again() {
        let mut sessions = Sessions::new(2000, 1, WallMs(5));
        let found = SessionId(first_id(1, WallMs(5)).0 + 3);
        sessions.restore(Time::default(), found, 4000);
        assert!(sessions.next_id() > found);
    }

    #[test]
    fn ids_do_not_come_again_when_the_clock_goes_back() {
        let later = Sessions::new(2000, 1, WallMs(1_000_000)).next_id();
        let over = SessionId(later.0 + 70_000);
        let mut ids = HashSet::<SessionId, FixedState>::default();
        for wall in [1_000, 1_700, 60_000] {
            let mut sessions = Sessions::new(2000, 1, WallMs(wall));
            sessions.restore(Time::default(), later, 4000);
            let made = [sessions.next_id(), sessions.next_id()];
            assert!(made[0] > over && made[1] > made[0], "{made:?}");
            assert!(made.iter().all(|id| id.0 >> 56 == 1 && ids.insert(*id)), "{made:?}");
        }
    }
}
