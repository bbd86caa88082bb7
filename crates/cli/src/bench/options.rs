//! What the command line says, and what it means.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use super::template;
use super::workloads::{self, Shape, Workload};

/// What the command line says.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Servers, separated by commas; connections are spread over them.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2181", value_delimiter = ',')]
    pub server: Vec<String>,

    /// Their process ids, separated by commas, for CPU time and memory.
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub pid: Vec<u32>,

    /// What the load consists of; --list explains each.
    #[arg(long, value_name = "NAME", default_value = "mixed")]
    #[arg(value_parser = names(), hide_possible_values = true)]
    pub workload: String,

    /// Explains the workloads and ends.
    #[arg(long)]
    pub list: bool,

    /// One JSON object instead of lines for people.
    #[arg(long)]
    pub json: bool,

    /// Connections, each with a session.
    #[arg(long, value_name = "N", help_heading = LOAD)]
    pub connections: Option<usize>,

    /// Requests under way on each connection.
    #[arg(long, value_name = "N", help_heading = LOAD)]
    pub depth: Option<usize>,

    /// Bytes of data in each znode.
    #[arg(long, value_name = "BYTES", help_heading = LOAD)]
    pub size: Option<usize>,

    /// Share of reads in the mixed load, 0 to 1.
    #[arg(long, value_name = "SHARE", help_heading = LOAD)]
    pub read_ratio: Option<f64>,

    /// Znodes that reads and writes are spread over.
    #[arg(long, value_name = "N", help_heading = LOAD)]
    pub keys: Option<u64>,

    /// Parents that znodes are spread over.
    #[arg(long, value_name = "N", help_heading = LOAD)]
    pub parents: Option<u32>,

    /// Znodes to fill in, or sessions to open.
    #[arg(long, value_name = "N", help_heading = LOAD)]
    pub count: Option<u64>,

    /// Changes whose fan-out is measured.
    #[arg(long, value_name = "N", help_heading = LOAD)]
    pub rounds: Option<u64>,

    /// Open loop: requests per second over all connections, answered or not.
    ///
    /// A latency then counts from when the request was due. Without it the loop is closed: each
    /// reply makes room for the next request, and a latency counts from sending it.
    #[arg(long, value_name = "N", help_heading = LOAD)]
    pub rate: Option<f64>,

    /// Session timeout to ask for.
    #[arg(long, value_name = "MS", default_value_t = 30_000, help_heading = LOAD)]
    pub timeout_ms: i32,

    /// Leave the znodes that were made.
    #[arg(long, help_heading = LOAD)]
    pub keep: bool,

    /// Measured time.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, help_heading = MEASURING)]
    pub duration: f64,

    /// Time before it, under the same load.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, help_heading = MEASURING)]
    pub warmup: f64,

    /// Threads of the load; one makes millions of requests per second.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = MEASURING)]
    pub threads: usize,

    /// Look for replies again and again, for up to N microseconds, before a thread of the load
    /// sleeps.
    ///
    /// Who sleeps has to be woken by the server, over loopback on its own time: dearer than many a
    /// request, and nothing that a client elsewhere would cost it. It takes a core from servers
    /// that share the machine and could use it. At most 10000; 0 never looks again.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = MEASURING)]
    pub spin: u64,

    /// Closed loop: add the requests that late replies kept away, one every N microseconds.
    ///
    /// This is HdrHistogram's correction of latencies for coordinated omission. --rate needs none.
    #[arg(long, value_name = "N", conflicts_with = "rate", help_heading = MEASURING)]
    pub correct_us: Option<u64>,

    /// Other servers to run the same load on, in turn with --server.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', help_heading = COMPARING)]
    pub compare: Vec<String>,

    /// Their process ids.
    #[arg(long, value_name = "PID", value_delimiter = ',', help_heading = COMPARING)]
    #[arg(requires = "compare")]
    pub compare_pid: Vec<u32>,

    /// How often each has its turn.
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = COMPARING)]
    pub compare_rounds: u32,

    /// Serve instead: one thread that answers with fixed replies, --size bytes for each read.
    ///
    /// What the load reaches against it is the limit of the machine. It keeps nothing; 0 is a free
    /// port, and the first line tells which.
    #[arg(long, value_name = "PORT", help_heading = COMPARING)]
    pub stub: Option<u16>,
}

/// Requests under way on a connection, at most.
const DEPTH_MAX: usize = 100_000;

/// Who waits for longer than this does not feel that it has to be woken.
const SPIN_MAX_US: u64 = 10_000;

/// Far more than a server takes in one znode.
const SIZE_BYTES_MAX: usize = 64 * 1024 * 1024;

const LOAD: &str = "The load (each workload has its own defaults)";
const MEASURING: &str = "Measuring";
const COMPARING: &str = "Comparing";

fn names() -> PossibleValuesParser {
    let values = workloads::ALL.iter().map(|workload| PossibleValue::new(workload.name));
    PossibleValuesParser::new(values)
}

/// Servers that form one service.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// One at least.
    pub(crate) servers: Vec<String>,
    pub(crate) pids: Vec<u32>,
}

/// A load with all its numbers, each within its range.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) threads: usize,
    pub(crate) spin: Duration,
    pub(crate) timeout_ms: i32,
    pub(crate) correct_us: Option<u64>,
    pub(crate) keep: bool,
}

impl Options {
    /// What the options mean together.
    pub(crate) fn plan(&self) -> Result<Plan> {
        let mut workload = *workloads::find(&self.workload).expect("only names are taken");
        workload.connections = self.connections.unwrap_or(workload.connections);
        workload.depth = self.depth.unwrap_or(workload.depth);
        workload.size_bytes = self.size.unwrap_or(workload.size_bytes);
        workload.keys = self.keys.unwrap_or(workload.keys);
        workload.parents = self.parents.unwrap_or(workload.parents);
        workload.count = self.count.unwrap_or(workload.count);
        workload.rounds = self.rounds.unwrap_or(workload.rounds);
        workload.rate = self.rate.or(workload.rate);
        if workload.name == "mixed"
            && let (Shape::Mixed { read_ratio }, Some(asked)) =
                (&mut workload.shape, self.read_ratio)
        {
            *read_ratio = asked;
        }
        ensure!(workload.connections > 0, "--connections must be at least 1");
        ensure!(
            (1..=DEPTH_MAX).contains(&workload.depth),
            "--depth must be between 1 and {DEPTH_MAX}"
        );
        ensure!(workload.size_bytes <= SIZE_BYTES_MAX, "--size must be at most {SIZE_BYTES_MAX}");
        ensure!(workload.keys > 0, "--keys must be at least 1");
        ensure!(
            self.read_ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)),
            "--read-ratio must be between 0 and 1"
        );
        ensure!(
            workload.rate.is_none_or(|rate| (0.001..=1e7).contains(&rate)),
            "--rate must be between 0.001 and 10000000"
        );
        ensure!(
            workload.rate.is_none() || self.correct_us.is_none(),
            "--correct-us is for closed loops: with a rate, latencies are right already"
        );
        ensure!(self.spin <= SPIN_MAX_US, "--spin must be at most {SPIN_MAX_US}");
        ensure!(self.threads > 0, "--threads must be at least 1");
        ensure!(self.correct_us != Some(0), "--correct-us must be at least 1");
        ensure!(self.compare_rounds > 0, "--compare-rounds must be at least 1");
        // One more than there is room for is one that the mix may need for what it creates.
        ensure!(
            (1..template::PARENTS_MAX).contains(&workload.parents),
            "--parents must be between 1 and {}",
            template::PARENTS_MAX - 1
        );
        Ok(Plan {
            workload,
            warmup: seconds("--warmup", self.warmup)?,
            duration: seconds("--duration", self.duration)?,
            threads: self.threads,
            spin: Duration::from_micros(self.spin),
            timeout_ms: self.timeout_ms,
            correct_us: self.correct_us,
            keep: self.keep,
        })
    }

    pub(crate) fn target(&self) -> Target {
        Target { servers: self.server.clone(), pids: self.pid.clone() }
    }

    /// What to compare with, if that was asked for.
    pub(crate) fn compared(&self) -> Option<Target> {
        (!self.compare.is_empty())
            .then(|| Target { servers: self.compare.clone(), pids: self.compare_pid.clone() })
    }
}

impl Plan {
    /// One line that says what is run.
    pub(crate) fn describe(&self) -> String {
        let Workload { name, connections, depth, size_bytes, keys, parents, count, .. } =
            self.workload;
        let seconds = self.duration.as_secs_f64();
        let mut text = match self.workload.shape {
            Shape::Mixed { .. } | Shape::Create | Shape::Fill | Shape::Mix => {
                format!("{name}: {connections} connections x depth {depth}, {size_bytes} B values")
            }
            Shape::Fanout => {
                let rounds = self.workload.rounds;
                format!("{name}: {connections} sessions watch one znode, {rounds} changes")
            }
            Shape::Sessions => format!("{name}: {count} opened, {connections} at a time"),
            Shape::Ready => format!("{name}: the first read"),
        };
        text += &match self.workload.shape {
            Shape::Mixed { .. } => format!(", {keys} keys, {seconds:.1} s"),
            Shape::Mix => format!(", {keys} keys below {parents} parents, {seconds:.1} s"),
            Shape::Create => format!(", {parents} parents, {seconds:.1} s"),
            Shape::Fill => format!(", {count} znodes, {parents} parents"),
            Shape::Fanout | Shape::Sessions | Shape::Ready => String::new(),
        };
        if let Some(rate) = self.workload.rate {
            text += &format!(", {rate} requests per second");
        }
        if !self.spin.is_zero() {
            text += &format!(", looks again for {} µs", self.spin.as_micros());
        }
        text
    }
}

/// A time of at most a year.
fn seconds(option: &str, seconds: f64) -> Result<Duration> {
    ensure!((0.0..=31_536_000.0).contains(&seconds), "{option} must be between 0 and 31536000");
    ensure!(option != "--duration" || seconds > 0.0, "--duration must be more than 0");
    Ok(Duration::from_secs_f64(seconds))
}
