//! The loads that run for a time or up to a count, from the first connection to the outcome.

use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};

use super::conn::Conn;
use super::ground::Ground;
use super::interruption;
use super::load::{Load, Schedule};
use super::options::{Plan, Target};
use super::outcome::{Latencies, Outcome, Reading, Used};
use super::report::count;
use super::sessions;
use super::source::{Kind, Source};
use super::tally::Tally;
use super::workloads::Shape;

/// Sessions that are opened at a time.
const OPENING: usize = 20;

/// Runs the load.
pub(super) fn run(plan: &Plan, target: &Target, ground: &Ground) -> Result<Outcome> {
    let workload = &plan.workload;
    if matches!(workload.shape, Shape::Mixed { .. } | Shape::Mix) {
        ground
            .populate(workload.keys, workload.size_bytes, plan.timeout_ms)
            .context("cannot make the znodes to read and write")?;
    }
    let opened = sessions::open(&target.servers, workload.connections, OPENING, plan.timeout_ms)
        .context("cannot open the sessions")?;
    let threads = plan.threads.min(workload.connections);
    let mut shares: Vec<Vec<Conn>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, conn) in opened.swarm.into_conns()?.into_iter().enumerate() {
        shares[index % threads].push(conn);
    }
    let schedule = schedule(plan, threads);
    let mut loads = Vec::with_capacity(threads);
    for (thread, conns) in shares.into_iter().enumerate() {
        let source = Source::new(plan, &ground.root, thread as u64, threads as u64);
        loads.push(Load::new(conns, source, schedule)?);
    }
    measure(plan, target, loads, schedule)
}

/// When things happen; all threads keep to the same times.
fn schedule(plan: &Plan, threads: usize) -> Schedule {
    let start = Instant::now();
    let fill = plan.workload.shape == Shape::Fill;
    let count_from = if fill { start } else { start + plan.warmup };
    Schedule {
        start,
        count_from,
        until: (!fill).then(|| count_from + plan.duration),
        depth: plan.workload.depth,
        rate: plan.workload.rate.map(|rate| rate / count(threads as u64)),
        spin: plan.spin,
    }
}

fn measure(plan: &Plan, target: &Target, loads: Vec<Load>, schedule: Schedule) -> Result<Outcome> {
    let threads: Vec<_> = loads
        .into_iter()
        .map(|mut load| thread::spawn(move || load.run().map(|()| load)))
        .collect();
    interruption::sleep_until(schedule.count_from);
    let before = Reading::take(&target.pids)?;
    // A timed load is looked at when its time ends; what still drains after it does not count.
    let mut used = None;
    if let Some(until) = schedule.until {
        interruption::sleep_until(until);
        used = Some(before.until_now(&target.pids)?);
    }
    let mut ended = Vec::with_capacity(threads.len());
    for thread in threads {
        ended.push(thread.join().map_err(|_| anyhow!("a thread of the load panicked"))??);
    }
    let used = match used {
        Some(used) => used,
        None => before.until_now(&target.pids)?,
    };
    let mut tally = Tally::new(schedule.start);
    for mut load in ended {
        load.close_sessions()?;
        tally.join(load.into_tally());
    }
    interruption::check()?;
    Ok(conclude(plan, schedule, tally, used))
}

fn conclude(plan: &Plan, schedule: Schedule, mut tally: Tally, used: Used) -> Outcome {
    let all = tally.latencies_of(|_| true);
    let ops = all.len();
    let mut latencies = vec![Latencies { title: "latency", prefix: "", of: all }];
    // Always the same ones for a workload, so that outcomes can be joined.
    let shape = plan.workload.shape;
    if shape.reads_and_writes() {
        let of = tally.latencies_of(Kind::is_read);
        latencies.push(Latencies { title: "reads", prefix: "read_", of });
        let of = tally.latencies_of(|kind| !kind.is_read());
        latencies.push(Latencies { title: "writes", prefix: "write_", of });
    }
    if shape == Shape::Mix {
        for kind in Kind::ALL {
            let of = tally.latencies_of(|other| other == kind);
            latencies.push(Latencies { title: kind.name(), prefix: kind.prefix(), of });
        }
    }
    if let Some(correct_us) = plan.correct_us {
        for latencies in &mut latencies {
            latencies.of = latencies.of.clone_correct(correct_us.saturating_mul(1000));
        }
    }
    let end = schedule.until.unwrap_or(tally.finished);
    Outcome {
        ops,
        taken: Some(end.saturating_duration_since(schedule.count_from)),
        errors: tally.errors,
        first_error: tally.first_error,
        not_issued: tally.not_issued,
        latencies,
        used,
    }
}
