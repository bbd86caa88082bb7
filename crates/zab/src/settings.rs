//! What an operator can set, and what every machine here has to know.

use ostler_wire::ids::Sid;

/// Settings of one server of an ensemble. Times are in milliseconds as in `zoo.cfg`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZabSettings {
    /// This server.
    pub my_sid: Sid,
    /// `tickTime`.
    pub tick_ms: u64,
    /// `initLimit`: ticks that a learner may take to connect and synchronise.
    pub init_limit: u64,
    /// `syncLimit`: ticks without a sign of life after that.
    pub sync_limit: u64,
    /// `fastleader.minNotificationInterval`.
    pub notification_min_ms: u64,
    /// `fastleader.maxNotificationInterval`.
    pub notification_max_ms: u64,
    /// How long to wait for a better vote once a quorum agrees, unless everybody has spoken.
    pub finalize_wait_ms: u64,
    /// `leader.maxTimeToWaitForEpoch`; `None` is no limit of its own.
    pub epoch_wait_max_ms: Option<u64>,
    /// `forceSnapshotSync`: a learner that lacks something gets a snapshot.
    pub snapshot_sync_forced: bool,
    /// How long a leader may be silent before its learners look for another one, and learners
    /// before their leader drops them; `None` leaves it at `syncLimit` ticks. Ostler's own.
    pub silence_max_ms: Option<u64>,
    /// `connectToLearnerMasterLimit`: ticks that a learner tries to connect; `None` is `initLimit`.
    pub connect_limit: Option<u64>,
    /// `leaderConnectDelayDuringRetryMs`: the pause between its attempts, but for the first ones,
    /// which are shorter.
    pub redial_pause_ms: u64,
    /// `leader.maxConcurrentSnapSyncs`: observers are turned away while so many learners are being
    /// sent snapshots.
    pub snap_syncs_max: usize,
    /// `leader.maxConcurrentDiffSyncs`: the same for learners that get what they lack.
    pub diff_syncs_max: usize,
}

impl ZabSettings {
    /// `tickTime`, `initLimit` and `syncLimit` of Apache's sample configuration, and what Apache
    /// takes where nothing is set.
    #[must_use]
    pub fn new(my_sid: Sid) -> Self {
        Self {
            my_sid,
            tick_ms: 2000,
            init_limit: 10,
            sync_limit: 5,
            notification_min_ms: 200,
            notification_max_ms: 60_000,
            finalize_wait_ms: 200,
            epoch_wait_max_ms: None,
            snapshot_sync_forced: false,
            silence_max_ms: None,
            connect_limit: None,
            redial_pause_ms: 100,
            snap_syncs_max: 10,
            diff_syncs_max: 100,
        }
    }
}
