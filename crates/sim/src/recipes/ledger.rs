//! What those who use the recipes have seen and done, in the order in which it happened.
//!
//! Tasks write into it while they run; the company reads it after each turn, and holds it against
//! the servers' truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ostler_node::clock::Time;
use ostler_wire::ids::{SessionId, Zxid};
use tokio::sync::watch;

/// How far a run has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    /// Faults strike.
    Faulty,
    /// All is well: everybody gets something done.
    Healed,
    /// Nothing new is begun: what waits is worked off.
    Settled,
    /// Nobody changes anything: all must see the same.
    Quiet,
}

/// Somebody's belief that something is held.
#[derive(Clone, Debug)]
pub(crate) struct Belief {
    pub(crate) actor: usize,
    pub(crate) what: String,
    pub(crate) session: SessionId,
    pub(crate) fencing: Zxid,
    /// How much of `capacity` it takes.
    pub(crate) weight: u32,
    /// How much of it there is.
    pub(crate) capacity: u32,
    /// When the truth was seen to contradict it first.
    pub(crate) dead_since: Option<Time>,
    /// It was held against the others.
    pub(crate) is_checked: bool,
}

/// Additions to one counter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) acknowledged: i64,
    pub(crate) unknown: i64,
}

/// What became of the items of one queue.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// Put or perhaps put, and whether that was acknowledged.
    pub(crate) put: BTreeMap<String, bool>,
    pub(crate) taken: BTreeSet<String>,
    /// How often somebody cannot know whether an item was taken.
    pub(crate) takes_unknown: usize,
}

/// A value that a cache has shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) actor: usize,
    pub(crate) path: String,
    pub(crate) data: Vec<u8>,
    pub(crate) mzxid: Zxid,
}

/// A part of the tree as somebody sees it at the end: data by path.
pub(crate) type Picture = BTreeMap<String, Vec<u8>>;

/// All of it.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) lines: Vec<(usize, String)>,
    next_belief: u64,
    pub(crate) beliefs: BTreeMap<u64, Belief>,
    /// Beliefs that have just ended, still to be looked at once.
    pub(crate) ended: Vec<Belief>,
    pub(crate) sums: BTreeMap<String, Sum>,
    pub(crate) items: BTreeMap<String, Items>,
    pub(crate) shown: Vec<Shown>,
    /// Sessions that somebody was told are over.
    pub(crate) told_lost: Vec<SessionId>,
    /// What the end looks like to whom: by who and where.
    pub(crate) pictures: BTreeMap<(usize, String), Picture>,
    /// Which phase each task has done its part of.
    pub(crate) reached: BTreeMap<(usize, String), Option<Phase>>,
    pub(crate) deeds: u64,
}

/// The book that all tasks write into.
#[derive(Clone)]
pub(crate) struct Ledger {
    book: Arc<Mutex<Book>>,
    phase: Arc<watch::Sender<Phase>>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { book: Arc::default(), phase: Arc::new(watch::Sender::new(Phase::Faulty)) }
    }

    /// The book; also while a failed check unwinds, which drops what writes into it.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Says that a task has done its part of this phase, and waits for the next one.
    pub(crate) async fn reached(&self, actor: usize, task: &str, phase: Phase) {
        self.book().reached.insert((actor, task.to_owned()), Some(phase));
        let mut phases = self.phase.subscribe();
        // The sender is in our hands.
        drop(phases.wait_for(|now| *now > phase).await);
    }

    /// Waits until this phase has begun.
    pub(crate) async fn begun(&self, phase: Phase) {
        let mut phases = self.phase.subscribe();
        drop(phases.wait_for(|now| *now >= phase).await);
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, actor: usize, what: fmt::Arguments<'_>) {
        self.book().lines.push((actor, what.to_string()));
    }

    /// Something is held from now on until the result is dropped.
    pub(crate) fn believe(&self, belief: Belief) -> Holding {
        let mut book = self.book();
        let Belief { actor, what, session, fencing, .. } = &belief;
        let line = format!("holds {what} in {session:?} with {fencing}");
        book.lines.push((*actor, line));
        book.next_belief += 1;
        book.deeds += 1;
        let id = book.next_belief;
        book.beliefs.insert(id, belief);
        Holding { id, ledger: self.clone() }
    }
}

/// A belief that lasts.
pub(crate) struct Holding {
    id: u64,
    ledger: Ledger,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut book = self.ledger.book();
        if let Some(belief) = book.beliefs.remove(&self.id) {
            book.lines.push((belief.actor, format!("holds {} no more", belief.what)));
            book.ended.push(belief);
        }
    }
}
