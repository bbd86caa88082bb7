//! Reads: answered from the view that the shard holds, without asking anybody.

use ostler_tree::{Tree, Znode};
use ostler_wire::acl::{Acl, Perms};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Zxid;
use ostler_wire::jute::Put as _;
use ostler_wire::reply::{EventType, ReplyHeader, WatcherEvent, write_acl, write_names};
use ostler_wire::request::{Request, WatchLists};
use ostler_wire::{frame, ids::Xid};

use super::conn::Conn;
use super::watches::{Table, Watches};
use crate::auth;
use crate::limits::AuthSettings;

/// What reading needs besides the connection.
pub(super) struct Reading<'s> {
    pub(super) view: &'s Tree,
    pub(super) auth: &'s AuthSettings,
    pub(super) watches: &'s mut Watches,
}

impl Reading<'_> {
    /// Queues the answer to `request` on `conn`.
    pub(super) fn answer(&mut self, conn: &mut Conn, xid: Xid, request: &Request<'_>) {
        let answered = match request {
            Request::Exists { path, watch } => self.exists(conn, xid, path, *watch),
            Request::GetData { path, watch } => self.get_data(conn, xid, path, *watch),
            Request::GetChildren { path, watch } => {
                self.get_children(conn, xid, path, (*watch, false))
            }
            Request::GetChildren2 { path, watch } => {
                self.get_children(conn, xid, path, (*watch, true))
            }
            Request::GetAcl { path } => self.get_acl(conn, xid, path),
            Request::Ping => {
                // Whatever number the ping came with.
                conn.reply(Xid::PING, self.view.last_zxid(), ErrorCode::OK);
                Ok(())
            }
            Request::SetWatches(lists) => {
                self.set_watches(conn, lists);
                conn.reply(xid, self.view.last_zxid(), ErrorCode::OK);
                Ok(())
            }
            Request::CheckWatches { path, watcher_type } => Self::watch_tables(*watcher_type)
                .map(|tables| self.has_watch(conn, path, tables))
                .and_then(|found| self.found(conn, xid, found)),
            Request::RemoveWatches { path, watcher_type } => Self::watch_tables(*watcher_type)
                .map(|tables| self.remove_watches(conn, path, tables))
                .and_then(|found| self.found(conn, xid, found)),
            _ => Err(ErrorCode::UNIMPLEMENTED),
        };
        if let Err(err) = answered {
            conn.reply(xid, self.view.last_zxid(), err);
        }
    }

    fn ok(&self, xid: Xid) -> ReplyHeader {
        ReplyHeader { xid, zxid: self.view.last_zxid(), err: ErrorCode::OK }
    }

    /// The znode at `path`, if `conn` may do `wanted` with it.
    fn allowed(&self, conn: &Conn, path: &str, wanted: Perms) -> Result<&Znode, ErrorCode> {
        let znode = self.view.node(path).ok_or(ErrorCode::NO_NODE)?;
        let acl = self.view.acl(znode.acl_id());
        if auth::allows(self.auth, acl, wanted, &conn.ids) {
            Ok(znode)
        } else {
            Err(ErrorCode::NO_AUTH)
        }
    }

    fn exists(&mut self, conn: &mut Conn, xid: Xid, path: &str, watch: bool) -> ReadResult {
        if path.contains('\0') {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        let stat = match self.allowed(conn, path, Perms::READ) {
            Ok(znode) => Ok(znode.stat()),
            // The one read that leaves its watch where there is nothing yet.
            Err(ErrorCode::NO_NODE) => Err(ErrorCode::NO_NODE),
            Err(refused) => return Err(refused),
        };
        if watch {
            self.watch(conn, Table::Data, path);
        }
        let stat = stat?;
        conn.reply_with(self.ok(xid), |out| stat.write(out));
        Ok(())
    }

    fn get_data(&mut self, conn: &mut Conn, xid: Xid, path: &str, watch: bool) -> ReadResult {
        let header = self.ok(xid);
        let znode = self.allowed(conn, path, Perms::READ)?;
        conn.reply_with(header, |out| {
            out.put_buffer(znode.data());
            znode.stat().write(out);
        });
        if watch {
            self.watch(conn, Table::Data, path);
        }
        Ok(())
    }

    fn get_children(
        &mut self,
        conn: &mut Conn,
        xid: Xid,
        path: &str,
        (watch, with_stat): (bool, bool),
    ) -> ReadResult {
        let header = self.ok(xid);
        let znode = self.allowed(conn, path, Perms::READ)?;
        conn.reply_with(header, |out| {
            write_names(znode.child_count(), znode.children(), out);
            if with_stat {
                znode.stat().write(out);
            }
        });
        if watch {
            self.watch(conn, Table::Child, path);
        }
        Ok(())
    }

    fn get_acl(&self, conn: &mut Conn, xid: Xid, path: &str) -> ReadResult {
        let znode = self.allowed(conn, path, Perms::READ.union(Perms::ADMIN))?;
        let acl = self.view.acl(znode.acl_id());
        let stat = znode.stat();
        let header = self.ok(xid);
        if auth::allows(self.auth, acl, Perms::ADMIN, &conn.ids) {
            conn.reply_with(header, |out| write_acl(acl, &stat, out));
        } else {
            let redacted: alloc::vec::Vec<Acl> = acl.iter().map(redact).collect();
            conn.reply_with(header, |out| write_acl(&redacted, &stat, out));
        }
        Ok(())
    }

    /// Registers what a client had before it lost its connection, or tells at once what it missed.
    fn set_watches(&mut self, conn: &mut Conn, lists: &WatchLists<'_>) {
        for path in &lists.data {
            match self.view.node(path) {
                None => catch_up(conn, EventType::NodeDeleted, path),
                Some(znode) if znode.stat().mzxid > lists.relative_zxid => {
                    catch_up(conn, EventType::NodeDataChanged, path);
                }
                Some(_) => self.watch(conn, Table::Data, path),
            }
        }
        for path in &lists.exist {
            match self.view.node(path) {
                None => self.watch(conn, Table::Data, path),
                Some(_) => catch_up(conn, EventType::NodeCreated, path),
            }
        }
        for path in &lists.child {
            match self.view.node(path) {
                None => catch_up(conn, EventType::NodeDeleted, path),
                Some(znode) if znode.stat().pzxid > lists.relative_zxid => {
                    catch_up(conn, EventType::NodeChildrenChanged, path);
                }
                Some(_) => self.watch(conn, Table::Child, path),
            }
        }
    }

    /// The tables that a watcher type of checkWatches and removeWatches means.
    fn watch_tables(watcher_type: i32) -> Result<&'static [Table], ErrorCode> {
        match watcher_type {
            1 => Ok(&[Table::Child]),
            2 => Ok(&[Table::Data]),
            3 => Ok(&[Table::Child, Table::Data]),
            // Persistent ones, of which nobody has any.
            4 | 5 => Ok(&[]),
            _ => Err(ErrorCode::MARSHALLING_ERROR),
        }
    }

    fn has_watch(&self, conn: &Conn, path: &str, tables: &[Table]) -> bool {
        tables.iter().any(|table| self.watches.contains(*table, path, conn.id.slot))
    }

    /// Takes out what there is; no event tells of it.
    fn remove_watches(&mut self, conn: &Conn, path: &str, tables: &[Table]) -> bool {
        let mut found = false;
        for table in tables {
            found |= self.watches.remove(*table, path, conn.id.slot);
        }
        found
    }

    fn found(&self, conn: &mut Conn, xid: Xid, found: bool) -> ReadResult {
        if !found {
            return Err(ErrorCode::NO_WATCHER);
        }
        conn.reply_with(self.ok(xid), |_| {});
        Ok(())
    }

    fn watch(&mut self, conn: &mut Conn, table: Table, path: &str) {
        self.watches.add(table, path, conn.id.slot, &mut conn.watched);
    }
}

type ReadResult = Result<(), ErrorCode>;

/// An event for something that happened while the client was away: without a zxid, unfiltered.
fn catch_up(conn: &mut Conn, event_type: EventType, path: &str) {
    frame::put(&mut conn.output, |out| {
        WatcherEvent::write_notification(Zxid::NONE, event_type, path, out);
    });
    conn.stats.sent += 1;
}

/// Without ADMIN, the hashes of digest ids are nobody's business.
fn redact(entry: &Acl) -> Acl {
    let mut shown = entry.clone();
    if shown.id.scheme == "digest"
        && let Some((user, _)) = entry.id.id.split_once(':')
    {
        shown.id.id = alloc::format!("{user}:x");
    }
    shown
}
