//! Settings of the core and every bound it keeps, each with the key that sets it.

use alloc::string::String;
use alloc::vec::Vec;

use crate::auth::DigestAlgorithm;
use crate::clock::Span;

/// What an operator can set. Times are in milliseconds as in `zoo.cfg`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The upper byte of the session ids made here: the server's id, 1 when standalone.
    pub server_id: u8,
    /// `tickTime`: sessions expire on its multiples.
    pub tick_time_ms: u64,
    /// `minSessionTimeout`.
    pub session_timeout_min_ms: i32,
    /// `maxSessionTimeout`.
    pub session_timeout_max_ms: i32,
    /// `jute.maxbuffer`: the longest frame that a client may send.
    pub frame_max_bytes: usize,
    /// `globalOutstandingLimit`: writes in progress before senders are slowed down.
    pub outstanding_max: usize,
    /// `snapCount`: a snapshot after a random number of transactions in (n/2, n].
    pub snap_count: u64,
    /// `snapSizeLimitInKb` in bytes: the same by log size; 0 is off.
    pub snap_size_limit_bytes: u64,
    /// `digest.enabled`: transactions carry the tree's digest.
    pub digest_enabled: bool,
    /// `reconfigEnabled`: a standalone server refuses reconfig either way, but not alike.
    pub reconfig_enabled: bool,
    /// `nio.sessionlessCnxnTimeout`: how long a connection may take to open a session.
    pub sessionless_timeout_ms: u64,
    /// Who may do what.
    pub auth: AuthSettings,
    /// `enforceQuota`: writes beyond a hard limit are refused.
    pub enforce_quota: bool,
    /// `extendedTypesEnabled`: znodes with a time to live can be made, and are deleted in time.
    pub extended_types: bool,
    /// When containers and znodes with a time to live are deleted.
    pub reaper: ReaperSettings,
    /// `largeRequestThreshold`: longer frames are large; `None` knows no large frames.
    pub large_request_threshold_bytes: Option<usize>,
    /// `largeRequestMaxBytes`: the large frames in progress, together, in the whole server.
    pub large_requests_max_bytes: usize,
    /// `throttled_op_wait_time`: a request that was held back for longer is answered with an error
    /// and not carried out; 0 is off.
    pub throttled_op_wait_ms: u64,
    /// `request_stale_latency_check`: a client that was held back for longer than its session lives
    /// is disconnected.
    pub drop_stale: bool,
    /// How many sessions may be opened in a while.
    pub connection_throttle: ThrottleSettings,
    /// `localSessionsEnabled`: in an ensemble, sessions of which only their server knows.
    pub local_sessions: bool,
    /// `localSessionsUpgradingEnabled`: such a session becomes one that all know of when it makes
    /// an ephemeral; otherwise it may make none.
    pub local_sessions_upgrading: bool,
    /// `readonlymode.enabled`: a member of an ensemble that finds no leader serves reads to clients
    /// that are content with them. It opens sessions for them only if it makes local ones.
    pub read_only_mode: bool,
    /// `leaderServes`: without it a leader has time for its learners only, and clients go to them.
    pub leader_serves: bool,
    /// `commitLogCount`: transactions that a member of an ensemble keeps for learners that lack
    /// them. More are kept while they are small.
    pub history_count: usize,
    /// `observer.reconnectDelayMs` and `observer.election.DelayMs`: an observer that has lost its
    /// leader waits for a random part of this before it looks for another.
    pub observer_rest_max_ms: u64,
}

/// Settings of the connection throttle, `connection_throttle_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThrottleSettings {
    /// `tokens`: what the bucket holds; 0 is off.
    pub tokens_max: u64,
    /// `fill_time`: how often it is filled.
    pub fill_time_ms: u64,
    /// `fill_count`: by how many tokens.
    pub fill_count: u64,
    /// `freeze_time`: how often the probability of a refusal changes; `None` refuses nobody at
    /// random.
    pub freeze_time_ms: Option<u64>,
    /// `drop_increase`, in parts of a billion.
    pub drop_increase_ppb: u64,
    /// `drop_decrease`, in parts of a billion.
    pub drop_decrease_ppb: u64,
    /// `decrease_ratio`: up to this share of the bucket in use the probability falls.
    pub decrease_ratio_ppb: u64,
    /// What sessions cost with `weight_enabled`; otherwise each costs one token.
    pub weights: Option<SessionWeights>,
}

/// The price of a session in tokens; the bucket is bigger by the price of a new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionWeights {
    /// `global_session_weight`.
    pub new_session: u64,
    /// `renew_session_weight`.
    pub renewed_session: u64,
}

/// What a share is counted in, so that it is a whole number.
pub const PARTS_PER_BILLION: u64 = 1_000_000_000;

/// Settings of the reaper.
#[derive(Clone, Copy, Debug)]
pub struct ReaperSettings {
    /// `znode.container.checkIntervalMs`: time from one look for what can go to the next.
    pub interval_ms: u64,
    /// `znode.container.maxPerMinute`: at most so many deletions a minute.
    pub per_minute: u64,
    /// `znode.container.maxNeverUsedIntervalMs`: how long a container stays that never had a
    /// child; 0 is for ever.
    pub unused_max_ms: i64,
}

impl ReaperSettings {
    /// What an operator who sets nothing gets.
    pub const DEFAULT: Self = Self { interval_ms: 60_000, per_minute: 10_000, unused_max_ms: 0 };

    /// Time between two deletions.
    #[must_use]
    pub fn spacing_ms(&self) -> u64 {
        60_000 / self.per_minute.max(1)
    }
}

/// Settings of authentication and access control.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// `skipACL=yes`.
    pub skip_acl: bool,
    /// `DigestAuthenticationProvider.enabled`.
    pub digest_enabled: bool,
    /// `DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: DigestAlgorithm,
    /// `DigestAuthenticationProvider.superDigest`.
    pub super_digest: Option<String>,
    /// Whether ids of the scheme `sasl` may stand in ACLs (`authProvider.*`).
    pub sasl_enabled: bool,
    /// `letAnySaslUserDoX`: the id in an ACL that stands for every SASL user.
    pub any_sasl_user: Option<String>,
    /// Whether ids of the scheme `x509` may stand in ACLs (`authProvider.*`).
    pub x509_enabled: bool,
    /// `X509AuthenticationProvider.superUser`.
    pub x509_super_user: Option<String>,
    /// Whether clients may name their ensemble (`authProvider.*`).
    pub ensemble_enabled: bool,
    /// `ensembleAuthName`: the names that are right; `None` takes every name.
    pub ensemble_names: Option<Vec<String>>,
    /// `enforce.auth.schemes` when that is enabled: a client needs an id of one of these for
    /// every request; none asks for nothing.
    pub required_schemes: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server_id: 1,
            tick_time_ms: 3000,
            session_timeout_min_ms: 6000,
            session_timeout_max_ms: 60_000,
            frame_max_bytes: 0xfffff,
            outstanding_max: 1000,
            snap_count: 100_000,
            snap_size_limit_bytes: 4 << 30,
            digest_enabled: true,
            reconfig_enabled: false,
            sessionless_timeout_ms: 10_000,
            auth: AuthSettings::default(),
            enforce_quota: false,
            extended_types: false,
            reaper: ReaperSettings::DEFAULT,
            large_request_threshold_bytes: None,
            large_requests_max_bytes: 100 << 20,
            throttled_op_wait_ms: 0,
            drop_stale: false,
            connection_throttle: ThrottleSettings::default(),
            local_sessions: false,
            local_sessions_upgrading: false,
            read_only_mode: false,
            leader_serves: true,
            history_count: 500,
            observer_rest_max_ms: 0,
        }
    }
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        Self {
            tokens_max: 0,
            fill_time_ms: 1,
            fill_count: 1,
            freeze_time_ms: None,
            drop_increase_ppb: 20_000_000,
            drop_decrease_ppb: 2_000_000,
            decrease_ratio_ppb: 0,
            weights: None,
        }
    }
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            skip_acl: false,
            digest_enabled: true,
            digest_algorithm: DigestAlgorithm::Sha1,
            super_digest: None,
            sasl_enabled: false,
            any_sasl_user: None,
            x509_enabled: false,
            x509_super_user: None,
            ensemble_enabled: false,
            ensemble_names: None,
            required_schemes: Vec::new(),
        }
    }
}

/// How long a shard may keep a session's sign of life to itself.
pub const TOUCH_FLUSH: Span = Span::from_millis(20);

/// How long after a session's expiry instant it is still asked whether a touch is on its way.
///
/// Twice [`TOUCH_FLUSH`]: a touch that a shard took in time arrives in time.
pub const EXPIRY_GRACE: Span = Span::from_millis(40);

/// All connections are looked through for silent ones once a tick; sooner where connections have
/// less time than a tick to open a session, but never more often than so many milliseconds.
pub const IDLE_SCAN_MIN_MS: u64 = 100;

/// Unanswered requests of one connection before the shard stops reading from it.
pub const PENDING_PER_CONNECTION_MAX: usize = 1_000;

/// Bytes of requests of one connection that wait for the answers before them, before the shard
/// stops reading from it.
pub const WAITING_PER_CONNECTION_MAX_BYTES: usize = 4 << 20;

/// Bytes of unsent replies and events of one connection before the shard stops reading from it.
pub const UNSENT_PER_CONNECTION_MAX_BYTES: usize = 4 << 20;

/// The shortest answer that is put off when a connection has no room for it, rather than encoded.
pub const LATE_ANSWER_MIN_BYTES: usize = 4 << 10;

/// So much of the answers that were put off is encoded at once when there is room again.
pub const ENCODED_AT_ONCE_BYTES: usize = 1 << 20;

/// The longest answer to a multiRead, whose parts can name the same data many times.
pub const MULTI_READ_ANSWER_MAX_BYTES: usize = 64 << 20;

/// What the ids of one connection may weigh, see [`crate::auth::join`]: a hundred and more of them.
///
/// Whoever adds one more fails to authenticate.
pub const IDS_MAX_BYTES: usize = 16 << 10;

/// What the entries that stand for `auth` in one ACL may weigh, before it is an invalid one.
pub const AUTH_ENTRIES_MAX_BYTES: usize = 1 << 20;

/// Bytes of unsent output of one connection, most of it events, before it is given up.
///
/// A persistent watch fires as often as others write, whether its client reads or not.
pub const UNSENT_EVENTS_MAX_BYTES: usize = 64 << 20;

/// What the emptied output buffers that a shard keeps may take together: enough for the small
/// answers and events of some thousand connections in one turn.
pub const SPARE_BUFFERS_MAX_BYTES: usize = 4 << 20;

/// Bytes of write requests that one shard may have in progress.
pub const OUTSTANDING_MAX_BYTES: usize = 64 << 20;

/// How long a server looks for a leader before it serves reads without one, or a tick if that is
/// longer.
// Java: QuorumPeer.run waits so long with its read-only server.
pub const READ_ONLY_AFTER: Span = Span::from_millis(2000);

/// Learners that may be connected before a server knows whether it leads.
pub const EARLY_LINKS_MAX: usize = 100;

/// What such a learner may say until it is answered: who it is, and a little more.
pub const EARLY_PACKETS_MAX: usize = 4;

/// At most one warning about an exceeded quota in this time.
pub const QUOTA_WARNING_INTERVAL: Span = Span::from_millis(1000);
