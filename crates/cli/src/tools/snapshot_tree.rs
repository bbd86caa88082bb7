//! A snapshot in memory, as far as the tools want it: names, stats, lengths, and data if asked for.
//!
//! It is the file's content and not a server's tree: nothing is replayed and no ephemeral removed.
//! Only the usage of quotas is computed anew, as every server does when it loads a snapshot.

use std::path::Path;

use ostler_disk::real_disk::RealDisk;
use ostler_disk::snapshot_reader::{SnapshotVisitor, visit_snapshot};
use ostler_tree::MissingParent;
use ostler_wire::acl::Acl;
use ostler_wire::ids::SessionId;
use ostler_wire::stat::StatPersisted;

use super::java_order::{compare_texts, hash_of_long, hash_of_text, walk_order};
use super::screen::Refusal;

/// A znode's place in a [`SnapshotTree`]; 0 is the root.
pub(crate) type Place = usize;

/// What a snapshot holds.
pub(crate) struct SnapshotTree {
    nodes: Vec<Node>,
    sessions: Vec<(SessionId, i32)>,
    keeps_data: bool,
    /// The path of the znode that was read last, as places; parents stand before their children in
    /// a file, so the next one hangs on one of these.
    last: Vec<Place>,
    /// Why the contents cannot be trusted, if a checksum says so.
    pub(crate) doubt: Option<String>,
}

/// A znode.
pub(crate) struct Node {
    pub(crate) name: Box<str>,
    pub(crate) stat: StatPersisted,
    /// Null has none.
    pub(crate) data_bytes: u64,
    /// Empty if data are not kept.
    pub(crate) data: Box<[u8]>,
    /// In the order of the file.
    children: Vec<Place>,
}

/// A step of a walk over a tree.
pub(crate) enum Step {
    /// A znode, before its children. How many are above it.
    Enter(Place, usize),
    /// The same, after its children.
    Leave(Place),
}

impl SnapshotTree {
    /// Reads a snapshot of any name.
    pub(crate) fn load(path: &Path, keeps_data: bool) -> Result<Self, Refusal> {
        let (nodes, sessions, last) = (Vec::new(), Vec::new(), Vec::new());
        let mut tree = Self { nodes, sessions, keeps_data, last, doubt: None };
        let seals =
            visit_snapshot(&RealDisk, path, &mut tree).map_err(|error| Refusal::new(1, error))?;
        if tree.nodes.is_empty() {
            return Err(Refusal::new(1, format!("{} holds no znode", path.display())));
        }
        tree.doubt =
            seals.err().map(|error| format!("{error}. What was shown may not be what was written"));
        tree.renew_usage();
        Ok(tree)
    }

    pub(crate) fn node(&self, place: Place) -> &Node {
        &self.nodes[place]
    }

    /// How many znodes there are.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Sessions with their timeouts, in the order in which Java shows them.
    pub(crate) fn sessions(&self) -> Vec<(SessionId, i32)> {
        let id = |at: usize| self.sessions[at].0.0;
        let hashes: Vec<u32> = self.sessions.iter().map(|(id, _)| hash_of_long(id.0)).collect();
        let order = walk_order(&hashes, 16, |one, other| id(one).cmp(&id(other)));
        order.into_iter().map(|at| self.sessions[at]).collect()
    }

    /// A znode's children, in the order in which Java shows them.
    pub(crate) fn children(&self, place: Place) -> Vec<Place> {
        let children = &self.nodes[place].children;
        let name = |at: usize| &*self.nodes[children[at]].name;
        let hashes: Vec<u32> = (0..children.len()).map(|at| hash_of_text(name(at))).collect();
        let order = walk_order(&hashes, 8, |one, other| compare_texts(name(one), name(other)));
        order.into_iter().map(|at| children[at]).collect()
    }

    pub(crate) fn has_children(&self, place: Place) -> bool {
        !self.nodes[place].children.is_empty()
    }

    /// The znode of a path; `""` and `/` are the root.
    pub(crate) fn find(&self, path: &str) -> Option<Place> {
        let path = if path == "/" { "" } else { path };
        let mut names = path.split('/');
        names.next().filter(|before| before.is_empty())?;
        names.try_fold(0, |at, name| self.child(at, name))
    }

    fn child(&self, of: Place, name: &str) -> Option<Place> {
        let children = &self.nodes.get(of)?.children;
        children.iter().copied().find(|child| &*self.nodes[*child].name == name)
    }

    /// Walks over a subtree in the order in which Java does. Trees may be deep: nothing recurses.
    pub(crate) fn walk<E>(
        &self,
        from: Place,
        mut visit: impl FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        visit(Step::Enter(from, 0))?;
        let mut above = vec![(from, self.children(from).into_iter())];
        while let Some((place, children)) = above.last_mut() {
            if let Some(child) = children.next() {
                visit(Step::Enter(child, above.len()))?;
                above.push((child, self.children(child).into_iter()));
            } else {
                visit(Step::Leave(*place))?;
                above.pop();
            }
        }
        Ok(())
    }

    /// Number of znodes and bytes of a subtree.
    fn usage(&self, from: Place) -> (u64, u64) {
        let (mut count, mut bytes) = (0, 0);
        let mut open = vec![from];
        while let Some(place) = open.pop() {
            count += 1;
            bytes += self.nodes[place].data_bytes;
            open.extend(&self.nodes[place].children);
        }
        (count, bytes)
    }

    /// Java: DataTree.setupQuota.
    fn renew_usage(&mut self) {
        let Some(quota) = self.find("/zookeeper/quota") else { return };
        let mut open = vec![(quota, String::new())];
        let mut limited = Vec::new();
        while let Some((place, path)) = open.pop() {
            for child in &self.nodes[place].children {
                let node = &self.nodes[*child];
                if &*node.name == "zookeeper_limits" && node.children.is_empty() {
                    limited.push((place, path.clone()));
                }
                open.push((*child, format!("{path}/{}", node.name)));
            }
        }
        for (holder, path) in limited {
            let (count, bytes) = self.find(&path).map_or((0, 0), |place| self.usage(place));
            let Some(stats) = self.child(holder, "zookeeper_stats") else { continue };
            let text = format!("count={count},bytes={bytes}").into_bytes();
            self.set_data(stats, &text);
        }
    }

    fn set_data(&mut self, place: Place, data: &[u8]) {
        let node = &mut self.nodes[place];
        node.data_bytes = data.len() as u64;
        node.data = if self.keeps_data { data.into() } else { Box::default() };
    }
}

impl SnapshotVisitor for SnapshotTree {
    fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.sessions.push((session, timeout_ms));
    }

    fn acl(&mut self, _: i64, _: Vec<Acl>) {}

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        _: i64,
        stat: &StatPersisted,
    ) -> Result<(), MissingParent> {
        let place = self.nodes.len();
        let missing = || MissingParent { path: path.to_owned() };
        let name = match path.rsplit_once('/') {
            None if place == 0 => {
                self.last.push(place);
                path
            }
            None => return Err(missing()),
            Some((parent, name)) => {
                let parent = self.reach(parent).ok_or_else(missing)?;
                self.nodes[parent].children.push(place);
                self.last.push(place);
                name
            }
        };
        self.nodes.push(Node {
            name: name.into(),
            stat: *stat,
            data_bytes: 0,
            data: Box::default(),
            children: Vec::new(),
        });
        self.set_data(place, data.unwrap_or_default());
        Ok(())
    }
}

impl SnapshotTree {
    /// Leaves only the way to `path` in `last` and returns its end.
    fn reach(&mut self, path: &str) -> Option<Place> {
        let names = path.split('/').skip(1);
        let mut depth = 1;
        for name in names {
            match self.last.get(depth) {
                Some(place) if &*self.nodes[*place].name == name => depth += 1,
                // Not where the last one was: no server writes that, but it can be read.
                _ => return self.reach_anew(path),
            }
        }
        self.last.truncate(depth);
        self.last.last().copied()
    }

    fn reach_anew(&mut self, path: &str) -> Option<Place> {
        let mut way = vec![0];
        for name in path.split('/').skip(1) {
            way.push(self.child(*way.last()?, name)?);
        }
        self.last = way;
        self.last.last().copied()
    }
}
