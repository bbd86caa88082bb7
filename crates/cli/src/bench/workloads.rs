//! The workloads by name: what `--workload` chooses from.
//!
//! The first are building blocks; the others fix a number of connections, requests under way and
//! bytes, so that a name says all that a figure depends on. Options on the command line go before
//! what stands here.

use std::fmt::Write as _;

/// What a load does.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Shape {
    /// getData and setData of znodes that are there, with this share of getData.
    Mixed { read_ratio: f64 },
    /// Five kinds of operations in fixed shares.
    Mix,
    /// Creates for a time.
    Create,
    /// Creates of a number of znodes.
    Fill,
    /// Sessions that watch one znode.
    Fanout,
    /// Opening sessions.
    Sessions,
    /// Waiting for the first read.
    Ready,
}

impl Shape {
    /// Whether latencies of reads and of writes can be told apart.
    pub(crate) fn reads_and_writes(self) -> bool {
        match self {
            Self::Mixed { read_ratio } => read_ratio > 0.0 && read_ratio < 1.0,
            Self::Mix => true,
            _ => false,
        }
    }
}

/// A workload and what goes without saying with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) shape: Shape,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) size_bytes: usize,
    pub(crate) keys: u64,
    pub(crate) parents: u32,
    pub(crate) count: u64,
    pub(crate) rounds: u64,
    /// Requests per second; `None` is as fast as replies come.
    pub(crate) rate: Option<f64>,
}

/// What most of them share.
const USUAL: Workload = Workload {
    name: "",
    about: "",
    shape: Shape::Mixed { read_ratio: 1.0 },
    connections: 20,
    depth: 10,
    size_bytes: 1024,
    keys: 1000,
    parents: 1,
    count: 0,
    rounds: 20,
    rate: None,
};

const READ: Workload = USUAL;
const WRITE: Workload = Workload { shape: Shape::Mixed { read_ratio: 0.0 }, ..USUAL };
const CREATE: Workload = Workload { shape: Shape::Create, size_bytes: 100, ..USUAL };
const FILL: Workload =
    Workload { shape: Shape::Fill, size_bytes: 100, parents: 1000, count: 100_000, ..USUAL };
const SESSIONS: Workload = Workload { shape: Shape::Sessions, count: 1000, ..USUAL };
const FANOUT: Workload = Workload { shape: Shape::Fanout, ..USUAL };

/// All of them, in the order of `--list`.
pub(crate) const ALL: &[Workload] = &[
    Workload { name: "read", about: "getData of znodes drawn from --keys (1000)", ..READ },
    Workload { name: "write", about: "setData of znodes drawn from --keys (1000)", ..WRITE },
    Workload {
        name: "mixed",
        about: "both, getData in a share of --read-ratio (0.9)",
        shape: Shape::Mixed { read_ratio: 0.9 },
        ..USUAL
    },
    Workload { name: "create", about: "creates for as long as --duration", ..CREATE },
    Workload {
        name: "fill",
        about: "creates of --count (100000) znodes; rate, and memory for each",
        ..FILL
    },
    Workload {
        name: "fanout",
        about: "--connections sessions watch a znode; time until all know of a change",
        ..FANOUT
    },
    Workload {
        name: "sessions",
        about: "opens --count (1000) sessions, --connections at a time; rate, and memory for each",
        ..SESSIONS
    },
    Workload {
        name: "ready",
        about: "waits up to --duration for the first read to be served; tells how long",
        shape: Shape::Ready,
        ..USUAL
    },
    Workload { name: "reads-pipelined", about: "many reads under way", ..READ },
    Workload {
        name: "reads-200x1",
        about: "many connections, each with one read at a time",
        connections: 200,
        depth: 1,
        size_bytes: 100,
        ..READ
    },
    Workload {
        name: "reads-1x1",
        about: "one read at a time: how long does it take?",
        connections: 1,
        depth: 1,
        size_bytes: 100,
        ..READ
    },
    Workload { name: "writes-pipelined", about: "many writes under way", ..WRITE },
    Workload {
        name: "writes-1x1",
        about: "one write at a time: how long does it take?",
        connections: 1,
        depth: 1,
        size_bytes: 100,
        ..WRITE
    },
    Workload {
        name: "writes-paced",
        about: "5000 writes per second, whatever the server does: stalls show in the latencies",
        rate: Some(5000.0),
        ..WRITE
    },
    Workload { name: "creates", about: "many creates under one parent under way", ..CREATE },
    Workload {
        name: "third-writes",
        about: "two reads to one write",
        shape: Shape::Mixed { read_ratio: 2.0 / 3.0 },
        ..USUAL
    },
    Workload {
        name: "mix",
        about: "45 % getData, 45 % getChildren of 100, 8 % setData, 1 % create, 1 % delete: what \
                keeper-bench has been run with in public",
        shape: Shape::Mix,
        size_bytes: 100,
        keys: 10_000,
        parents: 100,
        ..USUAL
    },
    Workload {
        name: "ensemble-writes",
        about: "many writes under way, for servers that --server names all",
        connections: 30,
        ..WRITE
    },
    Workload {
        name: "ensemble-writes-1x1",
        about: "one write at a time, for servers that --server names all",
        connections: 1,
        depth: 1,
        size_bytes: 100,
        ..WRITE
    },
    Workload {
        name: "ensemble-reads",
        about: "many reads under way, for servers that --server names all",
        connections: 30,
        ..READ
    },
    Workload {
        name: "fill-million",
        about: "creates of 1000000 znodes under 1000 parents; rate, and memory for each",
        count: 1_000_000,
        ..FILL
    },
    Workload {
        name: "fill-million-1250",
        about: "the same with 1.25 KB in each",
        count: 1_000_000,
        size_bytes: 1250,
        ..FILL
    },
    Workload {
        name: "sessions-6000",
        about: "opens 6000 sessions, 20 at a time; rate, and memory for each",
        count: 6000,
        ..SESSIONS
    },
    Workload {
        name: "fanout-1000",
        about: "1000 sessions watch a znode; time until all know of a change, 50 times",
        connections: 1000,
        rounds: 50,
        ..FANOUT
    },
];

/// The workload of this name.
pub(crate) fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

/// All of them, explained to people.
pub(crate) fn list() -> String {
    let mut text = format!("{:<20} {:>9}  {:>6}\n", "", "requests", "bytes");
    for workload in ALL {
        let Workload { name, about, connections, depth, size_bytes, .. } = workload;
        let (under_way, size) = match workload.shape {
            Shape::Ready | Shape::Sessions => (String::new(), String::new()),
            Shape::Fanout => (connections.to_string(), String::new()),
            _ => (format!("{connections} x {depth}"), size_bytes.to_string()),
        };
        let _ = writeln!(text, "{name:<20} {under_way:>9}  {size:>6}  {about}");
    }
    text +=
        "\nRequests under way: connections x requests on each. Options change what stands here.\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_told_once() {
        for workload in ALL {
            assert_eq!(ALL.iter().filter(|other| other.name == workload.name).count(), 1);
            assert!(find(workload.name).is_some() && !workload.about.is_empty());
        }
        assert!(ALL.iter().all(|workload| list().contains(workload.about)));
        assert!(find("nothing").is_none());
    }
}
