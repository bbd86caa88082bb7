//! The naive model: a sorted map from path to znode, copied for every transaction.
//!
//! The random histories of one server (`ostler-node`) are held against it too.
//!
//! Lists of the workload name `world:anyone` alone, so a znode's list is just its permissions.

use std::collections::{BTreeMap, BTreeSet};

use ostler_wire::acl::{Acl, AclEntry, Id, Perms};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, WallMs, Zxid};
use ostler_wire::reply::{EventType, OpResult};
use ostler_wire::request::{CreateRequest, Request, WatchLists};
use ostler_wire::stat::Stat;

use crate::answer::Answer;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) perms: Perms,
    czxid: Zxid,
    mzxid: Zxid,
    pzxid: Zxid,
    ctime: WallMs,
    mtime: WallMs,
    version: i32,
    creates: i32,
    aversion: i32,
    owner: SessionId,
}

/// The world at one zxid. The root is `/`.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) sessions: BTreeSet<SessionId>,
}

/// When and for whom something is done.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) zxid: Zxid,
    pub(crate) time: WallMs,
    pub(crate) session: SessionId,
}

/// What watches hear of.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) event_type: EventType,
    pub(crate) path: String,
    readable: bool,
    parent_readable: bool,
}

impl Model {
    pub(crate) fn fresh() -> Self {
        let built_in = |perms, aversion| Node { perms, aversion, ..Node::new(Some(Vec::new())) };
        let nodes = [
            ("/", built_in(Perms::ALL, 0)),
            ("/zookeeper", built_in(Perms::ALL, 0)),
            ("/zookeeper/quota", built_in(Perms::ALL, 0)),
            ("/zookeeper/config", built_in(Perms::READ, -1)),
        ];
        let nodes = nodes.into_iter().map(|(path, node)| (path.to_owned(), node)).collect();
        Self { nodes, sessions: BTreeSet::new() }
    }

    pub(crate) fn stat(&self, path: &str) -> Stat {
        let node = &self.nodes[path];
        let num_children = i32::try_from(self.children(path).len()).expect("a small model");
        let data_length = node.data.as_ref().map_or(0, Vec::len);
        Stat {
            czxid: node.czxid,
            mzxid: node.mzxid,
            ctime: node.ctime,
            mtime: node.mtime,
            version: node.version,
            cversion: 2 * node.creates - num_children,
            aversion: node.aversion,
            ephemeral_owner: node.owner,
            data_length: i32::try_from(data_length).expect("short data"),
            num_children,
            pzxid: node.pzxid,
        }
    }

    pub(crate) fn children(&self, path: &str) -> Vec<String> {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let names = self.nodes.keys().filter_map(|key| key.strip_prefix(&prefix));
        names.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect()
    }

    pub(crate) fn ephemerals(&self, session: SessionId) -> BTreeSet<String> {
        let owned = self.nodes.iter().filter(|(_, node)| node.owner == session);
        owned.map(|(path, _)| path.clone()).collect()
    }

    /// What a read of `session` answers here.
    pub(crate) fn read(
        &self,
        request: &Request<'_>,
        session: SessionId,
    ) -> Result<Answer, ErrorCode> {
        match request {
            Request::Ping | Request::SetWatches(_) | Request::SetWatches2(_) => Ok(Answer::Empty),
            Request::Sync { path } => Ok(Answer::Sync(path.as_ref().map(|path| path.to_string()))),
            Request::Exists { path, .. } => {
                self.allowed(path, Perms::READ)?;
                Ok(Answer::Stat(self.stat(path)))
            }
            Request::GetData { path, .. } => {
                let node = self.allowed(path, Perms::READ)?;
                Ok(Answer::Data(node.data.clone(), self.stat(path)))
            }
            Request::GetChildren { path, .. } => {
                self.allowed(path, Perms::READ)?;
                Ok(Answer::Children(self.children(path)))
            }
            Request::GetChildren2 { path, .. } => {
                self.allowed(path, Perms::READ)?;
                Ok(Answer::ChildrenStat(self.children(path), self.stat(path)))
            }
            Request::GetAcl { path } => {
                let node = self.allowed(path, Perms::READ.union(Perms::ADMIN))?;
                let acl = Acl { perms: node.perms, id: Id::new("world", "anyone") };
                Ok(Answer::Acl(vec![acl], self.stat(path)))
            }
            Request::MultiRead(parts) => {
                let part = |part: &Request<'_>| match self.read(part, session) {
                    Ok(Answer::Data(data, stat)) => OpResult::Data { data, stat },
                    Ok(Answer::Children(names)) => OpResult::Children(names),
                    Ok(other) => panic!("{other:?} in a multiRead"),
                    Err(code) => OpResult::Error(code),
                };
                Ok(Answer::Multi(parts.iter().map(part).collect()))
            }
            Request::GetEphemerals { prefix } => {
                let prefix = prefix.as_deref().unwrap_or_default();
                let owned = self.ephemerals(session).into_iter();
                Ok(Answer::Children(owned.filter(|path| path.starts_with(prefix)).collect()))
            }
            Request::GetAllChildrenNumber { path } => {
                self.allowed(path, Perms::READ)?;
                let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
                let below = self.nodes.keys().filter(|key| key.starts_with(&prefix) && *key != "/");
                Ok(Answer::Number(i32::try_from(below.count()).expect("a small model")))
            }
            other => panic!("{other:?} is no read"),
        }
    }

    /// What a write does here, and what it answers.
    pub(crate) fn write(
        &mut self,
        at: Moment,
        request: &Request<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Answer, ErrorCode> {
        let Request::Multi(parts) = request else {
            return Ok(match (self.one(at, request, changes)?, request) {
                (OpResult::CreatedWithStat { path, .. }, Request::Create(_)) => Answer::Path(path),
                (OpResult::CreatedWithStat { path, stat }, _) => Answer::PathStat(path, stat),
                (OpResult::DataSet(stat), _) => Answer::Stat(stat),
                _ => Answer::Empty,
            });
        };
        let mut ahead = self.clone();
        let mut ahead_changes = Vec::new();
        let mut results = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            match ahead.one(at, part, &mut ahead_changes) {
                Ok(result) => results.push(as_part(part, result)),
                Err(code) => {
                    let rest = parts.len() - i - 1;
                    let behind = OpResult::Error(ErrorCode::RUNTIME_INCONSISTENCY);
                    let results = std::iter::repeat_n(OpResult::Error(ErrorCode::OK), i)
                        .chain([OpResult::Error(code)])
                        .chain(std::iter::repeat_n(behind, rest));
                    return Ok(Answer::Multi(results.collect()));
                }
            }
        }
        *self = ahead;
        changes.extend(ahead_changes);
        Ok(Answer::Multi(results))
    }

    /// Ends a session; its ephemerals go in the order of `paths`.
    pub(crate) fn close(&mut self, at: Moment, paths: &[String], changes: &mut Vec<Change>) {
        let listed: BTreeSet<String> = paths.iter().cloned().collect();
        assert_eq!(listed, self.ephemerals(at.session), "of {}", at.session);
        assert!(self.sessions.remove(&at.session), "{} ends twice", at.session);
        for path in paths {
            self.remove(at, path, changes);
        }
    }

    fn one(
        &mut self,
        at: Moment,
        request: &Request<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<OpResult, ErrorCode> {
        match request {
            Request::Create(create)
            | Request::Create2(create)
            | Request::CreateContainer(create) => self.create(at, create, changes),
            Request::Delete { path, version } => {
                self.allowed(parent(path), Perms::DELETE)?;
                let node = self.nodes.get(&**path).ok_or(ErrorCode::NO_NODE)?;
                expect(node.version, *version)?;
                if !self.children(path).is_empty() {
                    return Err(ErrorCode::NOT_EMPTY);
                }
                self.remove(at, path, changes);
                Ok(OpResult::Deleted)
            }
            Request::SetData { path, data, version } => {
                expect(self.allowed(path, Perms::WRITE)?.version, *version)?;
                let node = self.nodes.get_mut(&**path).expect("it is there");
                node.data = data.map(<[u8]>::to_vec);
                node.version += 1;
                node.mzxid = at.zxid;
                node.mtime = at.time;
                changes.push(self.change(EventType::NodeDataChanged, path));
                Ok(OpResult::DataSet(self.stat(path)))
            }
            Request::SetAcl { path, acl, version } => {
                expect(self.allowed(path, Perms::ADMIN)?.aversion, *version)?;
                let node = self.nodes.get_mut(&**path).expect("it is there");
                node.perms = perms(acl.as_deref());
                node.aversion += 1;
                Ok(OpResult::DataSet(self.stat(path)))
            }
            Request::Check { path, version } => {
                expect(self.allowed(path, Perms::READ)?.version, *version)?;
                Ok(OpResult::Checked)
            }
            other => panic!("{other:?} is no write"),
        }
    }

    fn create(
        &mut self,
        at: Moment,
        create: &CreateRequest<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<OpResult, ErrorCode> {
        let above = parent(&create.path);
        let number = self.allowed(above, Perms::CREATE)?.creates;
        let is_sequential = create.flags & 2 != 0;
        let path = match is_sequential {
            true => format!("{}{number:010}", create.path),
            false => create.path.to_string(),
        };
        if self.nodes.contains_key(&path) {
            return Err(ErrorCode::NODE_EXISTS);
        }
        let above = self.nodes.get_mut(above).expect("it is there");
        if above.owner != SessionId::NONE {
            return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
        }
        above.creates += 1;
        above.pzxid = at.zxid;
        let is_ephemeral = create.flags & 1 != 0;
        let node = Node {
            perms: perms(create.acl.as_deref()),
            czxid: at.zxid,
            mzxid: at.zxid,
            pzxid: at.zxid,
            ctime: at.time,
            mtime: at.time,
            owner: if is_ephemeral { at.session } else { SessionId::NONE },
            ..Node::new(create.data.map(<[u8]>::to_vec))
        };
        self.nodes.insert(path.clone(), node);
        changes.push(self.change(EventType::NodeCreated, &path));
        let stat = self.stat(&path);
        Ok(OpResult::CreatedWithStat { path, stat })
    }

    pub(crate) fn remove(&mut self, at: Moment, path: &str, changes: &mut Vec<Change>) {
        changes.push(self.change(EventType::NodeDeleted, path));
        self.nodes.remove(path);
        self.nodes.get_mut(parent(path)).expect("every znode has a parent").pzxid = at.zxid;
    }

    fn change(&self, event_type: EventType, path: &str) -> Change {
        let readable = |path: &str| self.nodes[path].perms.intersects(Perms::READ);
        Change {
            event_type,
            path: path.to_owned(),
            readable: readable(path),
            parent_readable: readable(parent(path)),
        }
    }

    fn allowed(&self, path: &str, wanted: Perms) -> Result<&Node, ErrorCode> {
        let node = self.nodes.get(path).ok_or(ErrorCode::NO_NODE)?;
        if node.perms.intersects(wanted) { Ok(node) } else { Err(ErrorCode::NO_AUTH) }
    }
}

impl Node {
    fn new(data: Option<Vec<u8>>) -> Self {
        Self {
            data,
            perms: Perms::ALL,
            czxid: Zxid::ZERO,
            mzxid: Zxid::ZERO,
            pzxid: Zxid::ZERO,
            ctime: WallMs(0),
            mtime: WallMs(0),
            version: 0,
            creates: 0,
            aversion: 0,
            owner: SessionId::NONE,
        }
    }
}

/// How a watch behaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Mode {
    Standard,
    Persistent,
    Recursive,
}

/// The watches of one connection.
#[derive(Default)]
pub(crate) struct Watches {
    data: BTreeSet<(String, Mode)>,
    child: BTreeSet<(String, Mode)>,
}

impl Watches {
    /// The events that a change gives this connection, in order.
    pub(crate) fn fire(&mut self, change: &Change, events: &mut Vec<(EventType, String)>) {
        let mut told = hit(&mut self.data, &change.path);
        if change.event_type == EventType::NodeDeleted {
            told |= hit(&mut self.child, &change.path);
        }
        if told && change.readable {
            events.push((change.event_type, change.path.clone()));
        }
        let above = parent(&change.path);
        let is_data = change.event_type == EventType::NodeDataChanged;
        if !is_data && hit(&mut self.child, above) && change.parent_readable {
            events.push((EventType::NodeChildrenChanged, above.to_owned()));
        }
    }

    /// What is answered to a request about watches, and what it does.
    pub(crate) fn request(&mut self, request: &Request<'_>) -> Option<Result<Answer, ErrorCode>> {
        match request {
            Request::AddWatch { path, mode: 0 } => {
                self.data.insert((path.to_string(), Mode::Persistent));
                self.child.insert((path.to_string(), Mode::Persistent));
                Some(Ok(Answer::Number(0)))
            }
            Request::AddWatch { path, .. } => {
                self.data.insert((path.to_string(), Mode::Recursive));
                Some(Ok(Answer::Number(0)))
            }
            Request::CheckWatches { path, watcher_type } => {
                let found = |(at, mode): &(String, Mode), is_data: bool| {
                    at == path && meant_by(*watcher_type, *mode, is_data)
                };
                let is_found = self.data.iter().any(|watch| found(watch, true))
                    || self.child.iter().any(|watch| found(watch, false));
                Some(is_found.then_some(Answer::Empty).ok_or(ErrorCode::NO_WATCHER))
            }
            Request::RemoveWatches { path, watcher_type } => {
                let before = self.data.len() + self.child.len();
                let stays = |(at, mode): &(String, Mode), is_data: bool| {
                    at != path || !meant_by(*watcher_type, *mode, is_data)
                };
                self.data.retain(|watch| stays(watch, true));
                self.child.retain(|watch| stays(watch, false));
                let is_found = self.data.len() + self.child.len() < before;
                Some(is_found.then_some(Answer::Empty).ok_or(ErrorCode::NO_WATCHER))
            }
            _ => None,
        }
    }

    /// Registers what a read that was answered so leaves.
    pub(crate) fn register(&mut self, request: &Request<'_>, outcome: Result<(), ErrorCode>) {
        match (request, outcome) {
            (Request::Exists { path, watch: true }, Ok(()) | Err(ErrorCode::NO_NODE))
            | (Request::GetData { path, watch: true }, Ok(())) => {
                self.data.insert((path.to_string(), Mode::Standard));
            }
            (
                Request::GetChildren { path, watch: true }
                | Request::GetChildren2 { path, watch: true },
                Ok(()),
            ) => {
                self.child.insert((path.to_string(), Mode::Standard));
            }
            _ => {}
        }
    }

    /// Registers what setWatches asks for; returns what it tells at once.
    pub(crate) fn catch_up(
        &mut self,
        model: &Model,
        lists: &WatchLists<'_>,
    ) -> Vec<(EventType, String)> {
        let since = lists.relative_zxid;
        let standard = |path: &str| (path.to_owned(), Mode::Standard);
        let mut events = Vec::new();
        for path in &lists.data {
            match model.nodes.get(&**path) {
                None => events.push((EventType::NodeDeleted, path.to_string())),
                Some(node) if node.mzxid > since => {
                    events.push((EventType::NodeDataChanged, path.to_string()));
                }
                Some(_) => _ = self.data.insert(standard(path)),
            }
        }
        for path in &lists.exist {
            match model.nodes.get(&**path) {
                None => _ = self.data.insert(standard(path)),
                Some(_) => events.push((EventType::NodeCreated, path.to_string())),
            }
        }
        for path in &lists.child {
            match model.nodes.get(&**path) {
                None => events.push((EventType::NodeDeleted, path.to_string())),
                Some(node) if node.pzxid > since => {
                    events.push((EventType::NodeChildrenChanged, path.to_string()));
                }
                Some(_) => _ = self.child.insert(standard(path)),
            }
        }
        for path in &lists.persistent {
            self.data.insert((path.to_string(), Mode::Persistent));
            self.child.insert((path.to_string(), Mode::Persistent));
        }
        let recursive = lists.recursive.iter();
        self.data.extend(recursive.map(|path| (path.to_string(), Mode::Recursive)));
        events
    }
}

/// Whether anything waits for `path`; what waits for it once waits no more.
fn hit(table: &mut BTreeSet<(String, Mode)>, path: &str) -> bool {
    let below = |above: &str| {
        let rest = path.strip_prefix(above);
        above == "/" || rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let is_hit =
        table.iter().any(|(at, mode)| at == path || (*mode == Mode::Recursive && below(at)));
    table.remove(&(path.to_owned(), Mode::Standard));
    is_hit
}

/// Whether a watcher type of checkWatches and removeWatches means such a watch.
fn meant_by(watcher_type: i32, mode: Mode, is_data: bool) -> bool {
    match watcher_type {
        1 => mode == Mode::Standard && !is_data,
        2 => mode == Mode::Standard && is_data,
        4 => mode == Mode::Persistent,
        5 => mode == Mode::Recursive,
        _ => true,
    }
}

fn as_part(part: &Request<'_>, result: OpResult) -> OpResult {
    match (part, result) {
        (Request::Create(_), OpResult::CreatedWithStat { path, .. }) => OpResult::Created { path },
        (_, result) => result,
    }
}

fn expect(present: i32, expected: i32) -> Result<(), ErrorCode> {
    let fits = expected == -1 || expected == present;
    if fits { Ok(()) } else { Err(ErrorCode::BAD_VERSION) }
}

fn perms(acl: Option<&[AclEntry<'_>]>) -> Perms {
    acl.and_then(<[_]>::first).expect("lists of the workload have one entry").perms
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((parent, _)) => parent,
        None => panic!("{path} is no path"),
    }
}
