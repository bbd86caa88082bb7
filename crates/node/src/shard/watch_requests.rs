//! Requests about watches: leaving them by themselves, checking them, taking them back.

use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{Xid, Zxid};
use ostler_wire::jute::Put as _;
use ostler_wire::reply::EventType;
use ostler_wire::request::WatchLists;

use super::conn::Conn;
use super::read::{ReadResult, Reading, catch_up};
use super::watches::{Mode, Table};

impl Reading<'_> {
    /// Registers what a client had before it lost its connection, or tells at once what it missed.
    pub(super) fn set_watches(&mut self, conn: &mut Conn, lists: &WatchLists<'_>) {
        for path in &lists.data {
            self.resume_watch(conn, Table::Data, path, lists.relative_zxid);
        }
        for path in &lists.exist {
            match self.view.node(path) {
                None => self.watch(conn, Table::Data, path),
                Some(_) => catch_up(conn, EventType::NodeCreated, path),
            }
        }
        for path in &lists.child {
            self.resume_watch(conn, Table::Child, path, lists.relative_zxid);
        }
        for path in &lists.persistent {
            self.watch_persistently(conn, path);
        }
        for path in &lists.recursive {
            self.watch_recursively(conn, path);
        }
    }

    /// A watch on a znode that was there when the client last saw it, at `seen`.
    fn resume_watch(&mut self, conn: &mut Conn, table: Table, path: &str, seen: Zxid) {
        let Some(znode) = self.view.node(path) else {
            return catch_up(conn, EventType::NodeDeleted, path);
        };
        let stat = znode.stat();
        let (changed, event) = match table {
            Table::Data => (stat.mzxid, EventType::NodeDataChanged),
            Table::Child => (stat.pzxid, EventType::NodeChildrenChanged),
        };
        if changed > seen {
            catch_up(conn, event, path);
        } else {
            self.watch(conn, table, path);
        }
    }

    /// The znode need not be there, and nobody asks whether it may be read: events are filtered.
    pub(super) fn add_watch(
        &mut self,
        conn: &mut Conn,
        xid: Xid,
        path: &str,
        mode: i32,
    ) -> ReadResult {
        match mode {
            0 => self.watch_persistently(conn, path),
            1 => self.watch_recursively(conn, path),
            _ => return Err(ErrorCode::MARSHALLING_ERROR),
        }
        conn.reply_with(self.ok(xid), |out| out.put_int(ErrorCode::OK.0));
        Ok(())
    }

    pub(super) fn check_watches(
        &self,
        conn: &mut Conn,
        xid: Xid,
        path: &str,
        watcher_type: i32,
    ) -> ReadResult {
        let (mode, tables) = meant_by(watcher_type)?;
        // Java: DataTree.containsWatcher looks for persistent watches in the data table alone.
        let tables = if mode == Mode::PERSISTENT { &[Table::Data] } else { tables };
        let slot = conn.id.slot;
        let found = tables.iter().any(|table| self.watches.contains(*table, mode, path, slot));
        self.found(conn, xid, found)
    }

    /// Takes out what there is; no event tells of it.
    pub(super) fn remove_watches(
        &mut self,
        conn: &mut Conn,
        xid: Xid,
        path: &str,
        watcher_type: i32,
    ) -> ReadResult {
        let (mode, tables) = meant_by(watcher_type)?;
        let mut found = false;
        for table in tables {
            found |= self.watches.remove(*table, mode, path, conn.id.slot);
        }
        self.found(conn, xid, found)
    }

    fn found(&self, conn: &mut Conn, xid: Xid, found: bool) -> ReadResult {
        if !found {
            return Err(ErrorCode::NO_WATCHER);
        }
        conn.reply_with(self.ok(xid), |_| {});
        Ok(())
    }

    fn watch_persistently(&mut self, conn: &mut Conn, path: &str) {
        for table in Table::ALL {
            let watch = (table, Mode::PERSISTENT);
            self.watches.add(watch, path, conn.id.slot, &mut conn.watched);
        }
    }

    fn watch_recursively(&mut self, conn: &mut Conn, path: &str) {
        let watch = (Table::Data, Mode::RECURSIVE);
        self.watches.add(watch, path, conn.id.slot, &mut conn.watched);
    }
}

/// The modes and tables that a watcher type means.
fn meant_by(watcher_type: i32) -> Result<(Mode, &'static [Table]), ErrorCode> {
    match watcher_type {
        1 => Ok((Mode::STANDARD, &[Table::Child])),
        2 => Ok((Mode::STANDARD, &[Table::Data])),
        3 => Ok((Mode::ANY, &Table::ALL)),
        4 => Ok((Mode::PERSISTENT, &Table::ALL)),
        5 => Ok((Mode::RECURSIVE, &[Table::Data])),
        _ => Err(ErrorCode::MARSHALLING_ERROR),
    }
}
