//! The rows about large data: filled once per server, then kept for all of them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::Options;
use super::quiet_disk;
use super::rows::timed;
use super::servers::{Kind, Sample, Servers, Setup, snapshot_count};

/// What is asked of a server with large data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Question {
    Fill,
    PacedWrites,
    PipelinedWrites,
    Restart,
}

/// A snapCount that is never reached.
pub(super) const NEVER: &str = "snapCount=2000000000";

/// The p99.9 of paced writes needs this long to be one of many.
const PACED_SECONDS_MIN: f64 = 10.0;

/// Answers a question, filling the data in first if no other row has.
pub(super) fn measure(question: Question, kind: Kind, options: &Options) -> Result<Sample> {
    answer(question, kind, options)
        .map_err(|error| setup(kind, &[]).explain(&options.place, &error))
}

fn answer(question: Question, kind: Kind, options: &Options) -> Result<Sample> {
    if question == Question::Fill {
        setup(kind, &[]).remove(&options.place);
        return fill(kind, options);
    }
    if !filled_mark(kind, options).exists() {
        setup(kind, &[]).remove(&options.place);
        eprintln!("  {:<7} is filled first", kind.name());
        fill(kind, options)?;
    }
    match question {
        Question::Fill => unreachable!("answered before"),
        Question::Restart => restart(kind, options),
        Question::PacedWrites => {
            let seconds = options.seconds.max(PACED_SECONDS_MIN).min(3.0 * options.seconds);
            let options = Options { seconds, ..options.clone() };
            // A snapshot every one or two seconds: one follows the other.
            writes(kind, &options, &["--rate", "5000"], "snapCount=10000")
        }
        Question::PipelinedWrites => {
            let often = if options.is_quick { "snapCount=2000" } else { "snapCount=50000" };
            writes(kind, options, &[], often)
        }
    }
}

/// Removes the data of both servers.
pub(super) fn forget(options: &Options) {
    for kind in Kind::ALL {
        setup(kind, &[]).remove(&options.place);
    }
}

fn setup(kind: Kind, lines: &[&str]) -> Setup {
    Setup {
        kind,
        name: format!("{}-million", kind.name()),
        size: 1,
        heap: "-Xmx6g",
        lines: lines.iter().copied().map(str::to_owned).collect(),
    }
}

/// Fills a fresh server, tells what memory that took, and stops it.
fn fill(kind: Kind, options: &Options) -> Result<Sample> {
    let servers = Servers::start(&setup(kind, &[]), &options.place)?;
    let before = servers.resident_bytes()?;
    let count = options.count.to_string();
    let load = ["--workload", "fill", "--size", "100", "--keep", "--count", &count];
    let mut sample = servers.bench(&load)?;
    if kind == Kind::Apache && collect_garbage(&servers) {
        let grown = servers.resident_bytes()? - before;
        sample.set("collected_each", grown / options.count as f64);
    }
    servers.stop()?;
    std::fs::write(filled_mark(kind, options), count)?;
    Ok(sample)
}

/// A file beside the data that says that they are whole.
fn filled_mark(kind: Kind, options: &Options) -> PathBuf {
    setup(kind, &[]).data_dir(&options.place).with_file_name("filled")
}

/// Asks Java for a full collection, so that garbage is not taken for data.
fn collect_garbage(servers: &Servers<'_>) -> bool {
    Command::new("jcmd")
        .args([&servers.pid().to_string(), "GC.run"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn restart(kind: Kind, options: &Options) -> Result<Sample> {
    // The better of two, since the first may find the files out of the page cache.
    let mut best = f64::INFINITY;
    for _ in 0..2 {
        let servers = Servers::start(&setup(kind, &[]), &options.place)?;
        best = best.min(servers.start_taken.as_secs_f64());
        servers.stop()?;
    }
    let mut sample = Sample::default();
    sample.set("restart_s", best);
    Ok(sample)
}

/// Measures the p99.9 of writes beside snapshots, and what it is without any.
fn writes(kind: Kind, options: &Options, more: &[&str], snap_count: &str) -> Result<Sample> {
    let load = ["--workload", "write", "--size", "1024", "--connections", "20", "--depth", "10"];
    let load = [&load[..], more].concat();
    let mut p99_9 = Vec::new();
    let mut sample = Sample::default();
    let mut snapshots = 0;
    for line in [NEVER, snap_count] {
        let setup = setup(kind, &[line]);
        let data_dir = setup.data_dir(&options.place);
        let servers = Servers::start(&setup, &options.place)?;
        quiet_disk::wait(&options.place.dir)?;
        let before = snapshot_count(&data_dir)?;
        sample = servers.bench(&timed(&load, options).as_slices())?;
        p99_9.push(sample.number("p99_9_us")?);
        snapshots = snapshot_count(&data_dir)?.saturating_sub(before);
        servers.stop()?;
    }
    ensure!(snapshots > 0, "no snapshot was taken beside the load");
    sample.set("snapshots", snapshots as f64);
    sample.set("without_us", p99_9[0]);
    sample.set("beside_us", p99_9[1]);
    sample.set("slowdown", p99_9[1] / p99_9[0]);
    Ok(sample)
}
