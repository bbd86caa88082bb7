//! How transcripts show what clients receive.

use ostler_wire::acl::{Acl, Perms};
use ostler_wire::connect::ConnectResponse;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::reply::OpResult;
use ostler_wire::stat::Stat;

use crate::common::WALL_START_MS;
use crate::common::answer::{Answer, Frame};

/// Short names of sessions, by the order in which they were met.
#[derive(Default)]
pub(crate) struct Names {
    sessions: Vec<SessionId>,
}

impl Names {
    /// One line for a frame.
    pub(crate) fn frame(&mut self, frame: &Frame) -> String {
        match frame {
            Frame::Connected(response) => self.connected(response),
            Frame::Text(text) => format!("text {text:?}"),
            Frame::Event { zxid, event_type, path } => {
                format!("event {} {event_type:?} {path}", short_zxid(*zxid))
            }
            Frame::Reply { xid, zxid, outcome } => {
                let outcome = match outcome {
                    Ok(answer) => self.answer(answer),
                    Err(code) => error(*code),
                };
                format!("{} {} {outcome}", short_xid(*xid), short_zxid(*zxid))
            }
        }
    }

    fn connected(&mut self, response: &ConnectResponse) -> String {
        let read_only = match response.read_only {
            None => " without readOnly",
            Some(false) => "",
            Some(true) => " read-only",
        };
        if response.session == SessionId::NONE {
            assert_eq!((response.timeout_ms, response.password), (0, [0; 16]));
            return format!("refused{read_only}");
        }
        let session = self.session(response.session);
        format!("connected {session} timeout={}{read_only}", response.timeout_ms)
    }

    fn session(&mut self, session: SessionId) -> String {
        let known = self.sessions.iter().position(|known| *known == session);
        let at = known.unwrap_or_else(|| {
            self.sessions.push(session);
            self.sessions.len() - 1
        });
        format!("S{}", at + 1)
    }

    fn answer(&mut self, answer: &Answer) -> String {
        match answer {
            Answer::Empty => "ok".to_owned(),
            Answer::Path(path) => format!("ok {path}"),
            Answer::PathStat(path, stat) => format!("ok {path} {}", self.stat(stat)),
            Answer::Stat(stat) => format!("ok {}", self.stat(stat)),
            Answer::Data(value, stat) => format!("ok {} {}", data(value), self.stat(stat)),
            Answer::Children(names) => format!("ok [{}]", names.join(" ")),
            Answer::ChildrenStat(names, stat) => {
                format!("ok [{}] {}", names.join(" "), self.stat(stat))
            }
            Answer::Acl(acl, stat) => format!("ok {} {}", list(acl), self.stat(stat)),
            Answer::Multi(results) => {
                let results: Vec<_> = results.iter().map(|result| self.result(result)).collect();
                format!("ok [{}]", results.join(" | "))
            }
            Answer::Number(number) => format!("ok {number}"),
            Answer::Ids(ids) => {
                let ids: Vec<_> =
                    ids.iter().map(|(scheme, user)| format!("{scheme}:{user}")).collect();
                format!("ok {}", ids.join(" "))
            }
            Answer::NoParts(code) => format!("{} []", error(*code)),
            Answer::Token(token) => format!("ok token {}", data(token)),
            Answer::Sync(None) => "ok <null>".to_owned(),
            Answer::Sync(Some(path)) => format!("ok {path:?}"),
        }
    }

    fn result(&mut self, result: &OpResult) -> String {
        match result {
            OpResult::Created { path } => format!("created {path}"),
            OpResult::CreatedWithStat { path, stat } => {
                format!("created2 {path} {}", self.stat(stat))
            }
            OpResult::Deleted => "deleted".to_owned(),
            OpResult::DataSet(stat) => format!("set {}", self.stat(stat)),
            OpResult::Checked => "checked".to_owned(),
            OpResult::Error(code) => error(*code),
            OpResult::Data { data: value, stat } => format!("{} {}", data(value), self.stat(stat)),
            OpResult::Children(names) => format!("[{}]", names.join(" ")),
        }
    }

    /// `c m p` are zxids, `v cv av` versions; times are milliseconds since the world began.
    fn stat(&mut self, stat: &Stat) -> String {
        let mut text = format!(
            "(c{} m{} p{} v{} cv{} av{} len{} kids{}",
            stat.czxid.0,
            stat.mzxid.0,
            stat.pzxid.0,
            stat.version,
            stat.cversion,
            stat.aversion,
            stat.data_length,
            stat.num_children,
        );
        if stat.ctime.0 > WALL_START_MS || stat.mtime.0 > WALL_START_MS {
            let since = |wall: i64| wall - WALL_START_MS;
            text += &format!(" ct{} mt{}", since(stat.ctime.0), since(stat.mtime.0));
        }
        if stat.ephemeral_owner != SessionId::NONE {
            text += &format!(" of {}", self.session(stat.ephemeral_owner));
        }
        text + ")"
    }
}

fn short_xid(xid: Xid) -> String {
    match xid {
        Xid::PING => "ping".to_owned(),
        xid => format!("#{}", xid.0),
    }
}

fn short_zxid(zxid: Zxid) -> String {
    format!("z{}", zxid.0)
}

fn error(code: ErrorCode) -> String {
    format!("{code:?}")
}

fn data(data: &Option<Vec<u8>>) -> String {
    match data {
        None => "<null>".to_owned(),
        Some(data) => format!("\"{}\"", data.escape_ascii()),
    }
}

fn list(acl: &[Acl]) -> String {
    let entry = |acl: &Acl| format!("{}:{}:{}", acl.id.scheme, acl.id.id, perms(acl.perms));
    acl.iter().map(entry).collect::<Vec<_>>().join("+")
}

fn perms(perms: Perms) -> String {
    let letters = [
        (Perms::CREATE, 'c'),
        (Perms::DELETE, 'd'),
        (Perms::READ, 'r'),
        (Perms::WRITE, 'w'),
        (Perms::ADMIN, 'a'),
    ];
    if perms.0 & !Perms::ALL.0 != 0 {
        return format!("{:#x}", perms.0);
    }
    letters.iter().filter(|(bit, _)| perms.intersects(*bit)).map(|(_, letter)| letter).collect()
}
