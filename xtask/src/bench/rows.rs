//! The rows of the table: a load, the figures that are compared, and what they have to be.

use anyhow::Result;

use super::figures::{Figure, Unit, Wanted};
use super::servers::{Kind, Sample, Servers, Setup};
use super::{Options, million};

/// A row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What is wanted; a line of the table each.
    pub(super) figures: &'static [Figure],
    /// Told beside the first of them.
    pub(super) notes: &'static [Figure],
    work: Work,
}

#[derive(Debug)]
enum Work {
    /// A load that runs for a time, on so many servers: workload, bytes, connections, requests
    /// under way on each, and options of its own.
    Load(usize, &'static [&'static str]),
    /// Time until the last of many watchers is told.
    Fanout,
    /// Sessions per second, and what each costs.
    Sessions,
    /// On the data of the large rows.
    Million(million::Question),
}

/// All rows, in the order of the table.
pub(super) const ALL: &[Row] = &[
    Row {
        name: "read-pipelined",
        title: "reads of 1 KiB, 20 connections × 10 under way",
        figures: &[per_cpu(8.0)],
        notes: &[RATE, P99],
        work: Work::Load(1, &["read", "1024", "20", "10"]),
    },
    Row {
        name: "read-many",
        title: "reads of 100 B, 200 connections × 1 under way",
        figures: &[per_cpu(4.0)],
        notes: &[RATE, P99],
        work: Work::Load(1, &["read", "100", "200", "1"]),
    },
    Row {
        name: "read-single",
        title: "reads of 100 B, one at a time, of a client that is awake",
        figures: &[micros("p50_us", "p50", 5.0)],
        notes: &[RATE, P99, CORES_APART],
        // To wake a client over loopback takes as long as the read, of whichever server.
        work: Work::Load(1, &["read", "100", "1", "1", "--spin", "50"]),
    },
    Row {
        name: "write-pipelined",
        title: "writes of 1 KiB, 20 connections × 10 under way",
        figures: &[per_cpu(5.0)],
        notes: &[RATE, P99],
        work: Work::Load(1, &["write", "1024", "20", "10"]),
    },
    Row {
        name: "write-single",
        title: "writes of 100 B, one at a time",
        figures: &[micros("p50_us", "p50", 1.8)],
        notes: &[RATE, P99, CORES_APART],
        work: Work::Load(1, &["write", "100", "1", "1"]),
    },
    Row {
        name: "create",
        title: "creates of 100 B, 20 connections × 10 under way",
        figures: &[per_cpu(6.0), micros("p99_us", "p99", 8.0)],
        notes: &[RATE],
        work: Work::Load(1, &["create", "100", "20", "10"]),
    },
    Row {
        name: "ensemble-write",
        title: "three servers: writes of 1 KiB, 30 connections × 10 under way",
        figures: &[per_cpu(10.0), micros("p99_us", "p99", 5.0)],
        notes: &[RATE],
        work: Work::Load(3, &["write", "1024", "30", "10"]),
    },
    Row {
        name: "ensemble-write-single",
        title: "three servers: writes of 100 B, one at a time through a follower",
        figures: &[micros("p50_us", "p50", 3.0)],
        notes: &[RATE, P99],
        work: Work::Load(3, &["write", "100", "1", "1"]),
    },
    Row {
        name: "ensemble-read",
        title: "three servers: reads of 1 KiB, 30 connections × 10 under way",
        figures: &[per_cpu(8.0)],
        notes: &[RATE, P99],
        work: Work::Load(3, &["read", "1024", "30", "10"]),
    },
    Row {
        name: "sessions",
        title: "6,000 sessions opened, 20 at a time",
        figures: &[
            figure("ops_per_s", "sessions per second", Unit::Rate, Wanted::Better(5.0)),
            figure("bytes_each", "memory of each", Unit::Bytes, Wanted::AtMost(2_048.0)),
        ],
        notes: &[P99],
        work: Work::Sessions,
    },
    Row {
        name: "fanout",
        title: "one change told to 1,000 watching sessions",
        figures: &[micros("last_p50_us", "p50 of the last to know", 8.0)],
        notes: &[figure("last_p99_us", "p99", Unit::Micros, Wanted::Nothing), CORES_APART],
        work: Work::Fanout,
    },
    Row {
        name: "fill",
        title: "1,000,000 znodes of 100 B created",
        figures: &[figure(
            "bytes_per_item",
            "memory of each znode",
            Unit::Bytes,
            Wanted::AtMost(230.0),
        )],
        notes: &[
            RATE,
            figure("collected_each", "after a full collection", Unit::Bytes, Wanted::Nothing),
        ],
        work: Work::Million(million::Question::Fill),
    },
    Row {
        name: "restart",
        title: "restart on 1,000,000 znodes",
        figures: &[figure(
            "restart_s",
            "until the first read is served",
            Unit::Seconds,
            Wanted::Better(15.0),
        )],
        notes: &[],
        work: Work::Million(million::Question::Restart),
    },
    Row {
        name: "snapshot",
        title: "5,000 writes/s of 1 KiB beside snapshots of 1,000,000 znodes",
        figures: &[SLOWDOWN],
        notes: &[BESIDE, WITHOUT],
        work: Work::Million(million::Question::PacedWrites),
    },
    Row {
        name: "snapshot-full",
        title: "20 × 10 writes of 1 KiB under way beside snapshots of 1,000,000 znodes",
        figures: &[SLOWDOWN],
        notes: &[BESIDE, WITHOUT],
        work: Work::Million(million::Question::PipelinedWrites),
    },
];

/// What the machine takes for a line of memory from core to core and back, whoever serves.
pub(super) const CORES_APART: Figure =
    figure("cores_apart_us", "core to core", Unit::Micros, Wanted::Nothing);
const RATE: Figure = figure("ops_per_s", "/s", Unit::Rate, Wanted::Nothing);
const P99: Figure = figure("p99_us", "p99", Unit::Micros, Wanted::Nothing);
const BESIDE: Figure = figure("beside_us", "p99.9", Unit::Micros, Wanted::Nothing);
const WITHOUT: Figure = figure("without_us", "without", Unit::Micros, Wanted::Nothing);
const SLOWDOWN: Figure =
    figure("slowdown", "p99.9 against without", Unit::Times, Wanted::AtMost(1.5));

const fn figure(key: &'static str, label: &'static str, unit: Unit, wanted: Wanted) -> Figure {
    Figure { key, label, unit, wanted }
}

const fn per_cpu(times: f64) -> Figure {
    let label = "per second of the servers' CPU";
    figure("ops_per_cpu_s", label, Unit::Rate, Wanted::Better(times))
}

const fn micros(key: &'static str, label: &'static str, times: f64) -> Figure {
    figure(key, label, Unit::Micros, Wanted::Better(times))
}

impl Row {
    /// Whether running it again is quick and changes nothing for the rows after it.
    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self.work, Work::Million(question) if question != million::Question::PacedWrites)
    }

    /// The title with the number of znodes that were asked for.
    pub(super) fn title(&self, options: &Options) -> String {
        use super::figures::thousands;
        self.title
            .replace("1,000,000", &thousands(options.count as f64))
            .replace("1,000 watching", &format!("{} watching", thousands(options.watchers as f64)))
            .replace("6,000 sessions", &format!("{} sessions", thousands(options.sessions as f64)))
    }

    /// Runs the row once on servers of one kind.
    pub(super) fn measure(&self, kind: Kind, options: &Options) -> Result<Sample> {
        let size = match &self.work {
            Work::Million(question) => return million::measure(*question, kind, options),
            Work::Load(size, _) => *size,
            Work::Fanout | Work::Sessions => 1,
        };
        let setup = Setup::small(kind, self.name, size);
        let measured =
            self.measure_on(&setup, options).map_err(|error| setup.explain(&options.place, &error));
        setup.remove(&options.place);
        measured
    }

    fn measure_on(&self, setup: &Setup, options: &Options) -> Result<Sample> {
        let servers = Servers::start(setup, &options.place)?;
        let sample = match &self.work {
            Work::Load(_, load) => {
                let [workload, size, connections, depth, options_of_its_own @ ..] = *load else {
                    unreachable!("a load has four words");
                };
                let load = ["--workload", workload, "--size", size, "--keep"];
                let counts = ["--connections", connections, "--depth", depth];
                let load = [&load[..], &counts, options_of_its_own].concat();
                servers.bench(&timed(&load, options).as_slices())
            }
            Work::Fanout => fanout(&servers, options),
            Work::Sessions => sessions(&servers, options),
            Work::Million(_) => unreachable!("answered before"),
        }?;
        servers.stop()?;
        Ok(sample)
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

fn fanout(servers: &Servers<'_>, options: &Options) -> Result<Sample> {
    let watchers = options.watchers.to_string();
    let warmup = options.warmup.to_string();
    let load = ["--workload", "fanout", "--connections", &watchers, "--rounds", "200", "--keep"];
    servers.bench(&[&load[..], &["--warmup", &warmup]].concat())
}

fn sessions(servers: &Servers<'_>, options: &Options) -> Result<Sample> {
    let count = options.sessions.to_string();
    let load = ["--workload", "sessions", "--count", &count, "--connections", "20"];
    // Memory grows only the first time; the rate is right when Java's compiler has been here.
    let bytes_each = servers.bench(&load)?.number("bytes_per_item")?;
    let mut sample = servers.bench(&load)?;
    sample.set("bytes_each", bytes_each);
    Ok(sample)
}
