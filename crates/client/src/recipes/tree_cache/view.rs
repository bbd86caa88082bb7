//! The cached tree as a value: which reads to send next, and what their answers and the watch's
//! events change. No client, no time; [`super::follow`] moves the bytes.
//!
//! Everything goes through one queue. A watch event is not applied when it comes: it becomes a
//! step (read this node again, or forget it) behind the reads that are under way, and steps take
//! effect in the order in which they were sent. Servers answer one connection in order, so no
//! step can carry the tree back in time.
//!
//! **The zxid rule.** An event that is not newer than the cached node (`mzxid`) changes nothing; a
//! deletion takes away only a node that is older than it; a read replaces a node when it shows
//! another `mzxid`. So an event that was overtaken by a read, or comes twice, does no harm.
//!
//! After each reconnection the whole tree is walked (a recursive watch tells nothing of what
//! happened while nobody was connected); what the walk did not meet is gone.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use ostler_wire::ids::Zxid;
use ostler_wire::stat::Stat;

use super::{CacheEvent, Node};

/// Where the cached tree begins and ends.
pub(crate) struct Scope {
    pub(crate) root: String,
    /// How many levels below the root belong to it; none sets no limit.
    pub(crate) depth_max: Option<usize>,
}

impl Scope {
    /// How far below the root; nothing for what is not under it.
    fn depth(&self, path: &str) -> Option<usize> {
        if path == self.root {
            return Some(0);
        }
        let below = match self.root.as_str() {
            "/" => path.strip_prefix('/')?,
            root => path.strip_prefix(root)?.strip_prefix('/')?,
        };
        Some(1 + below.matches('/').count())
    }

    fn holds(&self, path: &str) -> bool {
        let depth = self.depth(path);
        depth.is_some_and(|depth| self.depth_max.is_none_or(|depth_max| depth <= depth_max))
    }

    fn children_belong(&self, path: &str) -> bool {
        let depth = self.depth(path);
        depth.is_some_and(|depth| self.depth_max.is_none_or(|depth_max| depth < depth_max))
    }
}

/// A read to be sent; its answer is handed to [`View::answer`] in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) path: String,
    /// The names of the children are wanted too.
    pub(crate) children: bool,
}

/// What a read showed.
pub(crate) enum Answer {
    Node {
        data: Vec<u8>,
        stat: Stat,
        children: Vec<String>,
    },
    /// There is none, or it may not be read.
    Missing,
}

/// What the watch told about a path.
pub(crate) enum Change {
    /// It was created, or its data were set.
    Set,
    Deleted,
}

enum Step {
    /// Read because of an event.
    Get { path: String, confirms_absence: bool },
    /// Read on a walk, with the names of its children.
    Walk { path: String },
    /// No request, but in line with them.
    Gone { path: String, zxid: Zxid },
}

/// The tree and the steps that wait.
pub(crate) struct View {
    scope: Scope,
    nodes: BTreeMap<String, Arc<Node>>,
    /// From events, not sent yet.
    told: VecDeque<Step>,
    /// Paths whose last step in `told` is a read.
    will_be_read: HashSet<String>,
    /// Deletions in `told` and `sent`.
    deletions: usize,
    /// From the walk, not sent yet. Sent after those of events, since new news are shorter.
    unwalked: VecDeque<Step>,
    /// Sent, in this order. Invariant: the first one is a read.
    sent: VecDeque<Step>,
    /// What the walk that is under way has met.
    met: Option<BTreeSet<String>>,
    /// The walk is the first one of a session: what it shows counts, whatever was known before.
    renewed: bool,
    changes: Vec<CacheEvent>,
}

impl View {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            nodes: BTreeMap::new(),
            told: VecDeque::new(),
            will_be_read: HashSet::new(),
            deletions: 0,
            unwalked: VecDeque::new(),
            sent: VecDeque::new(),
            met: None,
            renewed: false,
            changes: Vec::new(),
        }
    }

    pub(crate) fn nodes(&self) -> &BTreeMap<String, Arc<Node>> {
        &self.nodes
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The cached children of a path, in the order of their names.
    pub(crate) fn children(&self, path: &str) -> Vec<Arc<Node>> {
        let prefix = below(path);
        let mut children = Vec::new();
        let mut from = prefix.clone();
        while let Some((key, node)) = self.nodes.range(from.clone()..).next() {
            let Some(below) = key.strip_prefix(&prefix) else { break };
            match below.find('/') {
                // "0" follows "/": over everything below this child.
                Some(end) => from = format!("{prefix}{}0", &below[..end]),
                None => {
                    if !below.is_empty() {
                        children.push(Arc::clone(node));
                    }
                    from = format!("{key}\0");
                }
            }
        }
        children
    }

    /// The link is up, or up again: reads everything. `renewed` when the session is a new one.
    pub(crate) fn begin_walk(&mut self, renewed: bool) {
        self.interrupt();
        self.met = Some(BTreeSet::new());
        self.renewed |= renewed;
        self.unwalked.push_back(Step::Walk { path: self.scope.root.clone() });
    }

    /// The link broke: nothing that was under way counts.
    pub(crate) fn interrupt(&mut self) {
        self.told.clear();
        self.will_be_read.clear();
        self.deletions = 0;
        self.unwalked.clear();
        self.sent.clear();
        self.met = None;
    }

    /// Takes in what the watch tells.
    pub(crate) fn event(&mut self, change: &Change, path: &str, zxid: Zxid) {
        if !self.scope.holds(path) {
            return;
        }
        // Servers before 3.9 do not say which transaction it was.
        let known = zxid > Zxid::ZERO;
        match change {
            Change::Deleted if known => {
                self.will_be_read.remove(path);
                self.deletions += 1;
                self.told.push_back(Step::Gone { path: path.to_owned(), zxid });
            }
            Change::Deleted => self.tell_read(path, true),
            // A deletion that waits may take away what the cache has now.
            Change::Set if known && self.deletions == 0 => {
                if self.nodes.get(path).is_none_or(|node| node.stat.mzxid < zxid) {
                    self.tell_read(path, false);
                }
            }
            Change::Set => self.tell_read(path, !known),
        }
        self.settle();
    }

    /// Has a path read, unless that is to be done anyway.
    fn tell_read(&mut self, path: &str, confirms_absence: bool) {
        if self.will_be_read.insert(path.to_owned()) {
            self.told.push_back(Step::Get { path: path.to_owned(), confirms_absence });
        }
    }

    /// The next read to be sent, while fewer than so many are under way.
    pub(crate) fn next_read(&mut self, under_way_max: usize) -> Option<Read> {
        while self.sent.len() < under_way_max {
            let step = self.told.pop_front().or_else(|| self.unwalked.pop_front())?;
            let read = match &step {
                Step::Get { path, .. } => {
                    self.will_be_read.remove(path);
                    Some(Read { path: path.clone(), children: false })
                }
                Step::Walk { path, .. } => {
                    let children = self.scope.children_belong(path);
                    Some(Read { path: path.clone(), children })
                }
                Step::Gone { .. } => None,
            };
            self.sent.push_back(step);
            if read.is_some() {
                return read;
            }
            self.settle();
        }
        None
    }

    /// Takes in the answer to the oldest read under way.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let step = self.sent.pop_front().expect("an answer belongs to a read");
        match (step, answer) {
            (Step::Gone { .. }, _) => unreachable!("a deletion asks nothing"),
            (Step::Get { path, .. }, Answer::Node { data, stat, .. }) => {
                self.show(path, data, stat);
            }
            (Step::Walk { path }, Answer::Node { data, stat, children }) => {
                if self.show(path.clone(), data, stat) {
                    let parent = if path == "/" { "" } else { &path };
                    for name in children {
                        let path = format!("{parent}/{name}");
                        self.unwalked.push_back(Step::Walk { path });
                    }
                }
            }
            // A deletion with its zxid follows, in its turn.
            (Step::Get { confirms_absence: false, .. }, Answer::Missing) => {}
            (Step::Get { path, .. } | Step::Walk { path, .. }, Answer::Missing) => {
                self.remove(&path, None);
            }
        }
        self.settle();
    }

    /// Applies the deletions that have come to the front, and ends the walk when it is done.
    fn settle(&mut self) {
        if self.sent.is_empty() {
            while let Some(Step::Gone { .. }) = self.told.front() {
                self.sent.extend(self.told.pop_front());
            }
        }
        while let Some(Step::Gone { path, zxid }) = self.sent.front() {
            let (path, zxid) = (path.clone(), *zxid);
            self.sent.pop_front();
            self.deletions -= 1;
            self.remove(&path, Some(zxid));
        }
        let walking = |step: &Step| matches!(step, Step::Walk { .. });
        if self.unwalked.is_empty() && !self.sent.iter().any(walking) {
            self.end_walk();
        }
    }

    fn end_walk(&mut self) {
        let Some(met) = self.met.take() else { return };
        let gone: Vec<String> =
            self.nodes.keys().rev().filter(|path| !met.contains(*path)).cloned().collect();
        // From the last path to the first: what is below a node goes before it.
        for path in gone {
            self.changes.extend(self.nodes.remove(&path).map(CacheEvent::Deleted));
        }
        self.renewed = false;
        self.changes.push(CacheEvent::Current);
    }

    /// Puts what was read into the tree; false when it has no place there.
    fn show(&mut self, path: String, data: Vec<u8>, stat: Stat) -> bool {
        if path != self.scope.root && !self.nodes.contains_key(parent(&path)) {
            // The parent is gone, or the walk has still to read it. Since its read was not sent
            // before this one, it will show this child too.
            return false;
        }
        if let Some(met) = &mut self.met {
            met.insert(path.clone());
        }
        let node = Arc::new(Node { path: path.clone(), data, stat });
        let Some(old) = self.nodes.get(&path) else {
            self.nodes.insert(path, Arc::clone(&node));
            self.changes.push(CacheEvent::Created(node));
            return true;
        };
        let same = old.stat.mzxid == stat.mzxid && old.stat.czxid == stat.czxid;
        if !same && !self.renewed && stat.mzxid < old.stat.mzxid {
            return true;
        }
        let old = Arc::clone(old);
        self.nodes.insert(path, Arc::clone(&node));
        // A walk may show another number of children; that is no change of the node.
        if !same {
            self.changes.push(CacheEvent::Changed { old, new: node });
        }
        true
    }

    /// Takes away a node and whatever is still below it; with a zxid, what is older than that.
    ///
    /// What is newer shows that the node is there again, and keeps all above it: a read of the
    /// node itself follows.
    fn remove(&mut self, path: &str, before: Option<Zxid>) {
        if !self.nodes.contains_key(path) {
            return;
        }
        let prefix = below(path);
        let keys = self.nodes.range(prefix.clone()..).map(|(key, _)| key);
        let keys = keys.take_while(|key| key.starts_with(&prefix)).filter(|key| *key != path);
        let keys: Vec<String> = keys.cloned().collect();
        for path in keys.iter().rev().map(String::as_str).chain([path]) {
            let is_newer = before.is_some_and(|zxid| self.nodes[path].stat.mzxid >= zxid);
            if !is_newer && !self.has_below(path) {
                self.changes.extend(self.nodes.remove(path).map(CacheEvent::Deleted));
            }
        }
    }

    fn has_below(&self, path: &str) -> bool {
        let prefix = below(path);
        let mut keys = self.nodes.range(prefix.clone()..).map(|(key, _)| key);
        keys.find(|key| *key != path).is_some_and(|key| key.starts_with(&prefix))
    }

    /// What has changed since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<CacheEvent> {
        std::mem::take(&mut self.changes)
    }
}

/// What the paths below a path begin with.
fn below(path: &str) -> String {
    if path == "/" { path.to_owned() } else { format!("{path}/") }
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
