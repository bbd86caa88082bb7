//! The loads that run for a time or up to a count: read, write, mixed, create and fill.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::conn::Conn;
use super::ground::Ground;
use super::load::{Load, Schedule};
use super::random::Random;
use super::report::{Report, count, size};
use super::source::{Kind, Source};
use super::tally::Tally;
use super::template::{Template, framed};
use super::{Options, Workload, heading, server_use};
use crate::process::ProcessUse;
use crate::raw_client::{RawClient, create, get_data, set_data};

/// Znodes of a fill without `--count`.
const FILL_COUNT: u64 = 100_000;

/// Runs the load and reports it.
pub(super) fn run(options: &Options, ground: &Ground) -> Result<Report> {
    if matches!(options.workload, Workload::Read | Workload::Write | Workload::Mixed) {
        ground.populate(options.keys, options.size_bytes(), options.timeout_ms)?;
    }
    let threads = options.threads.min(options.connections);
    let mut shares: Vec<Vec<Conn>> = (0..threads).map(|_| Vec::new()).collect();
    for index in 0..options.connections {
        let server = &options.server[index % options.server.len()];
        shares[index % threads]
            .push(Conn::from_raw(RawClient::connect(server, options.timeout_ms)?)?);
    }
    let schedule = schedule(options, threads);
    let mut loads = Vec::with_capacity(threads);
    for (thread, conns) in shares.into_iter().enumerate() {
        let source = source(options, ground, thread as u64, threads as u64);
        loads.push(Load::new(conns, source, schedule)?);
    }
    let mut measured = measure(options, loads, schedule)?;
    Ok(tell(options, &mut measured))
}

/// When things happen; all threads keep to the same times.
fn schedule(options: &Options, threads: usize) -> Schedule {
    let start = Instant::now();
    let fill = options.workload == Workload::Fill;
    let warmup = Duration::from_secs_f64(if fill { 0.0 } else { options.warmup });
    let count_from = start + warmup;
    Schedule {
        start,
        count_from,
        until: (!fill).then(|| count_from + Duration::from_secs_f64(options.duration)),
        depth: options.depth,
        rate: options.rate.map(|rate| rate / count(threads as u64)),
    }
}

fn source(options: &Options, ground: &Ground, thread: u64, threads: u64) -> Source {
    let mut random = Random::new(thread + 2);
    let data = random.bytes(options.size_bytes());
    let template =
        |request: &dyn Fn(&str) -> Vec<u8>| Template::new(&ground.root, ground.parents, request);
    let read_ratio = match options.workload {
        Workload::Create | Workload::Fill => {
            let end = match options.workload {
                Workload::Fill => options.count.unwrap_or(FILL_COUNT),
                _ => u64::MAX,
            };
            let template = template(&|path| framed(&create(path, &data, 0)));
            return Source::Create { template, next: thread, step: threads, end };
        }
        Workload::Read => 1.0,
        Workload::Write => 0.0,
        _ => options.read_ratio,
    };
    Source::Mixed {
        read: template(&|path| framed(&get_data(path, false))),
        write: template(&|path| framed(&set_data(path, &data))),
        read_ratio,
        keys: options.keys,
        random,
    }
}

/// The joined tallies of all threads and the readings around the measured time.
struct Measured {
    tally: Tally,
    taken: Duration,
    /// Before and after.
    server: Option<(ProcessUse, ProcessUse)>,
    own: (ProcessUse, ProcessUse),
}

fn measure(options: &Options, loads: Vec<Load>, schedule: Schedule) -> Result<Measured> {
    let threads: Vec<_> = loads
        .into_iter()
        .map(|mut load| thread::spawn(move || load.run().map(|()| load)))
        .collect();
    thread::sleep(schedule.count_from.saturating_duration_since(Instant::now()));
    let server_before = server_use(options)?;
    let own_before = ProcessUse::own()?;
    let readings = || -> Result<_> { Ok((server_use(options)?, ProcessUse::own()?)) };
    // A timed load is read at its end; what still drains after it does not count.
    let timed = match schedule.until {
        Some(until) => {
            thread::sleep(until.saturating_duration_since(Instant::now()));
            Some(readings()?)
        }
        None => None,
    };
    let mut ended = Vec::with_capacity(threads.len());
    for thread in threads {
        ended.push(thread.join().map_err(|_| anyhow!("a thread of the load panicked"))??);
    }
    let (server_after, own_after) = match timed {
        Some(readings) => readings,
        None => readings()?,
    };
    let mut tally = Tally::new(schedule.start);
    for mut load in ended {
        load.close_sessions()?;
        tally.join(load.into_tally());
    }
    let end = schedule.until.unwrap_or(tally.finished);
    Ok(Measured {
        taken: end.saturating_duration_since(schedule.count_from),
        tally,
        server: server_before.zip(server_after),
        own: (own_before, own_after),
    })
}

fn tell(options: &Options, measured: &mut Measured) -> Report {
    let tally = &mut measured.tally;
    let all = tally.latencies_of(|_| true);
    let ops = all.len();
    let seconds = measured.taken.as_secs_f64();
    let mut report = Report::default();
    let name = format!("{:?}", options.workload).to_lowercase();
    heading(&mut report, options, &name);
    let amount = match options.workload {
        Workload::Create | Workload::Fill => format!("{} parents", options.parents()),
        _ => format!("{} keys", options.keys),
    };
    report.line(&format!(
        "{name}: {} connections x depth {}, {} B values, {amount}, {seconds:.1} s",
        options.connections,
        options.depth,
        options.size_bytes(),
    ));
    report.number("ops", count(ops));
    report.number("seconds", seconds);
    report.number("ops_per_s", count(ops) / seconds);
    report.number("errors", count(tally.errors));
    report.line(&format!(
        "  rate      {:.0} operations per second, {} errors",
        count(ops) / seconds,
        tally.errors
    ));
    if let Some(error) = &tally.first_error {
        report.text("first_error", error);
        report.line(&format!("  error     {error}"));
    }
    report.latencies("latency", "", &all);
    let reads = tally.latencies_of(Kind::is_read);
    let writes = tally.latencies_of(|kind| !kind.is_read());
    if !reads.is_empty() && !writes.is_empty() {
        report.latencies("reads", "read_", &reads);
        report.latencies("writes", "write_", &writes);
    }
    tell_use(options, measured, count(ops), &mut report);
    report
}

fn tell_use(options: &Options, measured: &Measured, ops: f64, report: &mut Report) {
    let seconds = measured.taken.as_secs_f64();
    if let Some((before, after)) = measured.server {
        let cpu_s = after.cpu_s - before.cpu_s;
        let resident = count(after.resident_bytes);
        report.number("server_cpu_us_per_op", cpu_s * 1e6 / ops.max(1.0));
        report.number("server_cores", cpu_s / seconds);
        report.number("server_resident_bytes", resident);
        let mut line = format!(
            "  server    {:.2} CPU µs per operation, {:.2} cores, {} resident",
            cpu_s * 1e6 / ops.max(1.0),
            cpu_s / seconds,
            size(resident)
        );
        if options.workload == Workload::Fill {
            let each = (resident - count(before.resident_bytes)) / ops.max(1.0);
            report.number("bytes_per_item", each);
            let _ = write!(line, ", {} more per znode", size(each));
        }
        report.line(&line);
    }
    let (before, after) = measured.own;
    let cores = (after.cpu_s - before.cpu_s) / seconds;
    report.number("bench_cores", cores);
    report.line(&format!("  bench     {cores:.2} cores"));
}
