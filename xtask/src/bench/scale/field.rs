//! Znodes that are there for a series, and loads on them whose cost is measured.
//!
//! `ostler bench` makes the loads of the table, each on znodes of its own that are made for it.
//! Here the same znodes serve several loads, and there may be ten millions of them.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::options::Options;
use super::super::servers::{Sample, Servers};
use super::session::{Op, Session};

/// Sessions of a load with many requests under way, and the requests of each.
const SESSIONS: usize = 20;
const DEPTH: usize = 10;

/// Znodes below a root: `<root>/p<parent>/n<number>`, spread evenly over the parents.
pub(super) struct Field {
    root: String,
    parents: u64,
    count: u64,
    name_bytes: usize,
}

/// What is done to the znodes of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Work {
    /// Creates and deletes a znode beside those of the field.
    Churn,
    Read,
    Write,
}

impl Work {
    pub(super) const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Churn];

    /// What its figures begin with.
    fn name(self) -> &'static str {
        match self {
            Self::Churn => "churn",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl Field {
    /// Creates a field with names of so many bytes.
    pub(super) fn fill(
        servers: &Servers<'_>,
        root: &str,
        (count, parents): (u64, u64),
        (name_bytes, data_bytes): (usize, usize),
    ) -> Result<Self> {
        let field = Self { root: root.to_owned(), parents, count, name_bytes };
        let mut session = Session::open(servers.address())?;
        session.call(Op::Create, root, b"")?;
        session.stream(Op::Create, (0..parents).map(|parent| field.parent(parent)), b"")?;
        let data = vec![b'x'; data_bytes];
        session.stream(Op::Create, (0..count).map(|number| field.node(number)), &data)?;
        Ok(field)
    }

    fn parent(&self, parent: u64) -> String {
        format!("{}/p{parent:04}", self.root)
    }

    fn node(&self, number: u64) -> String {
        let digits = self.name_bytes - 1;
        format!("{}/n{number:0digits$}", self.parent(number % self.parents))
    }

    /// Server CPU of each kind of work with many requests under way, and the p50 of one at a time.
    pub(super) fn cost(
        &self,
        servers: &Servers<'_>,
        options: &Options,
        sample: &mut Sample,
    ) -> Result<()> {
        for work in Work::ALL {
            let cpu_us = self.cpu_us(servers, options, work)?;
            sample.set(&format!("{}_cpu_us", work.name()), cpu_us);
            self.median_us(servers, options, work, sample)?;
        }
        Ok(())
    }

    /// CPU microseconds of the servers for each operation.
    fn cpu_us(&self, servers: &Servers<'_>, options: &Options, work: Work) -> Result<f64> {
        let sessions = (0..SESSIONS).map(|_| Session::open(servers.address()));
        let mut sessions = sessions.collect::<Result<Vec<_>>>()?;
        let mut paths = Paths::new(self);
        let (warmup, measured) = times(options);
        let mut before = None;
        let mut ops = 0.0;
        let start = Instant::now();
        while start.elapsed() < warmup + measured {
            if before.is_none() && start.elapsed() >= warmup {
                before = Some(servers.cpu_seconds()?);
            }
            for session in &mut sessions {
                for step in 0..DEPTH {
                    let (op, path) = paths.next(work, step);
                    session.ask(op, path, DATA);
                }
                session.send()?;
            }
            for session in &mut sessions {
                for _ in 0..DEPTH {
                    session.take()?;
                }
                ops += if before.is_some() { DEPTH as f64 } else { 0.0 };
            }
        }
        let used = servers.cpu_seconds()? - before.unwrap_or_default();
        Ok(used * 1e6 / f64::max(ops, 1.0))
    }

    /// The median time of an operation when nothing else is under way.
    fn median_us(
        &self,
        servers: &Servers<'_>,
        options: &Options,
        work: Work,
        sample: &mut Sample,
    ) -> Result<()> {
        let mut session = Session::open(servers.address())?;
        let mut paths = Paths::new(self);
        let (warmup, measured) = times(options);
        // Those of the first and of the second step: creates and deletes.
        let mut taken_us: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
        let start = Instant::now();
        for step in 0.. {
            let (op, path) = paths.next(work, step);
            let asked = Instant::now();
            session.call(op, path, DATA)?;
            if start.elapsed() >= warmup {
                taken_us[step % 2].push(asked.elapsed().as_secs_f64() * 1e6);
            }
            // What was created last is deleted first.
            if start.elapsed() > warmup + measured && !step.is_multiple_of(2) {
                break;
            }
        }
        if work == Work::Churn {
            let [creates, deletes] = taken_us;
            sample.set("create_p50_us", median(creates));
            sample.set("delete_p50_us", median(deletes));
        } else {
            sample.set(&format!("{}_p50_us", work.name()), median(taken_us.concat()));
        }
        Ok(())
    }

    /// Sets so many watches on znodes that are not there, as sessions that wait for them do.
    pub(super) fn watch(&self, servers: &Servers<'_>, count: u64) -> Result<Vec<Session>> {
        let mut watchers = Vec::new();
        for first in (0..count).step_by(10_000) {
            let mut session = Session::open(servers.address())?;
            let numbers = first..count.min(first + 10_000);
            let paths = numbers.map(|number| format!("{}/w{number:09}", self.parent(0)));
            session.stream(Op::Watch, paths, b"")?;
            watchers.push(session);
        }
        Ok(watchers)
    }
}

/// What writes and creates of a load put into a znode.
const DATA: &[u8] = &[b'y'; 100];

/// Warm-up and measured time of a load.
fn times(options: &Options) -> (Duration, Duration) {
    let (warmup, measured) = if options.is_quick { (50, 200) } else { (400, 1_500) };
    (Duration::from_millis(warmup), Duration::from_millis(measured))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Draws the paths of a load.
struct Paths<'f> {
    field: &'f Field,
    state: u64,
    path: String,
}

impl<'f> Paths<'f> {
    fn new(field: &'f Field) -> Self {
        Self { field, state: 0x9e37_79b9_7f4a_7c15, path: String::new() }
    }

    /// The next operation. Every second step of a churn deletes what the step before has created.
    fn next(&mut self, work: Work, step: usize) -> (Op, &str) {
        let op = match work {
            Work::Read => Op::Read,
            Work::Write => Op::Write,
            Work::Churn if step.is_multiple_of(2) => Op::Create,
            Work::Churn => Op::Delete,
        };
        if op != Op::Delete {
            // Xorshift: even enough.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            self.path = if work == Work::Churn {
                let parent = self.field.parent(self.state % self.field.parents);
                format!("{parent}/c{:016x}", self.state)
            } else {
                self.field.node(self.state % self.field.count)
            };
        }
        (op, &self.path)
    }
}
