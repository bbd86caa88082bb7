//! Four-letter words: what a server says of itself on a client port.
//!
//! A client sends four bytes instead of a handshake, gets a text and is disconnected. The texts
//! are read by scripts and monitoring everywhere, so each has the form that Apache ZooKeeper gives
//! it, down to the blank line at its end.
//!
//! Texts are made here from reports and nothing is changed: who asked for a word gathers the
//! [`ServerReport`] if one is needed and carries out the [`Reset`] that some words stand for.
//! Sockets and threads are elsewhere.
//!
//! A member of an ensemble that has no leader answers most words by saying that it does not serve.
//!
//! Order among connections, sessions and paths means nothing in Apache's texts; here sessions and
//! paths are sorted, and connections stand as their shards have them.

mod environment;
mod format;
mod mntr;
mod role;
pub mod usage;

#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::config::ensemble::Ensemble;
use crate::version;
use jiff::tz::TimeZone;
use ostler_node::status::{
    ConnReport, ExpiryBucket, LatencyStats, Mode, ReplicaReport, ShardReport, Sizes,
};
use ostler_wire::ids::{SessionId, WallMs};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Everything that the words tell about.
#[derive(Clone, Debug)]
pub struct ServerReport<'a> {
    /// What the server was told to do.
    pub config: &'a Config,
    /// The port that is open for clients, if one is.
    pub client_port: Option<u16>,
    /// Of each shard, with single watches if [`wants_watches`].
    pub shards: Vec<ShardReport>,
    /// Of the replica.
    pub replica: ReplicaReport,
    /// The wall clock.
    pub now_wall: WallMs,
    /// The monotonic clock that the reports use.
    pub now_ms: u64,
    /// Since the server began to serve.
    pub uptime_ms: u64,
    /// Length of all files beside the snapshots; see [`usage::directory_size_bytes`].
    pub data_dir_size_bytes: u64,
    /// Length of all files beside the transaction logs.
    pub log_dir_size_bytes: u64,
    /// See [`usage::open_files`].
    pub open_files: u64,
    /// See [`usage::open_files_max`].
    pub max_files: u64,
}

/// What a word makes the server forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The counters of every shard, and the sizes of proposals (`srst`).
    Server,
    /// The counters of every connection (`crst`).
    Connections,
}

/// The answer to a word.
///
/// A word that is not on the whitelist is refused; what is no word gets no answer at all.
#[must_use]
pub fn answer(word: &[u8; 4], report: &ServerReport<'_>) -> String {
    if let Some(text) = answer_at_once(word, report.config) {
        return text;
    }
    let mut out = String::new();
    match find(word) {
        // Java: IsroCommand prints what a server that does not serve has for an answer.
        Some(Answer::IsReadOnly) => out.push_str(match report.replica.mode {
            _ if !report.serves() => "null",
            Mode::ReadOnly => "ro",
            _ => "rw",
        }),
        // Java: DigestCommand leaves the newline out.
        Some(Answer::Digests) if !report.serves() => out.push_str(NOT_SERVING),
        Some(_) if !report.serves() => line(&mut out, format_args!("{NOT_SERVING}")),
        Some(Answer::Reset(_, text)) => out.push_str(text),
        Some(Answer::Report(write) | Answer::Watches(write)) => write(report, &mut out),
        Some(Answer::Always(_) | Answer::Digests | Answer::Environment) | None => {}
    }
    out
}

/// The answer to a word for which no report has to be gathered.
#[must_use]
pub fn answer_at_once(word: &[u8; 4], config: &Config) -> Option<String> {
    let answer = find(word);
    if answer.is_some() && !is_allowed(word, config) {
        let word = String::from_utf8_lossy(word);
        return Some(format!("{word} is not executed because it is not in the whitelist.\n"));
    }
    match answer {
        None => Some(String::new()),
        Some(Answer::Always(text)) => Some((*text).to_owned()),
        Some(Answer::Environment) => Some(environment::text()),
        Some(_) => None,
    }
}

/// Whether the report has to have every single watch.
#[must_use]
pub fn wants_watches(word: &[u8; 4]) -> bool {
    matches!(find(word), Some(Answer::Watches(_)))
}

/// What has to be forgotten because of this word.
#[must_use]
pub fn reset_by(word: &[u8; 4], report: &ServerReport<'_>) -> Option<Reset> {
    match find(word) {
        Some(Answer::Reset(reset, _)) if report.serves() && is_allowed(word, report.config) => {
            Some(*reset)
        }
        _ => None,
    }
}

fn is_allowed(word: &[u8; 4], config: &Config) -> bool {
    str::from_utf8(word).is_ok_and(|word| config.four_letter_whitelist.allows(word))
}

/// Where a word's answer comes from.
enum Answer {
    /// The same, whether the server serves or not.
    Always(&'static str),
    /// From the process and its machine, whether it serves or not.
    Environment,
    /// What the server is for its clients.
    IsReadOnly,
    /// The digests on record.
    Digests,
    /// That something was forgotten.
    Reset(Reset, &'static str),
    /// From a report.
    Report(fn(&ServerReport<'_>, &mut String)),
    /// From a report that has every single watch.
    Watches(fn(&ServerReport<'_>, &mut String)),
}

/// All words.
const WORDS: &[(&[u8; 4], Answer)] = &[
    (b"conf", Answer::Report(conf)),
    (b"cons", Answer::Report(cons)),
    (b"crst", Answer::Reset(Reset::Connections, "Connection stats reset.\n")),
    (b"dirs", Answer::Report(dirs)),
    (b"dump", Answer::Report(dump)),
    (b"envi", Answer::Environment),
    // There is no tracing that could be masked: this is what a server of Apache's starts with.
    (b"gtmk", Answer::Always("306")),
    // One line for each digest on record; none is kept.
    (b"hash", Answer::Digests),
    (b"isro", Answer::IsReadOnly),
    (b"mntr", Answer::Report(mntr::write)),
    (b"ruok", Answer::Always("imok")),
    (b"srst", Answer::Reset(Reset::Server, "Server stats reset.\n")),
    (b"srvr", Answer::Report(srvr)),
    (b"stat", Answer::Report(stat)),
    // As if the mask behind the word were missing.
    (b"stmk", Answer::Always("")),
    (b"wchc", Answer::Watches(wchc)),
    (b"wchp", Answer::Watches(wchp)),
    (b"wchs", Answer::Watches(wchs)),
];

fn find(word: &[u8; 4]) -> Option<&'static Answer> {
    WORDS.iter().find(|(known, _)| *known == word).map(|(_, answer)| answer)
}

fn conf(report: &ServerReport<'_>, out: &mut String) {
    let config = report.config;
    let data_dir = directory(&config.data_dir);
    let log_dir = directory(&config.data_log_dir);
    line(out, format_args!("clientPort={}", report.client_port.map_or(-1, i32::from)));
    line(out, format_args!("secureClientPort=-1"));
    line(out, format_args!("dataDir={data_dir}"));
    line(out, format_args!("dataDirSize={}", report.data_dir_size_bytes));
    line(out, format_args!("dataLogDir={log_dir}"));
    line(out, format_args!("dataLogSize={}", report.log_dir_size_bytes));
    line(out, format_args!("tickTime={}", config.tick_time_ms));
    line(out, format_args!("maxClientCnxns={}", config.max_client_cnxns));
    line(out, format_args!("minSessionTimeout={}", config.min_session_timeout_ms));
    line(out, format_args!("maxSessionTimeout={}", config.max_session_timeout_ms));
    line(out, format_args!("clientPortListenBacklog={}", config.client_port_listen_backlog));
    // Java: ZooKeeperServer.getServerId is 0 without an ensemble, whatever myid says.
    let server_id = config.ensemble.as_ref().map_or(0, |ensemble| ensemble.my_id);
    line(out, format_args!("serverId={server_id}"));
    role::conf(report, out);
}

/// The directory of the files themselves, as Java writes an absolute path: `.` and `..` stay.
fn directory(configured: &Path) -> String {
    let mut directory = std::env::current_dir().unwrap_or_default();
    directory.push(configured);
    directory.push("version-2");
    let text = directory.display().to_string();
    let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty()).collect();
    format!("/{}", names.join("/"))
}

fn cons(report: &ServerReport<'_>, out: &mut String) {
    for conn in report.connections() {
        brief(conn, out);
        session(conn, out);
        out.push_str(")\n");
    }
    out.push('\n');
}

/// What `stat` tells of a connection, without the parenthesis that closes it.
fn brief(conn: &ConnReport, out: &mut String) {
    let interest_ops = u8::from(conn.reading) | u8::from(conn.writing) << 2;
    let remote = format::address(conn.remote);
    let ConnReport { queued, received, sent, .. } = conn;
    put(
        out,
        format_args!(" {remote}[{interest_ops:x}](queued={queued},recved={received},sent={sent}"),
    );
}

/// What `cons` tells besides.
fn session(conn: &ConnReport, out: &mut String) {
    let Some(session) = &conn.session else { return };
    let (id, last_op, established) = (session.session, session.last_op, session.established.0);
    let timeout_ms = session.timeout_ms;
    put(out, format_args!(",sid={id},lop={last_op},est={established},to={timeout_ms}"));
    if session.last_cxid.0 >= 0 {
        put(out, format_args!(",lcxid={:#x}", session.last_cxid.0));
    }
    let LatencyStats { count, total_ms, min_ms, max_ms } = session.latency;
    let mean_ms = total_ms.checked_div(count).unwrap_or(0);
    let (last_zxid, last_response_ms) = (session.last_zxid, session.last_response_ms);
    let last_latency_ms = session.last_latency_ms;
    put(out, format_args!(",lzxid={last_zxid},lresp={last_response_ms},llat={last_latency_ms}"));
    put(out, format_args!(",minlat={min_ms},avglat={mean_ms},maxlat={max_ms}"));
}

fn dirs(report: &ServerReport<'_>, out: &mut String) {
    line(out, format_args!("datadir_size: {}", report.data_dir_size_bytes));
    line(out, format_args!("logdir_size: {}", report.log_dir_size_bytes));
}

fn dump(report: &ServerReport<'_>, out: &mut String) {
    dump_in(report, &format::local_zone(), out);
}

fn dump_in(report: &ServerReport<'_>, zone: &TimeZone, out: &mut String) {
    let expires = |out: &mut String, count: usize, at: WallMs| {
        line(out, format_args!("{count} expire at {}:", format::date(at, zone)));
    };
    let sets = |out: &mut String, buckets: &[ExpiryBucket]| {
        let count: usize = buckets.iter().map(|bucket| bucket.sessions.len()).sum();
        line(out, format_args!("Session Sets ({})/({count}):", buckets.len()));
        for bucket in buckets {
            expires(out, bucket.sessions.len(), bucket.at);
            for session in sorted(bucket.sessions.iter().copied()) {
                line(out, format_args!("\t{session}"));
            }
        }
    };
    let tree = &report.replica.tree;
    line(out, format_args!("SessionTracker dump:"));
    let local = report.local_sessions();
    if let Some(local) = local {
        out.push_str("Local ");
        sets(out, local);
    }
    if matches!(report.replica.mode, Mode::Standalone | Mode::Leader) {
        out.push_str(local.map_or("", |_| "Global "));
        sets(out, &report.replica.expiry);
    } else {
        // Only the leader knows when they expire.
        line(out, format_args!("Global Sessions({}):", tree.session_count()));
        for (session, timeout_ms) in sorted(tree.sessions()) {
            line(out, format_args!("{session}\t{timeout_ms}ms"));
        }
    }
    let owners = sorted(tree.ephemeral_sessions());
    line(out, format_args!("ephemeral nodes dump:"));
    line(out, format_args!("Sessions with Ephemerals ({}):", owners.len()));
    for owner in owners {
        line(out, format_args!("{owner}:"));
        for path in sorted(tree.ephemerals(owner)) {
            line(out, format_args!("\t{path}"));
        }
    }
    let mut buckets: BTreeMap<u64, Vec<&ConnReport>> = BTreeMap::new();
    for conn in report.connections() {
        buckets.entry(report.idle_bucket_ms(conn)).or_default().push(conn);
    }
    let count: usize = buckets.values().map(Vec::len).sum();
    line(out, format_args!("Connections dump:\nConnections Sets ({})/({count}):", buckets.len()));
    for (expiry_ms, conns) in buckets {
        let ahead_ms = expiry_ms.cast_signed() - report.now_ms.cast_signed();
        expires(out, conns.len(), WallMs(report.now_wall.0 + ahead_ms));
        for conn in conns {
            let session = conn.session.as_ref().map_or(SessionId::NONE, |of| of.session);
            let remote = format::address(conn.remote);
            line(out, format_args!("\tip: {remote} sessionId: {session}"));
        }
    }
}

fn srvr(report: &ServerReport<'_>, out: &mut String) {
    heading(report, out);
    counters(report, out);
}

fn stat(report: &ServerReport<'_>, out: &mut String) {
    heading(report, out);
    line(out, format_args!("Clients:"));
    for conn in report.connections() {
        brief(conn, out);
        out.push_str(")\n");
    }
    out.push('\n');
    counters(report, out);
}

/// How `srvr` and `stat` begin.
fn heading(report: &ServerReport<'_>, out: &mut String) {
    line(out, format_args!("Zookeeper version: {}", version::full()));
    if report.replica.mode == Mode::ReadOnly {
        line(out, format_args!("READ-ONLY mode; serving only read-only clients"));
    }
}

/// What `srvr` and `stat` have in common.
fn counters(report: &ServerReport<'_>, out: &mut String) {
    let totals = report.totals();
    let LatencyStats { min_ms, max_ms, .. } = totals.latency;
    let mean_ms = format::double(format::four_places(totals.latency.mean_ms()));
    let tree = &report.replica.tree;
    line(out, format_args!("Latency min/avg/max: {min_ms}/{mean_ms}/{max_ms}"));
    line(out, format_args!("Received: {}", totals.received));
    line(out, format_args!("Sent: {}", totals.sent));
    line(out, format_args!("Connections: {}", totals.connections));
    line(out, format_args!("Outstanding: {}", totals.outstanding));
    line(out, format_args!("Zxid: {}", tree.last_zxid()));
    line(out, format_args!("Mode: {}", role::server_state(report.replica.mode)));
    line(out, format_args!("Node count: {}", tree.node_count()));
    if let (Mode::Leader, Some(ensemble)) = (report.replica.mode, &report.replica.ensemble) {
        let Sizes { last_bytes, min_bytes, max_bytes } = ensemble.proposals;
        let sizes = format_args!("{last_bytes}/{min_bytes}/{max_bytes}");
        line(out, format_args!("Proposal sizes last/min/max: {sizes}"));
    }
}

fn wchc(report: &ServerReport<'_>, out: &mut String) {
    let mut by_session: BTreeMap<SessionId, BTreeSet<&str>> = BTreeMap::new();
    for (path, session) in report.watches() {
        by_session.entry(session).or_default().insert(path);
    }
    for (session, paths) in by_session {
        line(out, format_args!("{session}"));
        for path in paths {
            line(out, format_args!("\t{path}"));
        }
    }
    out.push('\n');
}

fn wchp(report: &ServerReport<'_>, out: &mut String) {
    let mut by_path: BTreeMap<&str, BTreeSet<SessionId>> = BTreeMap::new();
    for (path, session) in report.watches() {
        by_path.entry(path).or_default().insert(session);
    }
    for (path, sessions) in by_path {
        line(out, format_args!("{path}"));
        for session in sessions {
            line(out, format_args!("\t{session}"));
        }
    }
    out.push('\n');
}

fn wchs(report: &ServerReport<'_>, out: &mut String) {
    let count = report.watches().count();
    let sessions: BTreeSet<SessionId> = report.watches().map(|(_, session)| session).collect();
    let paths: BTreeSet<&str> = report.watches().map(|(path, _)| path).collect();
    let (sessions, paths) = (sessions.len(), paths.len());
    line(out, format_args!("{sessions} connections watching {paths} paths"));
    line(out, format_args!("Total watches:{count}"));
}

/// Sums over all shards.
struct Totals {
    received: u64,
    sent: u64,
    latency: LatencyStats,
    responses: Sizes,
    auth_failed: u64,
    connections: usize,
    outstanding: usize,
    watches: usize,
}

impl ServerReport<'_> {
    /// Whether it has clients.
    // Java: Leader.startZkServer; with leaderServes=no the words know of no server either.
    fn serves(&self) -> bool {
        let refuses = |ensemble: &Ensemble| !ensemble.leader_serves;
        match self.replica.mode {
            Mode::Down => false,
            Mode::Leader => !self.config.ensemble.as_ref().is_some_and(refuses),
            _ => true,
        }
    }

    /// The local sessions, if such are made.
    fn local_sessions(&self) -> Option<&[ExpiryBucket]> {
        self.replica.ensemble.as_ref()?.local_expiry.as_deref()
    }

    fn connections(&self) -> impl Iterator<Item = &ConnReport> {
        self.shards.iter().flat_map(|shard| &shard.connections)
    }

    /// Every data watch: path and session.
    fn watches(&self) -> impl Iterator<Item = (&str, SessionId)> {
        let watches = self.shards.iter().flat_map(|shard| &shard.data_watches);
        watches.flat_map(|watch| watch.sessions.iter().map(|session| (&*watch.path, *session)))
    }

    /// When the connection is closed at the latest if it stays silent: shards look for such
    /// connections once in a tick.
    fn idle_bucket_ms(&self, conn: &ConnReport) -> u64 {
        let tick_ms = u64::from(self.config.tick_time_ms).max(1);
        (conn.idle_deadline_ms / tick_ms + 1) * tick_ms
    }

    fn totals(&self) -> Totals {
        let counters = || self.shards.iter().map(|shard| &shard.counters);
        let mut latency = LatencyStats::default();
        counters().for_each(|of| latency.merge(&of.latency));
        Totals {
            received: counters().map(|of| of.packets_received).sum(),
            sent: counters().map(|of| of.packets_sent).sum(),
            latency,
            responses: self.responses(),
            auth_failed: counters().map(|of| of.auth_failed).sum(),
            connections: self.connections().count(),
            outstanding: self.shards.iter().map(|shard| shard.outstanding).sum(),
            watches: self.shards.iter().map(|shard| shard.watch_counts).map(|(d, c)| d + c).sum(),
        }
    }

    /// The last response is that of the shard that has answered last, as far as the connections
    /// that are still there tell.
    fn responses(&self) -> Sizes {
        let sizes = || {
            let shards =
                self.shards.iter().filter(|shard| shard.counters.responses.last_bytes >= 0);
            shards.map(|shard| {
                let sessions = shard.connections.iter().flat_map(|conn| &conn.session);
                (sessions.map(|session| session.last_response_ms).max(), shard.counters.responses)
            })
        };
        let none = Sizes::default();
        Sizes {
            last_bytes: sizes().max_by_key(|of| of.0).map_or(none.last_bytes, |of| of.1.last_bytes),
            min_bytes: sizes().map(|of| of.1.min_bytes).min().unwrap_or(none.min_bytes),
            max_bytes: sizes().map(|of| of.1.max_bytes).max().unwrap_or(none.max_bytes),
        }
    }
}

/// What most words say when there is no leader.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    put(out, text);
    out.push('\n');
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("text goes into a String");
}
