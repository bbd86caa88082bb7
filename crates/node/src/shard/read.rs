//! Reads: answered from the view that the shard holds, without asking anybody.

use alloc::string::String;
use alloc::vec::Vec;

use ostler_tree::{Tree, Znode};
use ostler_wire::acl::{Acl, Perms};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Zxid;
use ostler_wire::jute::Put as _;
use ostler_wire::reply::{EventType, OpResult, ReplyHeader, WatcherEvent, write_acl, write_names};
use ostler_wire::request::Request;
use ostler_wire::{frame, ids::Xid};

use super::conn::Conn;
use super::watches::{Mode, Table, Watches};
use crate::auth;
use crate::limits::{AuthSettings, MULTI_READ_ANSWER_MAX_BYTES};
use crate::messages::Ids;

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
            Request::SetWatches(lists) | Request::SetWatches2(lists) => {
                self.set_watches(conn, lists);
                conn.reply(xid, self.view.last_zxid(), ErrorCode::OK);
                Ok(())
            }
            Request::AddWatch { path, mode } => self.add_watch(conn, xid, path, *mode),
            Request::CheckWatches { path, watcher_type } => {
                self.check_watches(conn, xid, path, *watcher_type)
            }
            Request::RemoveWatches { path, watcher_type } => {
                self.remove_watches(conn, xid, path, *watcher_type)
            }
            Request::MultiRead(parts) => self.multi_read(conn, xid, parts),
            Request::GetEphemerals { prefix } => {
                self.ephemerals(conn, xid, prefix.as_deref());
                Ok(())
            }
            Request::GetAllChildrenNumber { path } => self.count_below(conn, xid, path),
            Request::WhoAmI => {
                self.who_am_i(conn, xid);
                Ok(())
            }
            _ => Err(ErrorCode::UNIMPLEMENTED),
        };
        if let Err(err) = answered {
            conn.reply(xid, self.view.last_zxid(), err);
        }
    }

    pub(super) fn ok(&self, xid: Xid) -> ReplyHeader {
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
            let redacted: Vec<Acl> = acl.iter().map(redact).collect();
            conn.reply_with(header, |out| write_acl(&redacted, &stat, out));
        }
        Ok(())
    }

    /// Leaves a standard watch.
    pub(super) fn watch(&mut self, conn: &mut Conn, table: Table, path: &str) {
        let watch = (table, Mode::STANDARD);
        self.watches.add(watch, path, conn.id.slot, &mut conn.watched);
    }

    /// Answers each part for itself; watch flags inside do nothing.
    fn multi_read(&self, conn: &mut Conn, xid: Xid, parts: &[Request<'_>]) -> ReadResult {
        let mut results = Vec::with_capacity(parts.len());
        let mut bytes = 0;
        for part in parts {
            let result = self.part(conn, part).unwrap_or_else(OpResult::Error);
            bytes += match &result {
                OpResult::Data { data, .. } => data.as_ref().map_or(0, Vec::len),
                OpResult::Children(names) => {
                    names.iter().map(|name| size_of::<String>() + name.len()).sum()
                }
                _ => 0,
            };
            if bytes > MULTI_READ_ANSWER_MAX_BYTES {
                return Err(ErrorCode::SYSTEM_ERROR);
            }
            results.push(result);
        }
        conn.reply_with(self.ok(xid), |out| OpResult::write_all(&results, out));
        Ok(())
    }

    fn part(&self, conn: &Conn, part: &Request<'_>) -> Result<OpResult, ErrorCode> {
        match part {
            Request::GetData { path, .. } => {
                let znode = self.allowed(conn, path, Perms::READ)?;
                let data = znode.data().map(<[u8]>::to_vec);
                Ok(OpResult::Data { data, stat: znode.stat() })
            }
            Request::GetChildren { path, .. } => {
                let znode = self.allowed(conn, path, Perms::READ)?;
                Ok(OpResult::Children(znode.children().map(String::from).collect()))
            }
            _ => unreachable!("the decoder lets only these two in"),
        }
    }

    /// The ephemerals of the calling session whose paths begin with `prefix`, as plain text.
    fn ephemerals(&self, conn: &mut Conn, xid: Xid, prefix: Option<&str>) {
        let prefix = match prefix.map(str::trim) {
            None | Some("" | "/") => "",
            Some(_) => prefix.unwrap_or_default(),
        };
        let paths = self.view.ephemerals(conn.session).filter(|path| path.starts_with(prefix));
        let paths: Vec<&str> = paths.collect();
        conn.reply_with(self.ok(xid), |out| write_names(paths.len(), paths, out));
    }

    /// How many znodes there are below one, at all levels.
    fn count_below(&self, conn: &mut Conn, xid: Xid, path: &str) -> ReadResult {
        let header = self.ok(xid);
        self.allowed(conn, path, Perms::READ)?;
        let mut walk = self.view.walk_below(path).ok_or(ErrorCode::NO_NODE)?;
        let mut count = 0;
        while walk.next().is_some() {
            count += 1;
        }
        // The walk begins with the znode itself. Java: the root stands in its map twice, as "/" and
        // as "", and counts itself below the latter.
        let below = if path.is_empty() { count } else { count - 1 };
        conn.reply_with(header, |out| out.put_int(below));
        Ok(())
    }

    /// Every id of the connection, without what is secret in it.
    fn who_am_i(&self, conn: &mut Conn, xid: Xid) {
        let ids = Ids::clone(&conn.ids);
        conn.reply_with(self.ok(xid), |out| {
            out.put_count(ids.len());
            for id in &*ids {
                out.put_string(&id.scheme);
                out.put_string(auth::user(id));
            }
        });
    }
}

/// A refusal is answered by whoever asked for the read.
pub(super) type ReadResult = Result<(), ErrorCode>;

/// An event for something that happened while the client was away: without a zxid, unfiltered.
pub(super) fn catch_up(conn: &mut Conn, event_type: EventType, path: &str) {
    frame::put(conn.tail(), |out| {
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
