//! `mntr`: one line for each number that is measured, `zk_<name><TAB><value>`.
//!
//! Every gauge that a standalone server of Apache's has is here, in the same order, also those
//! that are always 0, because monitoring asks for them by name. Counters and summaries are not
//! here: a number that nobody measures is not shown as 0.

use super::{STATE, ServerReport, format, line};
use crate::version;

pub(super) fn write(report: &ServerReport<'_>, out: &mut String) {
    line(out, format_args!("zk_version\t{}", version::full()));
    line(out, format_args!("zk_server_state\t{STATE}"));
    for (name, value) in gauges(report) {
        match value {
            Value::Whole(value) => line(out, format_args!("zk_{name}\t{value}")),
            Value::Double(value) => {
                line(out, format_args!("zk_{name}\t{}", format::double(value)));
            }
        }
    }
}

/// A measured number.
enum Value {
    Whole(i64),
    Double(f64),
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

fn gauges(report: &ServerReport<'_>) -> [(&'static str, Value); 24] {
    let totals = report.totals();
    let (tree, responses) = (&report.replica.tree, totals.responses);
    [
        ("ephemerals_count", tree.ephemeral_count().into()),
        ("num_alive_connections", totals.connections.into()),
        ("avg_latency", Value::Double(format::four_places(totals.latency.mean_ms()))),
        ("outstanding_requests", totals.outstanding.into()),
        ("znode_count", tree.node_count().into()),
        ("global_sessions", tree.session_count().into()),
        ("non_mtls_remote_conn_count", Value::Whole(0)),
        ("last_client_response_size", Value::Whole(responses.last_bytes)),
        ("packets_sent", totals.sent.into()),
        ("packets_received", totals.received.into()),
        ("max_client_response_size", Value::Whole(responses.max_bytes)),
        ("connection_drop_probability", Value::Double(0.0)),
        ("watch_count", totals.watches.into()),
        ("auth_failed_count", totals.auth_failed.into()),
        ("min_latency", totals.latency.min_ms.into()),
        ("max_file_descriptor_count", report.max_files.into()),
        ("approximate_data_size", tree.data_size_bytes().into()),
        ("open_file_descriptor_count", report.open_files.into()),
        ("local_sessions", Value::Whole(0)),
        ("uptime", report.uptime_ms.into()),
        ("max_latency", totals.latency.max_ms.into()),
        ("outstanding_tls_handshake", Value::Whole(0)),
        ("min_client_response_size", Value::Whole(responses.min_bytes)),
        ("non_mtls_local_conn_count", Value::Whole(0)),
    ]
}
