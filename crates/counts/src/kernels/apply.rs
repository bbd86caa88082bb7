//! Transactions and the tree.

use std::hint::black_box;

use super::Round;
use crate::znodes::{Grove, child_path, create, delete, parent_path, set_data};

/// Transactions in a round.
pub(crate) const TXNS: usize = 9_000;

/// Applies setData, create and delete in turn to a tree of 100,000 znodes below 100 parents. A view
/// is shared after every nine of them and replaces the one before, as a server's commits do.
pub(crate) fn apply() -> Round {
    let mut grove = Grove::new(PARENTS, CHILDREN);
    let mut view = grove.tree.clone();
    let paths: Vec<[String; 2]> = (0..TXNS / 3)
        .map(|number| {
            // Far from one another, in no order.
            let number = number * 7919 % (PARENTS * CHILDREN);
            let (parent, child) = (number / CHILDREN, number % CHILDREN);
            [child_path(parent, child), format!("{}/new-{number:06}", parent_path(parent))]
        })
        .collect();
    Box::new(move || {
        for turn in paths.chunks(3) {
            for [old, new] in turn {
                grove.apply(&set_data(old));
                grove.apply(&create(new));
                grove.apply(&delete(new));
            }
            drop(black_box(std::mem::replace(&mut view, grove.tree.clone())));
        }
    })
}

const PARENTS: usize = 100;
const CHILDREN: usize = 1_000;
