//! What the leader knows of one learner.

use ostler_wire::ids::{Sid, Zxid};

use crate::clock::{Span, Time};
use crate::settings::ZabSettings;

/// How far the leader is with a learner. Later stages are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Stage {
    /// It has connected and said nothing.
    Silent,
    /// It has said who it is, and waits for an epoch.
    Introduced,
    /// It was told the epoch.
    Invited,
    /// It has accepted the epoch, and waits for a quorum of others to do so.
    Accepted,
    /// Everything up to NEWLEADER was queued for it, and so is everything that happens now.
    Fed,
    /// It has all that on disk.
    Synced,
}

/// One learner, or what may become one.
#[derive(Debug)]
pub(super) struct Link {
    /// Who; of no meaning while it is silent.
    pub(super) sid: Sid,
    /// Whether it counts in quorums.
    pub(super) voter: bool,
    pub(super) observer: bool,
    pub(super) stage: Stage,
    /// Whether its consent to the epoch counts.
    pub(super) consents: bool,
    /// Its last zxid when it accepted the epoch.
    pub(super) last: Zxid,
    /// What it has on disk of this epoch.
    pub(super) acked: Zxid,
    /// A proposal that it has not acknowledged, and since when at least.
    pub(super) owed: Option<(Zxid, Time)>,
    /// Whether it was sent a snapshot, to begin with.
    pub(super) has_snapshot: bool,
    /// Whether a snapshot is on its way, whose length only the driver knows.
    pub(super) snapshot: bool,
    connected: Time,
    heard: Time,
}

impl Link {
    pub(super) fn new(now: Time) -> Self {
        Self {
            sid: Sid::default(),
            voter: false,
            observer: false,
            stage: Stage::Silent,
            consents: false,
            last: Zxid::NONE,
            acked: Zxid::NONE,
            owed: None,
            has_snapshot: false,
            snapshot: false,
            connected: now,
            heard: now,
        }
    }

    /// A sign of life.
    pub(super) fn hear(&mut self, now: Time) {
        self.heard = now;
    }

    /// Whether it gets what is live.
    pub(super) fn is_fed(&self) -> bool {
        self.stage >= Stage::Fed
    }

    /// A proposal goes to it.
    pub(super) fn owe(&mut self, now: Time, zxid: Zxid) {
        self.owed.get_or_insert((zxid, now));
    }

    /// It has acknowledged up to `zxid`, of `proposed` that were sent.
    pub(super) fn ack(&mut self, now: Time, zxid: Zxid, proposed: Zxid) {
        self.acked = self.acked.max(zxid);
        if self.owed.is_some_and(|(owed, _)| owed <= self.acked) {
            // What was sent since is as old as this at most: good enough, and no list to keep.
            self.owed = (self.acked < proposed).then_some((proposed, now));
        }
    }

    /// Why to drop it, if there is reason. It answers pings only once there is a reign.
    pub(super) fn fault(
        &self,
        now: Time,
        reigns: bool,
        settings: &ZabSettings,
    ) -> Option<&'static str> {
        let sync_ms = settings.tick_ms.saturating_mul(settings.sync_limit);
        let init_ms = settings.tick_ms.saturating_mul(settings.init_limit);
        let (silence_ms, why) = match self.stage {
            Stage::Synced if reigns => {
                let max_ms = settings.silence_max_ms.unwrap_or(u64::MAX);
                (sync_ms.min(max_ms), "the learner was silent for too long")
            }
            // Nothing is heard of it until the whole stream has gone through.
            Stage::Fed if self.snapshot => {
                let patience_ms = init_ms.saturating_mul(SNAPSHOT_PATIENCE);
                (patience_ms, "the learner did not take its snapshot in time")
            }
            Stage::Silent
            | Stage::Introduced
            | Stage::Invited
            | Stage::Accepted
            | Stage::Fed
            | Stage::Synced => (init_ms, "the learner did not synchronise in time"),
        };
        if now >= self.heard + Span::from_millis(silence_ms) {
            return Some(why);
        }
        let owes_since = self.owed.filter(|_| self.stage == Stage::Synced).map(|(_, since)| since);
        let late = owes_since.is_some_and(|since| now >= since + Span::from_millis(sync_ms));
        late.then_some("the learner did not log a proposal in time")
    }

    /// Whether it is taken for one of those who follow: from the start, even while it is being
    /// synchronised, so that one late voter does not end a reign.
    // Java: LearnerHandler.synced.
    pub(super) fn follows(&self, now: Time, settings: &ZabSettings) -> bool {
        let ticks = settings.init_limit.saturating_add(settings.sync_limit);
        let patience_ms = settings.tick_ms.saturating_mul(ticks);
        self.stage == Stage::Synced
            || self.stage > Stage::Silent && now < self.connected + Span::from_millis(patience_ms)
    }
}

/// A snapshot may take so many times as long as everything else.
const SNAPSHOT_PATIENCE: u64 = 10;
