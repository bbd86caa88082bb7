//! Whether what the recipes' users saw is right: held against what was committed.

use std::collections::BTreeMap;

use ostler_node::clock::{Span, Time};
use ostler_tree::Tree;
use ostler_wire::ids::{SessionId, Zxid};

use super::ledger::{Belief, Book, Ledger, Picture, Shown};
use super::{caches, counts, locks, planted, queues};
use crate::options::Options;
use crate::witness::Witness;
use crate::world::Outside;

/// The tree after so many transactions.
fn tree_after(witness: &Witness, committed: usize) -> Option<&Tree> {
    witness.committed.get(committed.checked_sub(1)?).map(|entry| &entry.tree)
}

fn is_alive(witness: &Witness, session: SessionId) -> bool {
    let tree = tree_after(witness, witness.committed.len());
    tree.is_some_and(|tree| tree.session_timeout_ms(session).is_some())
}

/// Looks at what was written into the book since it was looked at last. `is_paused` says which
/// processes do nothing at the moment: they cannot know what happens.
pub(crate) fn inspect(ledger: &Ledger, outside: &Outside, is_paused: &dyn Fn(usize) -> bool) {
    let Outside { witness, options, queue, .. } = outside;
    let (now, bound) = (queue.now(), belief_bound(options));
    let book = &mut *ledger.book();
    hold_against_others(book, witness);
    for belief in book.beliefs.values_mut() {
        doubt(belief, witness, now, is_paused(belief.actor));
        overdue(belief, now, bound);
    }
    for belief in std::mem::take(&mut book.ended) {
        overdue(&belief, now, bound);
    }
    for shown in std::mem::take(&mut book.shown) {
        check_shown(&shown, witness);
    }
    for session in std::mem::take(&mut book.told_lost) {
        assert!(!is_alive(witness, session), "{session:?} is not lost, as somebody was told");
    }
}

/// Nobody begins to hold what others hold whose sessions are alive, as is its own.
fn hold_against_others(book: &mut Book, witness: &Witness) {
    let fresh = book.beliefs.iter().filter(|(_, belief)| !belief.is_checked);
    let fresh: Vec<u64> = fresh.map(|(id, _)| *id).collect();
    for id in fresh {
        let belief = &book.beliefs[&id];
        if is_alive(witness, belief.session) {
            let same =
                |other: &&Belief| other.what == belief.what && is_alive(witness, other.session);
            let holders: Vec<&Belief> = book.beliefs.values().filter(same).collect();
            let weight: u32 = holders.iter().map(|holder| holder.weight).sum();
            assert!(weight <= belief.capacity, "too many hold {}: {holders:#?}", belief.what);
        }
        if let Some(belief) = book.beliefs.get_mut(&id) {
            belief.is_checked = true;
        }
    }
}

/// Notes when the session behind a belief was seen to be over.
fn doubt(belief: &mut Belief, witness: &Witness, now: Time, is_paused: bool) {
    if is_paused {
        // Time that its process does not live through does not count.
        belief.dead_since = None;
    } else if !is_alive(witness, belief.session) {
        belief.dead_since.get_or_insert(now);
    }
}

/// A holder is told in bounded time that its session is over: its server finds out that it was
/// left alone, and what that has answered until then proves nothing after three quarters of the
/// timeout.
fn overdue(belief: &Belief, now: Time, bound: Span) {
    if let Some(dead_since) = belief.dead_since {
        let Belief { actor, what, .. } = belief;
        assert!(now <= dead_since + bound, "c{actor} holds {what}, lost at {dead_since:?}");
    }
}

fn belief_bound(options: &Options) -> Span {
    let tick_ms = options.settings.tick_time_ms;
    let server_ms = (options.sync_limit + 3) * tick_ms;
    // Clocks that run unevenly, and a slow network.
    Span::from_millis(server_ms + super::TIMEOUT_TICKS_MAX * tick_ms * 3 / 4 + 500)
}

/// What a cache has shown was there at that zxid.
fn check_shown(shown: &Shown, witness: &Witness) {
    let Shown { actor, path, data, mzxid } = shown;
    let tree = tree_after(witness, witness.index(*mzxid));
    let node = tree.and_then(|tree| tree.node(path));
    let node = node.unwrap_or_else(|| panic!("c{actor} shows {path} of {mzxid}: there is none"));
    assert_eq!(node.stat().mzxid, *mzxid, "{path} was not set then");
    assert_eq!(node.data().unwrap_or_default(), data, "{path} of {mzxid} has other data");
}

/// Looks at everything once the run is over.
pub(crate) fn judge(ledger: &Ledger, witness: &Witness, quiet: usize) {
    check_register(witness);
    let book = ledger.book();
    let Some(tree) = tree_after(witness, quiet) else { return };
    for path in [counts::PLAIN, counts::EXACT, counts::SHARED] {
        check_sum(&book, tree, path);
    }
    for queue in [queues::PLAIN, queues::LOCKING, queues::PRIORITY] {
        check_items(&book, tree, queue);
    }
    for ((actor, path), picture) in &book.pictures {
        let is_one = path == caches::NODE;
        // Who has died may still be in a group then, but nobody sees what never was.
        let later = witness.committed[quiet.saturating_sub(1)..].iter();
        let mut truths = later.map(|entry| picture_of(&entry.tree, path, is_one));
        assert!(
            truths.any(|truth| truth == *picture),
            "c{actor} sees {path} otherwise than it is: {picture:?}, not {:?}",
            picture_of(tree, path, is_one)
        );
    }
}

/// Each write of the register comes from the one who is first in line, and adds one to what the
/// last one left.
fn check_register(witness: &Witness) {
    let mut last = (0, 0);
    let mut before: Option<&Tree> = None;
    for entry in &witness.committed {
        let data_of = |tree: &Tree| {
            tree.node(locks::REGISTER).map(|node| node.data().unwrap_or_default().to_vec())
        };
        let data = data_of(&entry.tree);
        let Some(tree) = before.replace(&entry.tree) else { continue };
        let Some(data) = data.filter(|data| data_of(tree).is_some_and(|old| old != *data)) else {
            continue;
        };
        let text = std::str::from_utf8(&data).expect("two numbers");
        let (token, _) = text.split_once(' ').expect("two numbers");
        let token: i64 = token.parse().expect("a number");
        let value = locks::value_of(&data);
        assert!(token >= last.0, "token {token} behind {last:?} at {}", entry.zxid);
        assert_eq!(value, last.1 + 1, "an addition is lost at {}", entry.zxid);
        last = (token, value);
        let line = tree.node(locks::MUTEX).expect("the line is there");
        let first = line.children().min_by_key(|name| planted::number_of(name));
        let first = first.expect("somebody is in line");
        let first = tree.node(&format!("{}/{first}", locks::MUTEX)).expect("a child is there");
        assert_eq!(first.stat().czxid, Zxid(token), "not the first writes {}", entry.zxid);
    }
}

fn check_sum(book: &Book, tree: &Tree, path: &str) {
    let Some(sum) = book.sums.get(path) else { return };
    let data = tree.node(path).and_then(|node| node.data()).unwrap_or_default();
    let value = data.iter().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
    let all = sum.acknowledged..=sum.acknowledged + sum.unknown;
    assert!(all.contains(&value), "{path} is {value}, of {sum:?}");
}

fn check_items(book: &Book, tree: &Tree, queue: &str) {
    let Some(items) = book.items.get(queue) else { return };
    let lost = items
        .put
        .iter()
        .filter(|(item, is_certain)| **is_certain && !items.taken.contains(item.as_str()));
    let lost: Vec<&String> = lost.map(|(item, _)| item).collect();
    let left: usize = [queue.to_owned(), format!("{queue}/entries")]
        .iter()
        .filter_map(|path| tree.node(path))
        .flat_map(|node| node.children())
        .filter(|name| *name != "entries" && *name != "taken")
        .count();
    assert_eq!(left, 0, "items are left in {queue}");
    assert!(lost.len() <= items.takes_unknown, "{queue} has lost {lost:?}: {items:?}");
}

fn picture_of(tree: &Tree, path: &str, is_one: bool) -> Picture {
    let mut picture = BTreeMap::new();
    let data_of = |node: &ostler_tree::Znode| node.data().unwrap_or_default().to_vec();
    if is_one {
        picture.extend(tree.node(path).map(|node| (path.to_owned(), data_of(node))));
        return picture;
    }
    let Some(mut walk) = tree.walk_below(path) else { return picture };
    while let Some((path, node)) = walk.next() {
        picture.insert(path.to_owned(), data_of(node));
    }
    picture
}
