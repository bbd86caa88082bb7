//! The rows of the table.

use anyhow::Result;

use super::servers::{Figures, Kind, Server, Setup};
use super::{Cell, Options, million, milliseconds, thousands};

/// A row: a load and the figure that is compared.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) higher_is_better: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Operations per second of a load that runs for a time.
    Rate(&'static [&'static str]),
    /// Time until the last of many watchers is told.
    Fanout,
    /// Sessions per second.
    Sessions,
    /// On the data of the large rows.
    Million(million::Question),
}

const PIPELINED: &[&str] = &["--connections", "20", "--depth", "10"];

/// All rows, in the order of the table.
pub(super) const ALL: &[Row] = &[
    rate(
        "read-pipelined",
        "reads of 1 KiB, 20 connections × 10 under way",
        &["--workload", "read", "--size", "1024", "--connections", "20", "--depth", "10"],
    ),
    rate(
        "write-pipelined",
        "writes of 1 KiB, 20 connections × 10 under way",
        &["--workload", "write", "--size", "1024", "--connections", "20", "--depth", "10"],
    ),
    rate(
        "read-single",
        "reads of 100 B, one at a time",
        &["--workload", "read", "--size", "100", "--connections", "1", "--depth", "1"],
    ),
    rate(
        "write-single",
        "writes of 100 B, one at a time",
        &["--workload", "write", "--size", "100", "--connections", "1", "--depth", "1"],
    ),
    rate(
        "create",
        "creates of 100 B, 20 connections × 10 under way",
        &["--workload", "create", "--size", "100", "--connections", "20", "--depth", "10"],
    ),
    Row {
        name: "fanout",
        title: "one change told to 1,000 watching sessions, until the last knows",
        higher_is_better: false,
        what: What::Fanout,
    },
    Row {
        name: "sessions",
        title: "opening 6,000 sessions, 20 at a time",
        higher_is_better: true,
        what: What::Sessions,
    },
    Row {
        name: "memory",
        title: "resident memory with 1,000,000 znodes of 100 B",
        higher_is_better: false,
        what: What::Million(million::Question::Memory),
    },
    Row {
        name: "restart",
        title: "restart on those data until the first read is served",
        higher_is_better: false,
        what: What::Million(million::Question::Restart),
    },
    Row {
        name: "snapshot",
        title: "p99 of 5,000 writes per second while those data are written to snapshots",
        higher_is_better: false,
        what: What::Million(million::Question::PacedWrites),
    },
    Row {
        name: "snapshot-full",
        title: "the same with 20 connections × 10 writes of 1 KiB under way",
        higher_is_better: false,
        what: What::Million(million::Question::PipelinedWrites),
    },
];

const fn rate(name: &'static str, title: &'static str, load: &'static [&'static str]) -> Row {
    Row { name, title, higher_is_better: true, what: What::Rate(load) }
}

impl Row {
    /// Whether running it again changes nothing for the rows after it.
    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self.what, What::Million(_))
    }

    /// Runs the row on one server.
    pub(super) fn measure(&self, kind: Kind, options: &Options) -> Result<Cell> {
        if let What::Million(question) = &self.what {
            return million::measure(*question, kind, options);
        }
        let setup = Setup::small(kind, self.name);
        let server = Server::start(&setup, &options.place)?;
        let cell = match &self.what {
            What::Rate(load) => rate_cell(&server.bench(&timed(load, options).as_slices())?),
            What::Fanout => fanout(&server),
            What::Sessions => sessions(&server),
            What::Million(_) => unreachable!("answered above"),
        }?;
        server.stop()?;
        setup.remove(&options.place);
        Ok(cell)
    }
}

/// A load with the times that the command line asks for.
pub(super) struct Timed(Vec<String>);

impl Timed {
    pub(super) fn as_slices(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

pub(super) fn timed(load: &[&str], options: &Options) -> Timed {
    let mut arguments: Vec<String> = load.iter().copied().map(str::to_owned).collect();
    arguments.extend(["--duration".to_owned(), options.seconds.to_string()]);
    arguments.extend(["--warmup".to_owned(), options.warmup.to_string()]);
    Timed(arguments)
}

/// The pipelined load of the large rows.
pub(super) fn pipelined(load: &[&'static str]) -> Vec<&'static str> {
    [load, PIPELINED].concat()
}

fn rate_cell(figures: &Figures) -> Result<Cell> {
    let value = figures.number("ops_per_s")?;
    let text = format!(
        "{}/s, p99 {}, {:.1} µs CPU each",
        thousands(value),
        milliseconds(figures.number("p99_us")?),
        figures.number("server_cpu_us_per_op")?
    );
    Ok(Cell { value, text })
}

fn fanout(server: &Server<'_>) -> Result<Cell> {
    let load = ["--workload", "fanout", "--connections", "1000", "--rounds", "50"];
    // Once for Java's compiler.
    server.bench(&load)?;
    let figures = server.bench(&load)?;
    let value = figures.number("last_p50_us")?;
    let p99 = milliseconds(figures.number("last_p99_us")?);
    Ok(Cell { value, text: format!("{}, p99 {p99}", milliseconds(value)) })
}

fn sessions(server: &Server<'_>) -> Result<Cell> {
    let load = ["--workload", "sessions", "--count", "6000", "--connections", "20"];
    // Memory grows only the first time; the rate is right when Java's compiler has been here.
    let memory = server.bench(&load)?.number("bytes_per_item")?;
    let figures = server.bench(&load)?;
    let value = figures.number("ops_per_s")?;
    let text = format!(
        "{}/s, p99 {}, {} B each",
        thousands(value),
        milliseconds(figures.number("p99_us")?),
        thousands(memory.max(0.0))
    );
    Ok(Cell { value, text })
}
