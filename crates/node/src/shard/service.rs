//! Whether clients are served: what a shard does when its server finds or loses its leader.
//!
//! ```text
//!            leader lost                a tick without one
//!    Up ───────────────────► Held ───────────────────────► Down
//!     ▲◄─────────────────────┘                              │
//!     └─────────────────────────────────────────────────────┘
//!            leader found, history complete
//! ```
//!
//! From Down it may also go to `ReadOnly` and back, for clients that are content with reading.
//!
//! Nobody who is held is looked for: a connection is paused when it sends something, so what is
//! kept of it is at most what its socket brought in one go. Commits come in every state, with
//! their changes, and set off watches; but only requests that were taken before are answered.

use alloc::vec::Vec;

use ostler_tree::Tree;

use super::conn::{Conn, State};
use super::{Shard, ShardEffect, close};
use crate::clock::Clock;
use crate::messages::Service;

impl Shard {
    /// Serves from now on as `service` says; `view` is the world as it is then.
    pub(super) fn serve_as(
        &mut self,
        at: Clock,
        service: Service,
        view: &Tree,
        out: &mut Vec<ShardEffect>,
    ) {
        self.service = service;
        let held_view = self.held_view.take();
        match service {
            Service::Up => {
                // Who was held could say nothing, so the scan for the silent begins anew.
                self.idle_deadline = at.now + self.idle_scan_period();
                // A local session is in no view, so that its absence says nothing.
                let Some(before) = held_view else { return };
                let knows = |view: &Tree, conn: &Conn| {
                    conn.state == State::Open && view.session_timeout_ms(conn.session).is_some()
                };
                self.close_where(out, |conn| knows(&before, conn) && !knows(view, conn));
            }
            // The leader that had the request is gone, and with it whether the request was taken.
            Service::Held => {
                self.held_view = Some(view.clone());
                self.close_where(out, |conn| {
                    !conn.pending.is_empty() || matches!(conn.state, State::Connecting { .. })
                });
            }
            // Who has not asked for anything yet is told when it does.
            Service::Down => self.close_where(out, |conn| conn.state != State::New),
            // It was down before, so there is nobody yet.
            Service::ReadOnly => self.idle_deadline = at.now + self.idle_scan_period(),
        }
    }

    fn close_where(&mut self, out: &mut Vec<ShardEffect>, is_meant: impl Fn(&Conn) -> bool) {
        for conn in self.conns.iter_mut().flatten().filter(|conn| is_meant(conn)) {
            close(conn, out);
        }
    }
}
