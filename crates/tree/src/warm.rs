//! Warming: what several requests are about to need is loaded at once.
//!
//! The memory of a large tree is in no cache, and a request that goes down through it waits at
//! each step for the one before. Requests come by tens, and the steps of one do not wait for those
//! of another: so before they are carried out one after the other, all of them go down in step,
//! and the processor loads for all at a time. Nothing is found out by it but how long it takes.

use core::hint::black_box;

use crate::dir::{BITS, Dir, arm};
use crate::hash::HashKey;
use crate::tree::{Components, Tree, components};
use crate::znode::Znode;

/// What somebody is about to do at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intent {
    /// Look at what is there.
    Read,
    /// Change what is there: whatever is shared on the way will be copied, and all that
    /// hangs on a copy gets another holder.
    Change,
}

impl Tree {
    /// Loads what look-ups and changes at these paths are about to need. It pays when there are
    /// several and the tree is larger than the caches; nothing else depends on it.
    pub fn warm<'p>(&self, paths: impl Iterator<Item = (&'p str, Intent)>) {
        let mut begun = paths.filter_map(|(path, intent)| self.begin(path, intent)).fuse();
        loop {
            let mut cursors: [Option<Cursor<'_, '_>>; TOGETHER] =
                core::array::from_fn(|_| begun.next());
            if cursors[0].is_none() {
                return;
            }
            // Loads whose values nobody asks for would not be made.
            black_box(go_down(&mut cursors, self.key));
        }
    }

    fn begin<'p>(&self, path: &'p str, intent: Intent) -> Option<Cursor<'_, 'p>> {
        let rest = components(path)?;
        let mut cursor = Cursor {
            dir: &Dir::Empty,
            above: &[],
            hash: 0,
            bits: 0,
            slots: (&[], 0),
            rest,
            intent,
        };
        cursor.go_below(&self.root, self.key)?;
        Some(cursor)
    }
}

/// So many go down together: about as many as a processor has loads under way.
const TOGETHER: usize = 16;

/// The way to one znode. Each step looks at what the step before has found the address of.
struct Cursor<'t, 'p> {
    /// A map, or the part of it that has been come to.
    dir: &'t Dir<Znode>,
    /// The arms of the branch above, if they will have to be held by a copy of it.
    above: &'t [Dir<Znode>],
    /// The hash of the name that is looked for, and its bits that no branch has gone by so far.
    hash: u32,
    bits: u32,
    /// The values of its bucket, and which of them it is if that is less than there are.
    slots: (&'t [Option<Znode>], usize),
    /// The names behind it.
    rest: Components<'p>,
    intent: Intent,
}

/// Brings all to their ends. The value is of no use.
fn go_down(cursors: &mut [Option<Cursor<'_, '_>>; TOGETHER], key: HashKey) -> usize {
    let mut seen = 0;
    loop {
        let mut is_above_buckets = true;
        while is_above_buckets {
            is_above_buckets = false;
            for cursor in cursors.iter_mut().flatten() {
                is_above_buckets |= cursor.pass_branch(&mut seen);
            }
        }
        for cursor in cursors.iter_mut().flatten() {
            cursor.search_bucket();
        }
        for cursor in cursors.iter_mut().flatten() {
            cursor.hold_bucket(&mut seen);
        }
        let mut goes_on = false;
        for cursor in &mut *cursors {
            if cursor.as_mut().is_some_and(|cursor| cursor.leave_bucket(key, &mut seen)) {
                goes_on = true;
            } else {
                *cursor = None;
            }
        }
        if !goes_on {
            return seen;
        }
    }
}

impl<'t> Cursor<'t, '_> {
    /// Goes on to the children of `znode`; `None` if no name is left, or there are none.
    fn go_below(&mut self, znode: &'t Znode, key: HashKey) -> Option<()> {
        self.hash = key.name(self.rest.next()?);
        self.bits = self.hash;
        self.dir = znode.child_dir()?;
        Some(())
    }

    /// Goes through the branch that it stands before; false if that is none.
    #[inline]
    fn pass_branch(&mut self, seen: &mut usize) -> bool {
        let Dir::Branch(_, arms) = self.dir else { return false };
        // They are beside what was just looked at.
        *seen ^= holders(self.above);
        self.dir = &arms[arm(self.bits)];
        self.bits <<= BITS;
        if self.intent == Intent::Change {
            self.above = &arms[..];
        }
        true
    }

    #[inline]
    fn search_bucket(&mut self) {
        let (hashes, values) = self.dir.slots();
        let at = hashes.iter().position(|hash| *hash == self.hash);
        self.slots = (values, at.unwrap_or(values.len()));
    }

    /// Whoever looks at a znode compares its name; a copy holds those beside it too.
    #[inline]
    fn hold_bucket(&mut self, seen: &mut usize) {
        let (values, at) = self.slots;
        let held = match self.intent {
            Intent::Read => values.get(at..=at).unwrap_or_default(),
            Intent::Change => values,
        };
        for znode in held.iter().flatten() {
            *seen ^= znode.holder_counts();
        }
        *seen ^= holders(core::mem::take(&mut self.above));
    }

    /// False when there is nothing more to look at.
    #[inline]
    fn leave_bucket(&mut self, key: HashKey, seen: &mut usize) -> bool {
        let (values, at) = self.slots;
        let Some(Some(znode)) = values.get(at) else { return false };
        if self.go_below(znode, key).is_some() {
            return true;
        }
        *seen ^= znode.leaf().touch();
        false
    }
}

/// How many hold each of these.
#[inline]
fn holders(arms: &[Dir<Znode>]) -> usize {
    arms.iter().fold(0, |seen, arm| seen ^ arm.holder_count())
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    use ostler_wire::stat::StatPersisted;

    use super::Intent;
    use crate::acl_table::AclId;
    use crate::tree::Tree;
    use crate::znode::Znode;

    /// A tree with branches at several levels, and all of its paths.
    fn tree() -> (Tree, Vec<String>) {
        let mut tree = Tree::fresh(7);
        let attach = |path: String| {
            let name = path.rsplit('/').next().unwrap_or_default();
            let znode = Znode::new(name, Some(&[7; 300]), AclId::OPEN, &StatPersisted::default());
            tree.attach(&path, znode).expect("the parent was made before");
            path
        };
        let paths = (0..40).flat_map(|parent| {
            let parent = format!("/parent-{parent}");
            let children = (0..parent.len() * 10).map(|child| format!("{parent}/child-{child}"));
            let children: Vec<String> = children.collect();
            [parent].into_iter().chain(children)
        });
        let paths = paths.map(attach).collect();
        (tree, paths)
    }

    #[test]
    fn whoever_warms_goes_where_whoever_looks_goes() {
        let (tree, paths) = tree();
        for (path, intent) in
            paths.iter().flat_map(|path| [(path, Intent::Read), (path, Intent::Change)])
        {
            let mut cursor = tree.begin(path, intent).expect("the root has children");
            let found = loop {
                while cursor.pass_branch(&mut 0) {}
                cursor.search_bucket();
                cursor.hold_bucket(&mut 0);
                if !cursor.leave_bucket(tree.key, &mut 0) {
                    let (values, at) = cursor.slots;
                    break values[at].as_ref().expect("it was attached");
                }
            };
            let looked_up = tree.node(path).expect("it was attached");
            assert!(core::ptr::eq(found, looked_up), "{path}");
        }
    }

    #[test]
    fn any_paths_can_be_warmed() {
        let (tree, mut paths) = tree();
        let odd = ["", "/", "//", "a", "/a", "/a//b", "/parent-1/", "/parent-1/child-1/x", "/\0"];
        paths.extend(odd.map(String::from));
        for intent in [Intent::Read, Intent::Change] {
            tree.warm(paths.iter().map(|path| (&**path, intent)));
            tree.warm([("/parent-1", intent)].into_iter());
            tree.warm([].into_iter());
        }
        assert_eq!(tree.node("/parent-1").map(Znode::name), Some("parent-1"));
    }
}
