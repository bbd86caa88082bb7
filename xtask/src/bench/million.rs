//! The rows about large data: filled once per server, then kept for all of them.

use std::process::{Command, Stdio};

use anyhow::Result;

use super::rows::{pipelined, timed};
use super::servers::{Kind, Server, Setup, snapshot_count};
use super::{Cell, Options, milliseconds, thousands};

/// What is asked of a server with large data.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    Memory,
    Restart,
    PacedWrites,
    PipelinedWrites,
}

const MIB: f64 = 1024.0 * 1024.0;

/// A snapCount that is never reached.
const NEVER: &str = "snapCount=2000000000";

/// Answers a question, filling the data in first if no other row has.
pub(super) fn measure(question: Question, kind: Kind, options: &Options) -> Result<Cell> {
    match question {
        Question::Memory => memory(kind, options),
        Question::Restart => restart(kind, options),
        Question::PacedWrites => writes(
            kind,
            options,
            &pipelined(&["--workload", "write", "--size", "1024", "--rate", "5000"]),
            // A snapshot every one or two seconds: one follows the other.
            "snapCount=10000",
        ),
        Question::PipelinedWrites => writes(
            kind,
            options,
            &pipelined(&["--workload", "write", "--size", "1024"]),
            "snapCount=100000",
        ),
    }
}

/// Removes the data of both servers.
pub(super) fn forget(options: &Options) {
    for kind in [Kind::Apache, Kind::Ostler] {
        setup(kind, &[]).remove(&options.place);
    }
}

fn setup(kind: Kind, lines: &[&str]) -> Setup {
    Setup {
        kind,
        name: format!("{}-million", kind.name()),
        heap: "-Xmx6g",
        lines: lines.iter().copied().map(str::to_owned).collect(),
    }
}

fn memory(kind: Kind, options: &Options) -> Result<Cell> {
    setup(kind, &[]).remove(&options.place);
    fill(kind, options)
}

/// Fills a fresh server, tells what memory that took, and stops it.
fn fill(kind: Kind, options: &Options) -> Result<Cell> {
    let server = Server::start(&setup(kind, &[]), &options.place)?;
    let count = options.count.to_string();
    let figures =
        server.bench(&["--workload", "fill", "--size", "100", "--keep", "--count", &count])?;
    let filled = server.resident_bytes()?;
    let mut text = format!("{:.0} MiB", filled / MIB);
    let mut value = filled;
    if kind == Kind::Apache && collect_garbage(&server) {
        let collected = server.resident_bytes()?;
        text.push_str(&format!(" ({:.0} MiB after a full collection)", collected / MIB));
        value = value.min(collected);
    }
    text.push_str(&format!(", filled at {}/s", thousands(figures.number("ops_per_s")?)));
    server.stop()?;
    Ok(Cell { value, text })
}

/// Asks Java for a full collection, so that garbage is not counted as data.
fn collect_garbage(server: &Server<'_>) -> bool {
    Command::new("jcmd")
        .args([&server.pid().to_string(), "GC.run"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_filled(kind: Kind, options: &Options) -> bool {
    setup(kind, &[]).data_dir(&options.place).join("version-2").is_dir()
}

fn restart(kind: Kind, options: &Options) -> Result<Cell> {
    if !is_filled(kind, options) {
        fill(kind, options)?;
    }
    // The better of two, since the first may find the files out of the page cache.
    let mut best = f64::INFINITY;
    for _ in 0..2 {
        let server = Server::start(&setup(kind, &[]), &options.place)?;
        best = best.min(server.start_taken.as_secs_f64());
        server.stop()?;
    }
    Ok(Cell { value: best, text: format!("{best:.2} s") })
}

/// Measures the p99 of a load beside snapshots, and what it is without any.
fn writes(kind: Kind, options: &Options, load: &[&str], snap_count: &str) -> Result<Cell> {
    if !is_filled(kind, options) {
        fill(kind, options)?;
    }
    let mut p99 = Vec::new();
    let mut snapshots = 0;
    for line in [NEVER, snap_count] {
        let setup = setup(kind, &[line]);
        let data_dir = setup.data_dir(&options.place);
        let server = Server::start(&setup, &options.place)?;
        let before = snapshot_count(&data_dir)?;
        let figures = server.bench(&timed(load, options).as_slices())?;
        p99.push(figures.number("p99_us")?);
        snapshots = snapshot_count(&data_dir)? - before;
        server.stop()?;
    }
    let (without, beside) = (p99[0], p99[1]);
    let text = format!(
        "{}, {:.2} times the {} without ({snapshots} snapshots)",
        milliseconds(beside),
        beside / without,
        milliseconds(without)
    );
    Ok(Cell { value: beside, text })
}
