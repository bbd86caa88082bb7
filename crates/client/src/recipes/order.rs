//! Who stands where in a queue of sequential nodes, and whom to watch.
//!
//! A contender for a lock is a node whose name ends in a mark that tells what it wants (`lock-`,
//! `__WRIT__`, …) and in the sequence number that the server has appended:
//!
//! ```text
//! _c_0fd75ef7-37be-4d4f-9b1a-31f4b6b54ad0-lock-0000000012      Curator, and Ostler by default
//! └────────── found again by this ───────┘└mark┘└sequence┘
//! 0fd75ef737be4d4f9b1a31f4b6b54ad0__lock__0000000013           kazoo
//! ```
//!
//! Pure: names in, standing out. It does not know what a session is.
//!
//! The number is the parent's count of child changes, a signed 32-bit number that rolls over. So
//! numbers are compared by their distance around the ring: of two, the one from which the other is
//! fewer than 2^31 steps ahead came first. Curator and kazoo compare them as text and let two
//! holders in at the roll-over; nothing on this side can prevent that.

use std::cmp::Reverse;

/// What a contender lets others have beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Stands aside for everybody before it.
    Exclusive,
    /// Stands aside only for those before it who want it alone.
    Shared,
}

/// The marks that make a node name a contender, each with its role.
#[derive(Clone, Debug)]
pub(crate) struct Marks(Vec<(String, Role)>);

/// Curator's `InterProcessMutex` and its leader selector, and go-zookeeper's lock.
pub(crate) const CURATOR_LOCK: &str = "lock-";
/// Curator's `InterProcessReadWriteLock`.
pub(crate) const CURATOR_READ: &str = "__READ__";
/// Curator's `InterProcessReadWriteLock`.
pub(crate) const CURATOR_WRITE: &str = "__WRIT__";
/// kazoo's `Lock`, `WriteLock` and `Election`.
pub(crate) const KAZOO_LOCK: &str = "__lock__";
/// kazoo's `ReadLock`.
pub(crate) const KAZOO_READ: &str = "__rlock__";
/// Curator's `LeaderLatch`.
pub(crate) const CURATOR_LATCH: &str = "latch-";

impl Marks {
    /// Of a mutual exclusion lock: Curator's and kazoo's.
    pub(crate) fn mutex() -> Self {
        Self::exclusive(&[CURATOR_LOCK, KAZOO_LOCK])
    }

    /// Of a read-write lock: Curator's and kazoo's.
    pub(crate) fn read_write() -> Self {
        let mut marks = Self::exclusive(&[CURATOR_WRITE, KAZOO_LOCK]);
        marks.0.push((CURATOR_READ.to_owned(), Role::Shared));
        marks.0.push((KAZOO_READ.to_owned(), Role::Shared));
        marks
    }

    /// Of a leader latch.
    pub(crate) fn latch() -> Self {
        Self::exclusive(&[CURATOR_LATCH])
    }

    /// Marks of contenders that each want it alone.
    pub(crate) fn exclusive(marks: &[&str]) -> Self {
        Self(marks.iter().map(|mark| ((*mark).to_owned(), Role::Exclusive)).collect())
    }

    /// Adds a mark that others use.
    pub(crate) fn add(&mut self, mark: &str, role: Role) {
        self.0.push((mark.to_owned(), role));
    }

    /// The role and number of a node, when it is a contender.
    fn parse(&self, name: &str) -> Option<(Role, i32)> {
        self.0.iter().find_map(|(mark, role)| {
            let (_, rest) = name.rsplit_once(mark.as_str())?;
            Some((*role, sequence(rest)?))
        })
    }
}

/// Where one contender stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody is before it whom it must wait for.
    Turn,
    /// It waits, and should look again when the node of this name goes.
    Behind(String),
    /// Its own node is not there any more.
    Gone,
}

/// Where `own` stands among `children`.
///
/// The one to watch is the nearest before it that it waits for, so that a release wakes one
/// contender and, with readers, only those that stood behind that writer.
pub(crate) fn standing(children: &[String], own: &str, marks: &Marks) -> Standing {
    let Some((role, number)) = marks.parse(own) else { return Standing::Gone };
    let mut nearest: Option<(i32, &str)> = None;
    let mut is_there = false;
    for name in children {
        if name == own {
            is_there = true;
            continue;
        }
        let Some((other_role, other)) = marks.parse(name) else { continue };
        let distance = other.wrapping_sub(number);
        let waits = role == Role::Exclusive || other_role == Role::Exclusive;
        if distance < 0 && waits && nearest.is_none_or(|(closest, _)| closest < distance) {
            nearest = Some((distance, name));
        }
    }
    match nearest {
        _ if !is_there => Standing::Gone,
        Some((_, name)) => Standing::Behind(name.to_owned()),
        None => Standing::Turn,
    }
}

/// The contenders among `children`, the first first.
///
/// Across a roll-over the queue begins behind the widest gap of numbers.
pub(crate) fn in_order<'a>(children: &'a [String], marks: &Marks) -> Vec<&'a str> {
    let mut queue: Vec<(i32, &str)> = children
        .iter()
        .filter_map(|name| marks.parse(name).map(|(_, number)| (number, name.as_str())))
        .collect();
    queue.sort_unstable();
    let gap_before = |at: usize| {
        let before = if at == 0 { queue.len() - 1 } else { at - 1 };
        // One lone contender has the whole ring before it, which wraps to 0; any order will do.
        queue[at].0.wrapping_sub(queue[before].0).cast_unsigned()
    };
    let start = (0..queue.len()).max_by_key(|at| (gap_before(*at), Reverse(*at))).unwrap_or(0);
    queue.rotate_left(start);
    queue.into_iter().map(|(_, name)| name).collect()
}

/// The number of a node made by [`crate::CreateOptions`] with a sequence, if its name ends in one.
pub(crate) fn sequence_of<'a>(name: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = name.rsplit_once(mark)?;
    sequence(rest).map(|_| rest)
}

/// A sequence number as servers write it: `%010d` of a signed number, so that it takes ten
/// characters, or eleven when it is below -999,999,999.
fn sequence(text: &str) -> Option<i32> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_written_so = (text.len() == 10 || (text.len() == 11 && digits.len() == 10))
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_written_so { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "_c_0fd75ef7-37be-4d4f-9b1a-31f4b6b54ad0-";
    const B: &str = "_c_f0000000-37be-4d4f-9b1a-31f4b6b54ad0-";
    const K: &str = "0fd75ef737be4d4f9b1a31f4b6b54ad0";

    fn names(names: &[String]) -> Vec<String> {
        names.to_vec()
    }

    fn lock(prefix: &str, number: i32) -> String {
        format!("{prefix}lock-{number:010}")
    }

    #[test]
    fn numbers_are_read_as_servers_write_them() {
        for number in [0, 1, 2_147_483_647, -1, -999_999_999, -1_000_000_000, i32::MIN] {
            assert_eq!(sequence(&format!("{number:010}")), Some(number));
        }
        for text in ["", "1", "00000000001", "000000000x", "+000000001", "9999999999", "-"] {
            assert_eq!(sequence(text), None, "{text:?}");
        }
        assert_eq!(sequence_of("_c_x-__WRIT__0000000007", CURATOR_WRITE), Some("0000000007"));
        assert_eq!(sequence_of("_c_x-__READ__0000000007", CURATOR_WRITE), None);
    }

    #[test]
    fn the_first_has_its_turn_and_the_others_watch_the_one_before() {
        let marks = Marks::mutex();
        let children = names(&[lock(B, 3), lock(A, 1), lock(B, 2)]);
        assert_eq!(standing(&children, &lock(A, 1), &marks), Standing::Turn);
        assert_eq!(standing(&children, &lock(B, 2), &marks), Standing::Behind(lock(A, 1)));
        assert_eq!(standing(&children, &lock(B, 3), &marks), Standing::Behind(lock(B, 2)));
        assert_eq!(standing(&children, &lock(A, 9), &marks), Standing::Gone);
    }

    #[test]
    fn curators_and_kazoos_contenders_stand_in_one_queue() {
        let marks = Marks::mutex();
        let kazoo = |number: i32| format!("{K}__lock__{number:010}");
        let children = names(&[lock(A, 0), kazoo(1), lock(B, 2), kazoo(3)]);
        assert_eq!(standing(&children, &kazoo(1), &marks), Standing::Behind(lock(A, 0)));
        assert_eq!(standing(&children, &lock(B, 2), &marks), Standing::Behind(kazoo(1)));
        assert_eq!(in_order(&children, &marks), children);
    }

    #[test]
    fn strangers_are_no_contenders_unless_their_mark_is_named() {
        let mut marks = Marks::mutex();
        let children =
            names(&["config".to_owned(), "x-1-0000000000".to_owned(), lock(A, 1), "lock-".into()]);
        assert_eq!(standing(&children, &lock(A, 1), &marks), Standing::Turn);
        marks.add("x-1-", Role::Exclusive);
        let before = Standing::Behind("x-1-0000000000".to_owned());
        assert_eq!(standing(&children, &lock(A, 1), &marks), before);
    }

    #[test]
    fn readers_wait_for_writers_only_and_for_the_nearest() {
        let marks = Marks::read_write();
        let read = |number: i32| format!("{A}__READ__{number:010}");
        let write = |number: i32| format!("{A}__WRIT__{number:010}");
        let children = names(&[read(0), read(1), write(2), write(3), read(4), read(5), write(6)]);
        let expected = [
            Standing::Turn,
            Standing::Turn,
            Standing::Behind(read(1)),
            Standing::Behind(write(2)),
            Standing::Behind(write(3)),
            Standing::Behind(write(3)),
            Standing::Behind(read(5)),
        ];
        for (name, expected) in children.iter().zip(expected) {
            assert_eq!(standing(&children, name, &marks), expected, "{name}");
        }
        let kazoo_reader = format!("{K}__rlock__0000000007");
        let with_kazoo = names(&[read(1), kazoo_reader.clone(), format!("{K}__lock__0000000008")]);
        assert_eq!(standing(&with_kazoo, &kazoo_reader, &marks), Standing::Turn);
        let last = Standing::Behind(kazoo_reader);
        assert_eq!(standing(&with_kazoo, &with_kazoo[2], &marks), last);
    }

    #[test]
    fn a_writer_that_becomes_a_reader_keeps_its_place() {
        let marks = Marks::read_write();
        let write = format!("{A}__WRIT__0000000002");
        let read = format!("{B}__READ__0000000002");
        let children = names(&[write, read.clone(), format!("{A}__WRIT__0000000003")]);
        assert_eq!(standing(&children, &read, &marks), Standing::Turn);
        assert_ne!(standing(&children, &children[2], &marks), Standing::Turn);
    }

    #[test]
    fn the_order_goes_on_where_the_numbers_roll_over() {
        let marks = Marks::mutex();
        let queue = [i32::MAX - 1, i32::MAX, i32::MIN, i32::MIN + 1].map(|number| lock(A, number));
        assert_eq!(standing(&queue, &queue[0], &marks), Standing::Turn);
        for pair in queue.windows(2) {
            let before = Standing::Behind(pair[0].clone());
            assert_eq!(standing(&queue, &pair[1], &marks), before);
        }
        let shuffled = names(&[2, 0, 3, 1].map(|at: usize| queue[at].clone()));
        assert_eq!(in_order(&shuffled, &marks), queue);
        assert_eq!(in_order(&queue[..1], &marks), queue[..1]);
        assert!(in_order(&[], &marks).is_empty());
    }
}
