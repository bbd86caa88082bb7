//! What a load has counted.

use std::time::Instant;

use hdrhistogram::Histogram;

use super::source::Kind;

/// Latencies are counted in nanoseconds up to this.
const LATENCY_MAX_NS: u64 = 300_000_000_000;

/// An empty histogram of latencies in nanoseconds.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, LATENCY_MAX_NS, 3).expect("the bounds are in order")
}

/// What one thread's load did.
pub(crate) struct Tally {
    /// One for each of [`Kind::ALL`].
    latencies: [Histogram<u64>; Kind::ALL.len()],
    /// Replies that differ in nothing: those that came with one read to requests that went with
    /// one write.
    alike: Alike,
    pub(crate) errors: u64,
    /// The first error, in words.
    pub(crate) first_error: Option<String>,
    /// Requests of an open loop that fell due and were never sent.
    pub(crate) not_issued: u64,
    pub(crate) finished: Instant,
}

#[derive(Clone, Copy)]
struct Alike {
    kind: Kind,
    latency_ns: u64,
    count: u64,
}

impl Tally {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            latencies: Kind::ALL.map(|_| latencies()),
            alike: Alike { kind: Kind::Get, latency_ns: 0, count: 0 },
            errors: 0,
            first_error: None,
            not_issued: 0,
            finished: start,
        }
    }

    /// Counts a reply.
    pub(crate) fn note(&mut self, kind: Kind, latency_ns: u64) {
        if self.alike.kind != kind || self.alike.latency_ns != latency_ns {
            self.settle();
            self.alike = Alike { kind, latency_ns, count: 0 };
        }
        self.alike.count += 1;
    }

    /// Counts a failure.
    pub(crate) fn fail(&mut self, count: usize, error: impl FnOnce() -> String) {
        self.errors += count as u64;
        self.first_error.get_or_insert_with(error);
    }

    fn settle(&mut self) {
        let Alike { kind, latency_ns, count } = self.alike;
        self.latencies[kind as usize].saturating_record_n(latency_ns, count);
        self.alike.count = 0;
    }

    /// Adds what another thread has counted.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.settle();
        other.settle();
        for (own, others) in self.latencies.iter_mut().zip(&other.latencies) {
            own.add(others).expect("all have the same bounds");
        }
        self.errors += other.errors;
        self.not_issued += other.not_issued;
        self.first_error = self.first_error.take().or(other.first_error);
        self.finished = self.finished.max(other.finished);
    }

    /// The latencies of those kinds that `which` chooses.
    pub(crate) fn latencies_of(&mut self, which: impl Fn(Kind) -> bool) -> Histogram<u64> {
        self.settle();
        let mut sum = latencies();
        for kind in Kind::ALL.into_iter().filter(|kind| which(*kind)) {
            sum.add(&self.latencies[kind as usize]).expect("all have the same bounds");
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_counted_by_their_kind() {
        let now = Instant::now();
        let mut tally = Tally::new(now);
        for latency_ns in [5_000, 5_000, 7_000] {
            tally.note(Kind::Get, latency_ns);
        }
        tally.note(Kind::Set, 7_000);
        let mut other = Tally::new(now);
        other.note(Kind::List, 9_000);
        other.fail(2, || "no".to_owned());
        tally.join(other);
        assert_eq!(tally.latencies_of(|kind| kind == Kind::Get).len(), 3);
        assert_eq!(tally.latencies_of(Kind::is_read).len(), 4);
        assert_eq!(tally.latencies_of(|_| true).len(), 5);
        assert_eq!(tally.latencies_of(|_| true).max() / 1000, 9);
        assert_eq!((tally.errors, tally.first_error.as_deref()), (2, Some("no")));
    }
}
