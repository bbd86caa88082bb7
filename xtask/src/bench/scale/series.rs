//! The series: what grows, how it is made to grow, and what is asked at each point.

use anyhow::Result;

use super::super::figures::Unit;
use super::super::million::NEVER;
use super::super::options::Options;
use super::super::servers::{Kind, Sample, Servers, Setup};
use super::field::Field;
use super::session::Op;
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
            Panel {
                title: "p50 at this pace",
                ..p50(&[("read_p50_us", "reads"), ("write_p50_us", "writes")])
            },
        ],
        run: connections,
    },
    Series {
        name: "watches",
        title: "Watches grow",
        x_label: "watches",
        panels: &[
            cpu(READ_WRITE_CHURN_CPU),
            p50(READ_WRITE_CHURN_P50),
            Panel {
                title: "RSS growth per watch",
                short: "",
                unit: Unit::Bytes,
                lines: &[("watch_bytes", "memory of a watch")],
            },
        ],
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
        if setup.kind == Kind::Apache {
            // Java's compiler would be seen in the first point.
            let field = Field::fill(&servers, "/warm-up", (1_000, 1), SHAPE)?;
            field.cost(&servers, options, &mut Sample::default())?;
        }
        // Killed afterwards: ten million znodes need not be put away.
        use_them(&servers)
    });
    let used = used.map_err(|error| setup.explain(&options.place, &error));
    setup.remove(&options.place);
    used
}

/// The names and the data of the znodes that loads work on.
const SHAPE: (usize, usize) = (11, 100);

fn tree(kind: Kind, options: &Options, points: &mut Points<'_>) -> Result<()> {
    on_servers(&setup(kind, "tree", 1), options, |servers| {
        let mut filled = 0;
        for count in up_to(10_000_000, &[1_000, 10_000, 100_000, 1_000_000, 10_000_000], options) {
            // What is asked is spread over the newest part, nine tenths of the tree.
            let amount = (count - filled, (count / 1_000).clamp(10, 10_000));
            let field = Field::fill(servers, &format!("/tree-{count}"), amount, SHAPE)?;
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
            let field = Field::fill(servers, &format!("/children-{count}"), (count, 1), SHAPE)?;
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
        for count in up_to(most, &[10, 100, 1_000, 10_000, most], options) {
            let mut sample = Sample::default();
            let connections = count.to_string();
            let (seconds, warmup) = if options.is_quick { ("0.5", "0.2") } else { ("4", "1") };
            for workload in ["read", "write"] {
                let load = ["--workload", workload, "--size", "100", "--keep", "--rate", PACE];
                let lanes = ["--connections", &connections, "--depth", "1"];
                let times = ["--duration", seconds, "--warmup", warmup];
                let found = servers.bench(&[&load[..], &lanes, &times].concat())?;
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
    for count in up_to(1_000_000, &[0, 1_000, 10_000, 100_000, 1_000_000], options) {
        on_servers(&setup(kind, "watches", 1), options, |servers| {
            let field = Field::fill(servers, "/watches", (1_000, 1), SHAPE)?;
            let before = servers.resident_bytes()?;
            let mut watchers = field.watch(servers, count)?;
            let mut sample = Sample::default();
            if count >= COUNTED_MIN {
                let grown = servers.resident_bytes()? - before;
                sample.set("watch_bytes", grown / count as f64);
            }
            field.cost(servers, options, &mut sample)?;
            // They have been there all the time, or this fails.
            for watcher in &mut watchers {
                watcher.ping()?;
                watcher.call(Op::Watch, "/watches", b"")?;
            }
            points.put(count, sample);
            Ok(())
        })?;
    }
    Ok(())
}

/// Fewer things than this do not show in the memory of a process.
const COUNTED_MIN: u64 = 100_000;

fn ensemble(kind: Kind, options: &Options, points: &mut Points<'_>) -> Result<()> {
    for size in [1, 3, 5] {
        on_servers(&setup(kind, "ensemble", size), options, |servers| {
            let mut sample = Sample::default();
            let (seconds, warmup) = if options.is_quick { ("0.5", "0.2") } else { ("2", "0.5") };
            for workload in ["read", "write"] {
                let load = ["--workload", workload, "--size", "100", "--keep"];
                let times = ["--duration", seconds, "--warmup", warmup];
                let many = ["--connections", "30", "--depth", "10"];
                let found = servers.bench(&[&load[..], &many, &times].concat())?;
                let cpu_us = found.number("server_cpu_us_per_op")?;
                sample.set(&format!("{workload}_cpu_us"), cpu_us);
                let one = ["--connections", "1", "--depth", "1"];
                let found = servers.bench(&[&load[..], &one, &times].concat())?;
                sample.set(&format!("{workload}_p50_us"), found.number("p50_us")?);
            }
            points.put(size as u64, sample);
            Ok(())
        })?;
    }
    Ok(())
}

fn memory(kind: Kind, options: &Options, points: &mut Points<'_>) -> Result<()> {
    let counts: &[u64] = match options.is_quick {
        true => &[10_000],
        false => &[100_000, 1_000_000, 10_000_000],
    };
    for count in counts.iter().copied() {
        let mut sample = Sample::default();
        for (name, shape) in [("plain_bytes", SHAPE), ("small_bytes", (24, 46))] {
            on_servers(&setup(kind, "memory", 1), options, |servers| {
                let before = servers.resident_bytes()?;
                let amount = (count, (count / 1_000).clamp(10, 10_000));
                Field::fill(servers, "/memory", amount, shape)?;
                let grown = servers.resident_bytes()? - before;
                sample.set(name, grown / count as f64);
                Ok(())
            })?;
        }
        points.put(count, sample);
    }
    Ok(())
}
