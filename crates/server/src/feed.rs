//! The feed: every commit, once, for all shards.
//!
//! A list of immutable nodes, each pointing to the next. The replica owns the tail, each shard owns
//! a cursor; a node lives until the last cursor has passed it. Nobody waits for anybody, and there
//! are no copies a shard.

use std::sync::{Arc, OnceLock};

use ostler_node::messages::Commit;

/// One commit and the way to the next.
#[derive(Debug)]
struct Node {
    /// `None` only in the node that the feed begins with.
    commit: Option<Commit>,
    next: OnceLock<Arc<Self>>,
}

/// The end at which commits are added.
#[derive(Debug)]
pub(crate) struct Tail(Arc<Node>);

/// A place in the feed.
#[derive(Debug)]
pub(crate) struct Cursor(Arc<Node>);

impl Tail {
    /// An empty feed.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Node { commit: None, next: OnceLock::new() }))
    }

    /// A cursor before the next commit.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor(Arc::clone(&self.0))
    }

    /// Adds a commit, which all cursors will meet.
    pub(crate) fn publish(&mut self, commit: Commit) {
        let node = Arc::new(Node { commit: Some(commit), next: OnceLock::new() });
        let first = self.0.next.set(Arc::clone(&node)).is_ok();
        assert!(first, "only the tail is added to");
        self.0 = node;
    }
}

impl Cursor {
    /// Moves on by one commit, if there is one.
    pub(crate) fn advance(&mut self) -> Option<&Commit> {
        let next = Arc::clone(self.0.next.get()?);
        self.0 = next;
        self.0.commit.as_ref()
    }

    /// Whether [`Cursor::advance`] would find nothing.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.next.get().is_none()
    }
}

/// A cursor that is dropped far behind must not take the nodes down one inside the other.
impl Drop for Node {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(node) = next {
            next = Arc::into_inner(node).and_then(|mut node| node.next.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use ostler_node::messages::Step;
    use ostler_tree::Tree;
    use ostler_wire::ids::Zxid;

    use super::*;

    fn commit(zxid: i64) -> Commit {
        let step =
            Step { zxid: Zxid(zxid), changes: Vec::new().into(), notices: Vec::new().into() };
        Commit { view: Tree::fresh(1), steps: vec![step] }
    }

    #[test]
    fn every_cursor_meets_every_commit_in_order() {
        let mut tail = Tail::new();
        let mut early = tail.cursor();
        tail.publish(commit(1));
        let mut late = tail.cursor();
        tail.publish(commit(2));
        let zxids = |cursor: &mut Cursor| {
            let mut zxids = Vec::new();
            while let Some(commit) = cursor.advance() {
                zxids.extend(commit.zxids().map(|zxid| zxid.0));
            }
            zxids
        };
        assert_eq!(zxids(&mut early), [1, 2]);
        assert_eq!(zxids(&mut late), [2]);
        assert!(early.is_at_end());
    }

    #[test]
    fn a_cursor_far_behind_can_be_dropped() {
        let mut tail = Tail::new();
        let behind = tail.cursor();
        for zxid in 0..200_000 {
            tail.publish(commit(zxid));
        }
        drop(behind);
    }
}
