//! The series: what grows, how it is made to grow, and what is asked at each point.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::super::figures::Unit;
use super::super::million::NEVER;
use super::super::options::Options;
use super::super::servers::{Kind, Sample, Servers, Setup};
use super::{Panel, Points, Series};

/// All series, in the order of the document.
pub(in super::super) const ALL: &[Series] = &[
    Series {
        name: "tree",
        title: "The tree grows",
        x_label: "znodes",
        panels: &[cpu(READ_WRITE_CHURN_CPU), p50(READ_WRITE_CHURN_P50)],
        run: tree,
    },
    Series {
        name: "children",
        title: "The children of one znode grow",
        x_label: "children",
        panels: &[cpu(READ_WRITE_CHURN_CPU), p50(READ_WRITE_CHURN_P50)],
        run: children,
    },
    Series {
        name: "connections",
        title: "Connections grow, 10,000 operations per second over all of them",
        x_label: "connections",
        panels: &[
            cpu(&[("read_cpu_us", "reads"), ("write_cpu_us", "writes")]),
            p50(&[("read_p50_us", "reads"), ("write_p50_us", "writes")]),
        ],
        run: connections,
    },
    Series {
        name: "watches",
        title: "Watches grow",
        x_label: "watches",
        panels: &[cpu(READ_WRITE_CHURN_CPU), p50(READ_WRITE_CHURN_P50)],
        run: watches,
    },
    Series {
        name: "ensemble",
        title: "The ensemble grows",
        x_label: "servers",
        panels: &[
            cpu(&[("read_cpu_us", "reads"), ("write_cpu_us", "writes")]),
            p50(&[("read_p50_us", "reads"), ("write_p50_us", "writes")]),
        ],
        run: ensemble,
    },
    Series {
        name: "memory",
        title: "Memory of a znode",
        x_label: "znodes",
        panels: &[Panel {
            title: "RSS growth per znode",
            short: "",
            unit: Unit::Bytes,
            lines: &[
                ("plain_bytes", "names of 11 B, data of 100 B"),
                ("small_bytes", "names of 24 B, data of 46 B"),
            ],
        }],
        run: memory,
    },
];

const READ_WRITE_CHURN_CPU: &[(&str, &str)] = &[
    ("read_cpu_us", "reads"),
    ("write_cpu_us", "writes"),
    ("churn_cpu_us", "creates and deletes in turn"),
];

const READ_WRITE_CHURN_P50: &[(&str, &str)] = &[
    ("read_p50_us", "reads"),
    ("write_p50_us", "writes"),
    ("create_p50_us", "creates"),
    ("delete_p50_us", "deletes"),
];

/// What the limit of open files leaves of 20,000 connections, which a load opens in one process.
const FILES_APART: u64 = 300;

/// Requests per second of the series of connections.
const PACE: &str = "10000";

const fn cpu(lines: &'static [(&'static str, &'static str)]) -> Panel {
    Panel { title: "server CPU per operation", short: ": CPU", unit: Unit::Micros, lines }
}

const fn p50(lines: &'static [(&'static str, &'static str)]) -> Panel {
    Panel { title: "p50, one at a time", short: ": p50", unit: Unit::Micros, lines }
}

/// The points up to `most`, fewer when it has to be quick.
fn up_to(most: u64, xs: &[u64], options: &Options) -> Vec<u64> {
    let most = if options.is_quick { most.min(10_000) } else { most };
    xs.iter().copied().filter(|x| *x <= most).collect()
}

fn setup(kind: Kind, name: &str, size: usize) -> Setup {
    let lines = vec![NEVER.to_owned()];
    Setup { lines, heap: "-Xmx6g", ..Setup::small(kind, name, size) }
}

/// Runs `use_them` on fresh servers, which are gone afterwards whatever happens.
fn on_servers(
    setup: &Setup,
    options: &Options,
    use_them: impl FnOnce(&Servers<'_>) -> Result<()>,
) -> Result<()> {
    let used = Servers::start(setup, &options.place).and_then(|servers| {
        use_them(&servers)?;
        servers.stop()
    });
    let used = used.map_err(|error| setup.explain(&options.place, &error));
    setup.remove(&options.place);
    used
}

/// Znodes that a fill has left.
struct Field {
    root: String,
    count: String,
    parents: String,
}

impl Field {
    fn fill(servers: &Servers<'_>, count: u64, parents: u64) -> Result<Self> {
        let (count, parents) = (count.to_string(), parents.to_string());
        let load = ["--workload", "fill", "--size", "100", "--keep"];
        let load = [&load[..], &["--count", &count, "--parents", &parents]].concat();
        let sample = servers.bench(&load)?;
        let root = sample.0.get("root").and_then(Value::as_str);
        let root = root.context("the bench does not tell its root")?.to_owned();
        Ok(Self { root, count, parents })
    }

    /// What a load on these znodes is told.
    fn load<'f>(&'f self, workload: &'f str) -> Vec<&'f str> {
        let place = ["--on", &self.root, "--keys", &self.count, "--parents", &self.parents];
        [&["--workload", workload, "--size", "100"][..], &place].concat()
    }

    /// Reads, writes, and creates and deletes in turn.
    fn cost(&self, servers: &Servers<'_>, options: &Options, sample: &mut Sample) -> Result<()> {
        for workload in ["read", "write", "churn"] {
            cost(servers, &self.load(workload), workload, options, sample)?;
        }
        Ok(())
    }
}

/// Server CPU of a load when many requests are under way, and the p50 when it is only one.
fn cost(
    servers: &Servers<'_>,
    load: &[&str],
    name: &str,
    options: &Options,
    sample: &mut Sample,
) -> Result<()> {
    let (seconds, warmup) = if options.is_quick { ("0.3", "0.1") } else { ("1.5", "0.5") };
    let times = ["--duration", seconds, "--warmup", warmup];
    let pipelined = ["--connections", "20", "--depth", "10"];
    let found = servers.bench(&[load, &pipelined, &times].concat())?;
    sample.set(&format!("{name}_cpu_us"), found.number("server_cpu_us_per_op")?);
    let found = servers.bench(&[load, &["--connections", "1", "--depth", "1"], &times].concat())?;
    if name == "churn" {
        for half in ["create_p50_us", "delete_p50_us"] {
            sample.set(half, found.number(half)?);
        }
    } else {
        sample.set(&format!("{name}_p50_us"), found.number("p50_us")?);
    }
    Ok(())
}

fn tree(kind: Kind, options: &Options, points: &mut Points<'_>) -> Result<()> {
    on_servers(&setup(kind, "tree", 1), options, |servers| {
        let mut filled = 0;
        for count in up_to(10_000_000, &[1_000, 10_000, 100_000, 1_000_000, 10_000_000], options) {
            // What is asked is spread over the newest part, nine tenths of the tree.
            let field = Field::fill(servers, count - filled, (count / 1_000).clamp(10, 10_000))?;
            filled = count;
            let mut sample = Sample::default();
            field.cost(servers, options, &mut sample)?;
            points.put(count, sample);
        }
        Ok(())
    })
}

fn children(kind: Kind, options: &Options, points: &mut Points<'_>) -> Result<()> {
    on_servers(&setup(kind, "children", 1), options, |servers| {
        for count in up_to(1_000_000, &[10, 100, 1_000, 10_000, 100_000, 1_000_000], options) {
            let field = Field::fill(servers, count, 1)?;
            let mut sample = Sample::default();
            field.cost(servers, options, &mut sample)?;
            points.put(count, sample);
        }
        Ok(())
    })
}

fn connections(kind: Kind, options: &Options, points: &mut Points<'_>) -> Result<()> {
    on_servers(&setup(kind, "connections", 1), options, |servers| {
        let most = open_files_max().saturating_sub(FILES_APART).min(20_000);
        let field = Field::fill(servers, 1_000, 1)?;
        for count in up_to(most, &[10, 100, 1_000, 10_000, most], options) {
            let mut sample = Sample::default();
            let connections = count.to_string();
            for workload in ["read", "write"] {
                let seconds = if options.is_quick { "0.5" } else { "3" };
                let load = ["--connections", &connections, "--depth", "1", "--rate", PACE];
                let times = ["--duration", seconds, "--warmup", "1"];
                let load = [&field.load(workload)[..], &load, &times].concat();
                let found = servers.bench(&load)?;
                let cpu_us = found.number("server_cpu_us_per_op")?;
                sample.set(&format!("{workload}_cpu_us"), cpu_us);
                sample.set(&format!("{workload}_p50_us"), found.number("p50_us")?);
            }
            points.put(count, sample);
        }
        Ok(())
    })
}

/// The hard limit of open files, which the load and the servers raise theirs to.
fn open_files_max() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_ascii_whitespace().nth(1)?.parse().ok());
    hard.unwrap_or(u64::MAX)
}

fn watches(kind: Kind, options: &Options, points: &mut Points<'_>) -> Result<()> {
    on_servers(&setup(kind, "watches", 1), options, |servers| {
        let field = Field::fill(servers, 1_000, 1)?;
        for count in up_to(1_000_000, &[0, 1_000, 10_000, 100_000, 1_000_000], options) {
            let mut sample = Sample::default();
            let watches = count.to_string();
            for workload in ["read", "write", "churn"] {
                let load = [&field.load(workload)[..], &["--watches", &watches]].concat();
                cost(servers, &load, workload, options, &mut sample)?;
            }
            points.put(count, sample);
        }
        Ok(())
    })
}

fn ensemble(kind: Kind, options: &Options, points: &mut Points<'_>) -> Result<()> {
    for size in [1, 3, 5] {
        on_servers(&setup(kind, "ensemble", size), options, |servers| {
            let field = Field::fill(servers, 1_000, 1)?;
            let mut sample = Sample::default();
            for workload in ["read", "write"] {
                cost(servers, &field.load(workload), workload, options, &mut sample)?;
            }
            points.put(size as u64, sample);
            Ok(())
        })?;
    }
    Ok(())
}

fn memory(kind: Kind, options: &Options, points: &mut Points<'_>) -> Result<()> {
    for count in up_to(10_000_000, &[10_000, 100_000, 1_000_000, 10_000_000], options) {
        let mut sample = Sample::default();
        for (name, shape) in [
            ("plain", ["--size", "100", "--name-bytes", "11"]),
            ("small", ["--size", "46", "--name-bytes", "24"]),
        ] {
            on_servers(&setup(kind, "memory", 1), options, |servers| {
                let count = count.to_string();
                let load = ["--workload", "fill", "--keep", "--count", &count];
                let found = servers.bench(&[&load[..], &shape].concat())?;
                sample.set(&format!("{name}_bytes"), found.number("bytes_per_item")?);
                sample.set(&format!("{name}_per_s"), found.number("ops_per_s")?);
                Ok(())
            })?;
        }
        points.put(count, sample);
    }
    Ok(())
}
