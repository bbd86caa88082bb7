//! What a shard tells of itself.

use alloc::vec::Vec;

use ostler_wire::op::OpCode;

use super::conn::{Conn, State};
use super::watches::{Slot, Table};
use super::{Shard, idle_limit_ms};
use crate::status::{ConnReport, SessionReport, ShardReport, WatchReport};

impl Shard {
    /// A report of everything here; of single watches only `with_watches`, since there can be
    /// millions.
    #[must_use]
    pub fn report(&self, with_watches: bool) -> ShardReport {
        let mut data_watches = Vec::new();
        if with_watches {
            data_watches.extend(self.watches.iter(Table::Data).map(|(path, slots)| WatchReport {
                path: path.into(),
                sessions: slots.filter_map(|slot| self.session_of(slot)).collect(),
            }));
        }
        ShardReport {
            connections: self.conns.iter().flatten().map(|conn| self.describe(conn)).collect(),
            counters: self.counters,
            metrics: self.metrics,
            outstanding: self.outstanding,
            data_watches,
            watch_counts: (self.watches.count(Table::Data), self.watches.count(Table::Child)),
        }
    }

    fn session_of(&self, slot: Slot) -> Option<ostler_wire::ids::SessionId> {
        self.conns.get(slot as usize)?.as_ref().map(|conn| conn.session)
    }

    fn describe(&self, conn: &Conn) -> ConnReport {
        let stats = &conn.stats;
        let has_session = conn.session != ostler_wire::ids::SessionId::NONE;
        ConnReport {
            conn: conn.id,
            remote: conn.remote,
            queued: conn.pending.len(),
            received: stats.received,
            sent: stats.sent,
            reading: matches!(conn.state, State::New | State::Open) && !conn.paused,
            writing: conn.output.len() > conn.unsent_start,
            session: has_session.then(|| SessionReport {
                session: conn.session,
                last_op: stats.last_op.map_or("NA", OpCode::short_name),
                established: stats.established,
                timeout_ms: conn.timeout_ms,
                last_cxid: stats.last_cxid,
                last_zxid: stats.last_zxid,
                last_response_ms: stats.last_response.millis(),
                last_latency_ms: stats.last_latency_ms,
                latency: stats.latency,
            }),
            idle_deadline_ms: conn.last_active.millis() + idle_limit_ms(&self.settings, conn),
        }
    }
}
