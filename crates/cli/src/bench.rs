//! `ostler bench`: load for any server that speaks ZooKeeper's client protocol, and what it showed.
//!
//! A load is a workload by name (`workloads`) with the command line's changes to it (`options`),
//! which together are a plan. It is run on a target, one server or an ensemble, and comes to an
//! outcome; `--compare` has two targets in turn. Most loads work below a root of their own,
//! `/ostler-bench-<n>`, and remove it at the end, and all close their sessions.
//!
//! In a closed loop (`load`) each reply makes room for the next request: latencies run from
//! handing a request to the socket until its reply was read, and a server that stalls is asked
//! less. In an open loop, with a rate, they run from when the request was due. Percentiles are of
//! all requests in the measured time. The use that servers make of the machine is read where the
//! measured time starts and where it ends. A load that is told to end (`interruption`) cleans up
//! like one that has come to its end.
//!
//! One thread makes more requests than servers answer: it reads and writes once for all that a
//! connection has ready. Against `--stub`, which does as little as a server can, it shows what the
//! machine allows.

mod compare;
mod conn;
mod fanout;
mod ground;
mod interruption;
mod load;
mod options;
mod outcome;
mod pacer;
mod random;
mod report;
mod sessions;
mod source;
mod steady;
mod stub;
mod swarm;
mod tally;
mod template;
mod waiting;
mod workloads;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::raise_open_files_limit;
use crate::raw_client::{RawClient, SessionRequest, get_data};
use ground::Ground;
pub use options::Options;
use options::{Plan, Target};
use outcome::{Latencies, Outcome, Reading};
use report::{Report, duration};
use workloads::Shape;

/// Runs the bench and prints its report.
///
/// # Errors
/// When the server cannot be reached or breaks off, or an option is out of its range. Requests
/// that the server refuses are counted in the report instead.
pub fn run(options: &Options) -> Result<()> {
    if options.list {
        return print(&workloads::list());
    }
    let plan = options.plan()?;
    if let Err(error) = raise_open_files_limit() {
        eprintln!("the limit of open files stays as it is: {error}");
    }
    if let Some(port) = options.stub {
        let served = stub::serve(port, plan.workload.size_bytes);
        return served.with_context(|| format!("the stub cannot serve on port {port}"));
    }
    interruption::listen().context("signals cannot be waited for")?;
    let told = tell(options, &plan);
    if interruption::is_asked_for() {
        eprintln!("ostler: interrupted");
        std::process::exit(interruption::EXIT_CODE);
    }
    print(&told?)
}

/// Runs what was asked for and tells what it found.
fn tell(options: &Options, plan: &Plan) -> Result<String> {
    let target = options.target();
    if let Some(compared) = options.compared() {
        ensure!(plan.workload.shape != Shape::Ready, "readiness cannot be compared");
        let note = |told: &str| {
            if !options.json {
                eprintln!("{told}");
            }
        };
        let rounds = options.compare_rounds;
        return compare::run(plan, [target, compared], rounds, options.json, load, note);
    }
    let report = match plan.workload.shape {
        Shape::Ready => ready(plan, &target)?,
        _ => load(plan, &target)?.tell(plan, &target),
    };
    Ok(if options.json { report.to_json() } else { report.into_lines() })
}

fn print(text: &str) -> Result<()> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Runs a load to its outcome.
fn load(plan: &Plan, target: &Target) -> Result<Outcome> {
    match plan.workload.shape {
        Shape::Sessions => sessions(plan, target),
        Shape::Fanout => on_ground(plan, target, fanout::run),
        _ => on_ground(plan, target, steady::run),
    }
}

/// Runs `load` on a part of the tree of its own, which is removed whether or not that went well.
fn on_ground(
    plan: &Plan,
    target: &Target,
    load: impl FnOnce(&Plan, &Target, &Ground) -> Result<Outcome>,
) -> Result<Outcome> {
    let server = &target.servers[0];
    let spare = u32::from(plan.workload.shape == Shape::Mix);
    let ground = Ground::create(server, plan.workload.parents, spare, plan.timeout_ms)
        .with_context(|| format!("cannot create znodes on {server}"))?;
    let outcome = load(plan, target, &ground);
    if !plan.keep
        && let Err(error) = ground.remove(plan.timeout_ms)
    {
        eprintln!("{} could not be removed: {error}", ground.root);
    }
    outcome
}

fn sessions(plan: &Plan, target: &Target) -> Result<Outcome> {
    let count = plan.workload.count;
    let before = Reading::take(&target.pids)?;
    let (sessions, window) = (usize::try_from(count)?, plan.workload.connections);
    let open = sessions::open(&target.servers, sessions, window, plan.timeout_ms)
        .context("cannot open the sessions")?;
    let used = before.until_now(&target.pids)?;
    open.swarm.close_sessions()?;
    Ok(Outcome {
        ops: count,
        taken: Some(open.taken),
        latencies: vec![Latencies { title: "handshake", prefix: "", of: open.handshakes }],
        used,
        ..Outcome::default()
    })
}

fn ready(plan: &Plan, target: &Target) -> Result<Report> {
    let start = Instant::now();
    let deadline = start + plan.duration;
    loop {
        interruption::check()?;
        match first_read(plan, target) {
            Ok(client) => {
                let taken = start.elapsed();
                client.close_session()?;
                let mut report = Report::default();
                report.line(&format!("ready after {}", duration(taken.as_secs_f64() * 1e6)));
                report.number("seconds", taken.as_secs_f64());
                return Ok(report);
            }
            Err(error) if Instant::now() > deadline => {
                bail!("{} does not serve: {error}", target.servers[0])
            }
            // Nobody tells when a port opens: asking again soon is all that can be done.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn first_read(plan: &Plan, target: &Target) -> io::Result<RawClient> {
    let mut client = RawClient::dial(&target.servers[0])?;
    // A server that is starting can take a connection and forget it: ask again on another one.
    client.set_io_timeout(Duration::from_millis(250))?;
    client.handshake(&SessionRequest::new(plan.timeout_ms))?;
    client.call(&get_data("/", false))?.ok()?;
    Ok(client)
}
