//! `mntr`: one line for each number that is measured, `zk_<name><TAB><value>`.
//!
//! Every gauge that a server of Apache's has is here, in the same order, also those that are
//! always 0, because monitoring asks for them by name. So are its counters, but for those of
//! parts that only Apache's server is made of: a number that nobody measures is not shown as 0.
//! What Ostler has no need to do (a cache of answers, late removal of watches) it does 0 times.
//! Summaries are not here.

use super::{ServerReport, format, line, role};
use crate::config::membership::Role;
use crate::version;
use ostler_node::status::{EnsembleReport, Mode, ShardMetrics, Sizes};
use ostler_zab::leader::LearnerReport;

pub(super) fn write(report: &ServerReport<'_>, out: &mut String) {
    let mode = report.replica.mode;
    line(out, format_args!("zk_version\t{}", version::full()));
    line(out, format_args!("zk_server_state\t{}", role::server_state(mode)));
    if let Some(state) = role::peer_state(mode) {
        line(out, format_args!("zk_peer_state\t{state}"));
    }
    let leader = report.replica.ensemble.as_ref().and_then(|ensemble| ensemble.leader);
    if let (Mode::Observer, Some(leader)) = (mode, leader) {
        line(out, format_args!("zk_observer_master_id\t{leader}"));
    }
    for (name, value) in gauges(report) {
        match value {
            Value::Whole(value) => line(out, format_args!("zk_{name}\t{value}")),
            Value::Double(value) => {
                line(out, format_args!("zk_{name}\t{}", format::double(value)));
            }
            Value::Absent => {}
        }
    }
    for (name, count) in counters(report) {
        line(out, format_args!("zk_{name}\t{count}"));
    }
}

/// A measured number.
enum Value {
    Whole(i64),
    Double(f64),
    /// A server in this role has no such number.
    Absent,
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::Absent, Self::Whole)
    }
}

impl From<Option<usize>> for Value {
    fn from(value: Option<usize>) -> Self {
        value.map_or(Self::Absent, Self::from)
    }
}

fn gauges(report: &ServerReport<'_>) -> [(&'static str, Value); 34] {
    let totals = report.totals();
    let (tree, responses) = (&report.replica.tree, totals.responses);
    let leading = Leading::of(report);
    let learners = |counts: fn(&LearnerReport) -> bool| Value::from(leading.learners(counts));
    let proposals = |size: fn(&Sizes) -> i64| Value::from(leading.proposals().map(size));
    [
        ("ephemerals_count", tree.ephemeral_count().into()),
        ("num_alive_connections", totals.connections.into()),
        ("avg_latency", Value::Double(format::four_places(totals.latency.mean_ms()))),
        ("min_proposal_size", proposals(|sizes| sizes.min_bytes)),
        ("outstanding_requests", totals.outstanding.into()),
        ("znode_count", tree.node_count().into()),
        ("global_sessions", tree.session_count().into()),
        ("non_mtls_remote_conn_count", Value::Whole(0)),
        ("last_client_response_size", Value::Whole(responses.last_bytes)),
        ("packets_sent", totals.sent.into()),
        ("packets_received", totals.received.into()),
        ("max_proposal_size", proposals(|sizes| sizes.max_bytes)),
        ("max_client_response_size", Value::Whole(responses.max_bytes)),
        ("synced_followers", learners(|learner| learner.synced && !learner.observer)),
        ("connection_drop_probability", Value::Double(0.0)),
        ("watch_count", totals.watches.into()),
        (
            "synced_non_voting_followers",
            learners(|learner| learner.synced && !learner.observer && !learner.voter),
        ),
        ("synced_observers", learners(|learner| learner.synced && learner.observer)),
        ("auth_failed_count", totals.auth_failed.into()),
        ("min_latency", totals.latency.min_ms.into()),
        ("max_file_descriptor_count", report.max_files.into()),
        ("approximate_data_size", tree.data_size_bytes().into()),
        ("open_file_descriptor_count", report.open_files.into()),
        ("last_proposal_size", proposals(|sizes| sizes.last_bytes)),
        ("pending_syncs", leading.0.map(|ensemble| ensemble.pending_syncs).into()),
        ("leader_uptime", leading.0.map_or(Value::Absent, |_| report.uptime_ms.into())),
        ("local_sessions", local_sessions(report).into()),
        ("uptime", report.uptime_ms.into()),
        ("max_latency", totals.latency.max_ms.into()),
        ("outstanding_tls_handshake", Value::Whole(0)),
        ("learners", learners(|_| true)),
        ("min_client_response_size", Value::Whole(responses.min_bytes)),
        ("non_mtls_local_conn_count", Value::Whole(0)),
        ("quorum_size", quorum_size(report).into()),
    ]
}

fn counters(report: &ServerReport<'_>) -> [(&'static str, u64); 37] {
    let sum = |of: fn(&ShardMetrics) -> u64| -> u64 {
        report.shards.iter().map(|shard| of(&shard.metrics)).sum()
    };
    let ensemble = report.replica.ensemble.as_ref();
    let member = ensemble.map(|ensemble| ensemble.metrics).unwrap_or_default();
    [
        ("watch_bytes", sum(|of| of.watch_bytes)),
        ("stale_requests_dropped", sum(|of| of.stale_requests_dropped)),
        ("throttled_ops", sum(|of| of.throttled_ops)),
        ("insecure_admin_count", 0),
        ("connection_rejected", sum(|of| of.connections_rejected)),
        ("sessionless_connections_expired", sum(|of| of.sessionless_expired)),
        ("dead_watchers_queued", 0),
        ("stale_requests", sum(|of| of.stale_requests_dropped)),
        ("connection_drop_count", sum(|of| of.connections_lost)),
        ("response_packet_cache_hits", 0),
        ("bytes_received_count", sum(|of| of.bytes_received)),
        ("add_dead_watcher_stall_time", 0),
        ("response_packet_cache_misses", 0),
        ("response_bytes", sum(|of| of.response_bytes)),
        ("diff_count", member.diffs_sent),
        ("connection_revalidate_count", sum(|of| of.renewal_requests)),
        ("unrecoverable_error_count", 0),
        ("commit_count", member.commits),
        ("proposal_count", member.proposals),
        ("large_requests_rejected", sum(|of| of.large_requests_rejected)),
        ("restore_error_count", 0),
        ("cnxn_closed_without_zk_server_running", sum(|of| of.closed_without_service)),
        ("looking_count", member.searches),
        ("snapshot_rate_limited_count", 0),
        ("learner_proposal_received_count", member.proposals_received),
        ("digest_mismatches_count", member.digest_mismatches),
        ("dead_watchers_cleared", 0),
        ("learner_commit_received_count", member.commits_received),
        ("snapshot_error_count", 0),
        ("connection_request_count", sum(|of| of.connection_requests)),
        ("response_packet_get_children_cache_misses", 0),
        ("snap_count", member.snapshots_sent),
        ("stale_sessions_expired", report.replica.expired_sessions),
        ("restore_rate_limited_count", 0),
        ("response_packet_get_children_cache_hits", 0),
        ("tls_handshake_exceeded", 0),
        ("revalidate_count", member.revalidations),
    ]
}

/// The report of a leader, and of nobody else.
struct Leading<'r>(Option<&'r EnsembleReport>);

impl<'r> Leading<'r> {
    fn of(report: &'r ServerReport<'_>) -> Self {
        let leads = report.replica.mode == Mode::Leader;
        Self(report.replica.ensemble.as_ref().filter(|_| leads))
    }

    fn learners(&self, counts: fn(&LearnerReport) -> bool) -> Option<usize> {
        self.0.map(|ensemble| ensemble.learners.iter().filter(|one| counts(one)).count())
    }

    fn proposals(&self) -> Option<&'r Sizes> {
        self.0.map(|ensemble| &ensemble.proposals)
    }
}

fn local_sessions(report: &ServerReport<'_>) -> usize {
    let buckets = report.local_sessions().unwrap_or_default();
    buckets.iter().map(|bucket| bucket.sessions.len()).sum()
}

/// How many servers vote.
fn quorum_size(report: &ServerReport<'_>) -> Option<usize> {
    let serves = role::peer_state(report.replica.mode).is_some();
    serves.then(|| report.config.membership.count(Role::Participant))
}
