//! What will happen: events by virtual time, and in an order drawn from the seed among those of the
//! same instant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ostler_node::clock::Time;
use ostler_wire::ids::Sid;
use ostler_zab::LinkId;

use crate::net::{End, WireId};
use crate::random::Random;

/// Something that happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Event {
    /// A thread of a server takes its turn. The number says which start of the server is meant.
    Turn(usize, u64, Turn),
    /// Something may have come to this end of a wire.
    Arrival(WireId, End),
    /// A dial has taken too long.
    DialTimeout(WireId),
    /// A client looks around.
    Client(usize),
    /// A mishap of a client begins.
    Mishap(usize),
    /// One of this client ends.
    MishapEnd(usize),
    /// A fault of the plan begins.
    Fault(usize),
    /// It ends.
    FaultEnd(usize),
    /// A server that was cut off dies; the machine too if `true`.
    Stranded(usize, bool),
    /// A server is started, if it does not run.
    Start(usize),
    /// A server that was paused goes on.
    Resume(usize),
    /// Wires that were stalled move again.
    Unstall,
}

/// Which thread of a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Turn {
    /// The replica, which has mail or a deadline.
    Replica,
    /// The log, which has something to do.
    Log,
    /// The log, whose disk has done it.
    LogDone,
    /// A shard.
    Shard(usize),
    /// The snapshot writer has finished.
    Snapshot,
    /// The end of a process that was asked to end.
    Shutdown,
    /// The writer of the election connection to a server.
    Ballot(Sid),
    /// The reader of a link has waited for the rest of a snapshot.
    Stall(LinkId),
}

/// The events to come.
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    tiebreak: Random,
    now: Time,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Time,
    tiebreak: u64,
    sequence: u64,
    event: Event,
}

impl Queue {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
            tiebreak: Random::new(seed, "schedule"),
            now: Time(0),
        }
    }

    /// The virtual time.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn at(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        let entry = Entry {
            at: at.max(self.now),
            tiebreak: self.tiebreak.next(),
            sequence: self.sequence,
            event,
        };
        self.heap.push(Reverse(entry));
    }

    /// So many microseconds from now.
    pub(crate) fn after(&mut self, micros: u64, event: Event) {
        self.at(Time(self.now.0 + micros), event);
    }

    /// Moves time on to the next event, if there is one before `until`; else to `until`.
    pub(crate) fn next(&mut self, until: Time) -> Option<Event> {
        match self.heap.peek() {
            Some(Reverse(entry)) if entry.at <= until => {
                let Reverse(entry) = self.heap.pop()?;
                self.now = entry.at;
                Some(entry.event)
            }
            _ => {
                self.now = until;
                None
            }
        }
    }
}
