//! What a seed draws before anything happens: how many servers, how they are set up, how bad disks,
//! networks and clocks are, and which faults strike when.

use ostler_node::limits::{ReaperSettings, Settings};
use ostler_wire::ids::{Sid, Zxid};
use ostler_zab::quorum_config::{Member, PeerRole, QuorumConfig};
use ostler_zab::settings::ZabSettings;

use crate::faults::{self, Fault};
use crate::net::NetOptions;
use crate::random::Random;

/// A bug that the driver makes on purpose, to see that it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// The log says that something is on disk before it is.
    AckBeforeSync,
    /// The current epoch is written before the history that it stands for.
    EpochBeforeHistory,
    /// A cut leaves one transaction too many on disk.
    TruncOffByOne,
    /// A learner loses a COMMIT between NEWLEADER and UPTODATE.
    CommitLostAtNewLeader,
    /// A shard shows a change before it tells those who watch.
    EventAfterData,
    /// Whoever waits for a lock watches the first in line, and takes its going for their turn.
    WrongPredecessor,
    /// Whoever holds a lock goes on when told that it is lost.
    LossIgnored,
    /// A client loses some of the events that it is told.
    EventSwallowed,
}

impl Plant {
    /// All of them, each with its name. The last three are for runs with recipes.
    pub const ALL: [(&'static str, Self); 8] = [
        ("ack-before-sync", Self::AckBeforeSync),
        ("epoch-before-history", Self::EpochBeforeHistory),
        ("trunc-off-by-one", Self::TruncOffByOne),
        ("commit-lost-at-newleader", Self::CommitLostAtNewLeader),
        ("event-after-data", Self::EventAfterData),
        ("wrong-predecessor", Self::WrongPredecessor),
        ("loss-ignored", Self::LossIgnored),
        ("event-swallowed", Self::EventSwallowed),
    ];
}

/// All about one run but its course.
#[derive(Clone, Debug)]
pub struct Options {
    /// What everything is drawn from.
    pub seed: u64,
    /// Servers that vote; a single one is standalone.
    pub voters: usize,
    /// Servers that only learn.
    pub observers: usize,
    /// Who uses the service.
    pub clients: usize,
    /// What these do together, by number; nothing if they ask at random.
    pub recipes: Vec<usize>,
    /// The faults, by the time at which they begin.
    pub faults: Vec<Fault>,
    /// A bug to be found.
    pub plant: Option<Plant>,
    pub(crate) shards: usize,
    pub(crate) settings: Settings,
    pub(crate) init_limit: u64,
    pub(crate) sync_limit: u64,
    pub(crate) snapshots_forced: bool,
    pub(crate) silence_max_ms: Option<u64>,
    /// The last transaction that everybody has before anything happens.
    pub(crate) start: Zxid,
    /// How much of its log a server that starts has in memory for others.
    pub(crate) history_kept: usize,
    pub(crate) net: NetOptions,
    /// Of the log in microseconds, least and most.
    pub(crate) sync_micros: (u64, u64),
    /// Records that one write takes.
    pub(crate) batch_max: usize,
    /// How long a thread may sleep before it sees what there is, in microseconds.
    pub(crate) wake_micros: (u64, u64),
    /// What a client's connection takes before the server has to wait, in bytes.
    pub(crate) window_bytes: usize,
    /// How far clocks may run from the truth.
    pub(crate) drift_ppm: u64,
    /// Time between two things that a client does, in microseconds.
    pub(crate) pace_micros: (u64, u64),
    /// How long faults may strike.
    pub(crate) faulty_ms: u64,
    /// How long all is well after that before everybody leaves.
    pub(crate) healed_ms: u64,
}

impl Options {
    /// What this seed draws.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let random = &mut Random::new(seed, "options");
        let voters = *random.pick(&[1, 3, 3, 3, 3, 3, 5, 5]);
        let observers = if voters == 1 { 0 } else { *random.pick(&[0, 0, 0, 1, 2]) };
        let tick_ms = *random.pick(&[50, 100, 200, 500]);
        let settings = Settings {
            tick_time_ms: tick_ms,
            session_timeout_min_ms: 2 * i32::try_from(tick_ms).expect("a short tick"),
            session_timeout_max_ms: 10_000,
            reaper: ReaperSettings {
                interval_ms: *random.pick(&[500, 60_000]),
                ..ReaperSettings::DEFAULT
            },
            outstanding_max: *random.pick(&[3, 50, 1000]),
            snap_count: *random.pick(&[10, 20, 100, 1000]),
            ..Settings::default()
        };
        let fast = random.one_in(2);
        let faulty_ms = *random.pick(&[4_000, 8_000, 12_000]);
        Self {
            seed,
            voters,
            observers,
            clients: 2 + random.index(4),
            faults: faults::draw(seed, voters, observers, faulty_ms),
            recipes: Vec::new(),
            plant: None,
            shards: 1 + random.index(3),
            init_limit: *random.pick(&[5, 10, 20]),
            sync_limit: *random.pick(&[3, 3, 5, 10]),
            snapshots_forced: random.one_in(10),
            silence_max_ms: random.one_in(4).then_some(2 * tick_ms),
            start: if voters > 1 && random.one_in(8) { NEARLY_ROLLED } else { Zxid::ZERO },
            history_kept: *random.pick(&[0, 50, 10_000, 10_000]),
            net: NetOptions {
                latency: if fast { (20, 200) } else { (100, 5_000) },
                pieces: random.one_in(2),
                dial_timeout_ms: *random.pick(&[500, 2_000, 5_000]),
            },
            sync_micros: *random.pick(&[(50, 200), (500, 2_000), (1_000, 20_000)]),
            batch_max: *random.pick(&[1, 8, 1_000]),
            wake_micros: *random.pick(&[(1, 50), (10, 1_000)]),
            window_bytes: *random.pick(&[512, 65_536, 65_536]),
            drift_ppm: *random.pick(&[0, 100, 20_000]),
            pace_micros: *random.pick(&[(1_000, 40_000), (5_000, 100_000), (10_000, 300_000)]),
            faulty_ms,
            healed_ms: 3_000,
            settings,
        }
    }

    /// The settings of agreement for one server.
    pub(crate) fn zab(&self, sid: Sid) -> ZabSettings {
        ZabSettings {
            my_sid: sid,
            tick_ms: self.settings.tick_time_ms,
            init_limit: self.init_limit,
            sync_limit: self.sync_limit,
            notification_min_ms: 200,
            notification_max_ms: 2_000,
            finalize_wait_ms: 200,
            epoch_wait_max_ms: None,
            snapshot_sync_forced: self.snapshots_forced,
            silence_max_ms: self.silence_max_ms,
            connect_limit: None,
            redial_pause_ms: 100,
            snap_syncs_max: if self.seed.is_multiple_of(4) { 1 } else { 10 },
            diff_syncs_max: if self.seed.is_multiple_of(8) { 1 } else { 100 },
        }
    }

    /// Who is in the ensemble.
    pub(crate) fn config(&self) -> QuorumConfig {
        let member = |index: usize| {
            let sid = Sid(i64::try_from(index + 1).expect("few servers"));
            let (role, name) = match index < self.voters {
                true => (PeerRole::Participant, "participant"),
                false => (PeerRole::Observer, "observer"),
            };
            (sid, Member { role, line: format!("s{index}:2888:3888:{name}") })
        };
        let members = (0..self.servers()).map(member).collect();
        QuorumConfig { members, ..QuorumConfig::default() }
    }

    /// All servers.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.voters + self.observers
    }
}

/// Two hundred transactions before the counter of an epoch is used up.
const NEARLY_ROLLED: Zxid = Zxid(0x1_ffff_ff37);
