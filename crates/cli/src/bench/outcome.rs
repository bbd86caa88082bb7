//! What a run found, and how it is told. Runs of one load can be joined to one.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use super::options::{Plan, Target};
use super::report::{Report, count, size};
use super::workloads::Shape;
use crate::process::ProcessUse;

/// What a run found.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Operations that succeeded in the measured time.
    pub(crate) ops: u64,
    /// Measured time, if a rate makes sense.
    pub(crate) taken: Option<Duration>,
    pub(crate) errors: u64,
    /// The first of them, in words.
    pub(crate) first_error: Option<String>,
    /// Requests of an open loop that fell due and were never sent.
    pub(crate) not_issued: u64,
    /// The first are those of all operations.
    pub(crate) latencies: Vec<Latencies>,
    pub(crate) used: Used,
}

/// Latencies in nanoseconds.
pub(crate) struct Latencies {
    pub(crate) title: &'static str,
    /// What the names of figures begin with.
    pub(crate) prefix: &'static str,
    pub(crate) of: Histogram<u64>,
}

/// A look at the processes: those of the servers, if they are known, and this one.
pub(crate) struct Reading {
    servers: Option<ProcessUse>,
    own: ProcessUse,
}

/// What processes have used between two looks at them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) servers: Option<UsedByServers>,
    own_cpu_s: f64,
}

/// Sums over all servers.
#[derive(Clone, Copy)]
pub(crate) struct UsedByServers {
    pub(crate) cpu_s: f64,
    pub(crate) resident_bytes: u64,
    /// How much more that is than before.
    pub(crate) grown_bytes: f64,
}

impl Reading {
    /// Looks at the processes of a target and at this one.
    pub(crate) fn take(pids: &[u32]) -> Result<Self> {
        let mut servers = None;
        for pid in pids {
            let one =
                ProcessUse::of(*pid).with_context(|| format!("cannot look at process {pid}"))?;
            let sum: &mut ProcessUse = servers.get_or_insert_default();
            sum.cpu_s += one.cpu_s;
            sum.resident_bytes += one.resident_bytes;
        }
        Ok(Self { servers, own: ProcessUse::own()? })
    }

    /// What was used since this look.
    pub(crate) fn until_now(&self, pids: &[u32]) -> Result<Used> {
        let now = Self::take(pids)?;
        Ok(Used {
            servers: self.servers.zip(now.servers).map(|(before, after)| UsedByServers {
                cpu_s: after.cpu_s - before.cpu_s,
                resident_bytes: after.resident_bytes,
                grown_bytes: count(after.resident_bytes) - count(before.resident_bytes),
            }),
            own_cpu_s: now.own.cpu_s - self.own.cpu_s,
        })
    }
}

impl Outcome {
    /// Adds a later run of the same load on the same servers.
    pub(crate) fn join(&mut self, later: Self) {
        self.ops += later.ops;
        self.taken = self.taken.zip(later.taken).map(|(one, other)| one + other);
        self.errors += later.errors;
        self.first_error = self.first_error.take().or(later.first_error);
        self.not_issued += later.not_issued;
        for (own, others) in self.latencies.iter_mut().zip(&later.latencies) {
            own.of.add(&others.of).expect("all have the same bounds");
        }
        self.used.own_cpu_s += later.used.own_cpu_s;
        if let (Some(own), Some(others)) = (&mut self.used.servers, later.used.servers) {
            own.cpu_s += others.cpu_s;
            own.resident_bytes = others.resident_bytes;
        }
    }

    /// Operations per second.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.taken.map(|taken| count(self.ops) / taken.as_secs_f64())
    }

    /// All that there is to say.
    pub(crate) fn tell(&self, plan: &Plan, target: &Target) -> Report {
        let mut report = Report::default();
        heading(&mut report, plan, target);
        report.number("ops", count(self.ops));
        if let (Some(taken), Some(rate)) = (self.taken, self.rate()) {
            report.number("seconds", taken.as_secs_f64());
            report.number("ops_per_s", rate);
            report.line(&format!("  rate      {rate:.0} operations per second"));
        }
        report.number("errors", count(self.errors));
        if let Some(error) = &self.first_error {
            report.text("first_error", error);
            report.line(&format!("  errors    {}; the first: {error}", self.errors));
        }
        if plan.workload.rate.is_some() {
            report.number("not_issued", count(self.not_issued));
        }
        // A few fall due when the time is over.
        if self.not_issued > self.ops / 1000 {
            report.line(&format!("  not sent  {} requests that were due", self.not_issued));
        }
        for latencies in &self.latencies {
            report.latencies(latencies.title, latencies.prefix, &latencies.of);
        }
        self.tell_use(plan, &mut report);
        report
    }

    fn tell_use(&self, plan: &Plan, report: &mut Report) {
        let ops = count(self.ops).max(1.0);
        if let Some(servers) = self.used.servers {
            let us_per_op = servers.cpu_s * 1e6 / ops;
            report.number("server_cpu_us_per_op", us_per_op);
            let mut line = format!("  server    {us_per_op:.2} CPU µs per operation");
            if servers.cpu_s > 0.0 {
                report.number("ops_per_server_cpu_s", ops / servers.cpu_s);
                let _ = write!(line, ", {:.0} operations per CPU s", ops / servers.cpu_s);
            }
            if let Some(taken) = self.taken {
                let cores = servers.cpu_s / taken.as_secs_f64();
                report.number("server_cores", cores);
                let _ = write!(line, ", {cores:.2} cores");
            }
            let resident = count(servers.resident_bytes);
            report.number("server_resident_bytes", resident);
            let _ = write!(line, ", {} resident", size(resident));
            report.line(&line);
            let item = match plan.workload.shape {
                Shape::Fill => Some("znode"),
                Shape::Sessions => Some("session"),
                _ => None,
            };
            if let Some(item) = item {
                let each = servers.grown_bytes / ops;
                report.number("bytes_per_item", each);
                report.line(&format!("  memory    {} more per {item}", size(each)));
            }
        }
        if let Some(taken) = self.taken {
            let cores = self.used.own_cpu_s / taken.as_secs_f64();
            report.number("bench_cores", cores);
            report.line(&format!("  bench     {cores:.2} cores"));
        }
    }
}

/// What every report starts with.
fn heading(report: &mut Report, plan: &Plan, target: &Target) {
    let workload = &plan.workload;
    report.text("workload", workload.name);
    report.text("server", &target.servers.join(","));
    report.number("connections", count(workload.connections as u64));
    report.number("depth", count(workload.depth as u64));
    report.number("size_bytes", count(workload.size_bytes as u64));
    report.text("loop", if workload.rate.is_some() { "open" } else { "closed" });
    if let Some(rate) = workload.rate {
        report.number("rate_asked", rate);
    }
    if workload.shape == Shape::Fanout {
        report.number("rounds", count(workload.rounds));
    }
    if !plan.spin.is_zero() {
        report.number("spin_us", plan.spin.as_secs_f64() * 1e6);
    }
    report.line(&plan.describe());
}
