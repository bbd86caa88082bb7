//! Sets of paths that the tree keeps besides the znodes: ephemerals by session, containers, TTL
//! znodes. They answer questions for which the tree itself would have to be walked.

use core::str;

use ostler_wire::ids::SessionId;
use triomphe::{Arc, ThinArc};

use crate::dir::Dir;
use crate::hash::{HashKey, upper_half};

/// A set of paths.
#[derive(Clone, Default)]
pub(crate) struct PathSet {
    paths: Dir<ThinArc<(), u8>>,
}

impl PathSet {
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    /// Adds a path; whether it is new.
    pub(crate) fn insert(&mut self, key: HashKey, path: &str) -> bool {
        let hash = upper_half(key.bytes(path.as_bytes()));
        if self.paths.find(hash, |have| have.slice == *path.as_bytes()).is_some() {
            return false;
        }
        self.paths.insert(hash, ThinArc::from_header_and_slice((), path.as_bytes()));
        true
    }

    /// Removes a path; whether it was there.
    pub(crate) fn remove(&mut self, key: HashKey, path: &str) -> bool {
        let hash = upper_half(key.bytes(path.as_bytes()));
        self.paths.remove(hash, |have| have.slice == *path.as_bytes()).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(as_path)
    }

    /// See [`Dir::visit`].
    pub(crate) fn visit(
        &self,
        from: u32,
        count: usize,
        each: &mut impl FnMut(&str),
    ) -> Option<u32> {
        self.paths.visit(from, count, &mut |path| each(as_path(path)))
    }
}

fn as_path(path: &ThinArc<(), u8>) -> &str {
    str::from_utf8(&path.slice).expect("a path is made of a str")
}

/// The ephemerals of all sessions, also of sessions that are not in the session table.
#[derive(Clone, Default)]
pub(crate) struct Ephemerals {
    owners: Dir<Arc<Owner>>,
    // Invariant: the sum of the sizes of the sets.
    count: usize,
}

#[derive(Clone)]
struct Owner {
    session: SessionId,
    // Invariant: not empty.
    paths: PathSet,
}

impl Ephemerals {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn insert(&mut self, key: HashKey, session: SessionId, path: &str) {
        let hash = session_hash(key, session);
        if let Some(owner) = self.owners.find_mut(hash, |owner| owner.session == session) {
            self.count += usize::from(Arc::make_mut(owner).paths.insert(key, path));
            return;
        }
        let mut paths = PathSet::default();
        paths.insert(key, path);
        self.owners.insert(hash, Arc::new(Owner { session, paths }));
        self.count += 1;
    }

    pub(crate) fn remove(&mut self, key: HashKey, session: SessionId, path: &str) {
        let hash = session_hash(key, session);
        let Some(owner) = self.owners.find_mut(hash, |owner| owner.session == session) else {
            return;
        };
        let paths = &mut Arc::make_mut(owner).paths;
        self.count -= usize::from(paths.remove(key, path));
        if paths.len() == 0 {
            self.owners.remove(hash, |owner| owner.session == session);
        }
    }

    /// Forgets a session and returns what it owned.
    pub(crate) fn take(&mut self, key: HashKey, session: SessionId) -> PathSet {
        let hash = session_hash(key, session);
        let Some(owner) = self.owners.remove(hash, |owner| owner.session == session) else {
            return PathSet::default();
        };
        self.count -= owner.paths.len();
        Arc::unwrap_or_clone(owner).paths
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.owners.iter().map(|owner| owner.session)
    }

    pub(crate) fn of(&self, key: HashKey, session: SessionId) -> impl Iterator<Item = &str> {
        let owner = self.owners.find(session_hash(key, session), |owner| owner.session == session);
        owner.into_iter().flat_map(|owner| owner.paths.iter())
    }
}

pub(crate) fn session_hash(key: HashKey, session: SessionId) -> u32 {
    upper_half(key.number(session.0.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use ostler_wire::ids::SessionId;

    use super::Ephemerals;
    use crate::hash::HashKey;

    #[test]
    fn paths_come_and_go_by_session() {
        let key = HashKey::new(9);
        let (one, two) = (SessionId(1), SessionId(-2));
        let mut ephemerals = Ephemerals::default();
        ephemerals.insert(key, one, "/a");
        ephemerals.insert(key, one, "/b");
        ephemerals.insert(key, one, "/b");
        ephemerals.insert(key, two, "/c");
        assert_eq!(ephemerals.count(), 3);
        let old = ephemerals.clone();

        ephemerals.remove(key, two, "/c");
        ephemerals.remove(key, two, "/c");
        ephemerals.remove(key, one, "/none");
        assert_eq!(ephemerals.sessions().collect::<Vec<_>>(), [one]);
        assert_eq!(ephemerals.take(key, one).len(), 2);
        assert_eq!(ephemerals.take(key, one).len(), 0);
        assert_eq!(ephemerals.count(), 0);

        let mut paths: Vec<_> = old.of(key, one).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["/a", "/b"]);
        assert_eq!(old.of(key, SessionId(3)).count(), 0);
        assert_eq!(old.count(), 3);
    }
}
