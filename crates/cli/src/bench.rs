//! `ostler bench`: load for any server that speaks ZooKeeper's client protocol, and what it showed.
//!
//! Latencies run from handing a request to the socket until its reply was read, over all requests
//! of the measured time. With `--pid` the server's own use of the machine is told as well; it is
//! read where the measured time starts and where it ends.
//!
//! The load works below a root of its own, `/ostler-bench-<n>`, and removes it at the end.

mod conn;
mod fanout;
mod ground;
mod load;
mod random;
mod report;
mod sessions;
mod source;
mod steady;
mod swarm;
mod tally;
mod template;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::process::{ProcessUse, raise_open_files_limit};
use crate::raw_client::{RawClient, SessionRequest, get_data};
use ground::Ground;
use report::{Report, count, duration, size};

/// What the load consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Workload {
    /// getData of znodes drawn evenly from --keys.
    Read,
    /// setData of znodes drawn evenly from --keys.
    Write,
    /// Both, reads in a share of --read-ratio.
    Mixed,
    /// Creates of new znodes for as long as --duration.
    Create,
    /// Creates of --count znodes; rate and memory per znode.
    Fill,
    /// --connections sessions watch one znode; time until the last one knows of a change.
    Fanout,
    /// Opens --count sessions, --connections of them at a time; rate and memory per session.
    Sessions,
    /// Waits until the first read is served and tells how long that took.
    Ready,
}

/// What the command line says.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Servers, separated by commas; connections are spread over them.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2181", value_delimiter = ',')]
    pub server: Vec<String>,

    /// What the load consists of.
    #[arg(long, value_enum, default_value = "mixed")]
    pub workload: Workload,

    /// Connections, each with a session.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub connections: usize,

    /// Requests under way on each connection.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub depth: usize,

    /// Bytes of data in each znode; 100 for create and fill, else 1024.
    #[arg(long, value_name = "BYTES")]
    pub size: Option<usize>,

    /// Share of reads in the mixed load, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    pub read_ratio: f64,

    /// Znodes that reads and writes are spread over.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub keys: u64,

    /// Parents that znodes are spread over; 1000 for fill, else 1.
    #[arg(long, value_name = "N")]
    pub parents: Option<u32>,

    /// Measured time.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub duration: f64,

    /// Time before it, under the same load.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub warmup: f64,

    /// Znodes to fill in (100000), or sessions to open (1000).
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,

    /// Changes whose fan-out is measured.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub rounds: u64,

    /// Requests per second over all connections; without it, as many as the server answers.
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,

    /// Threads of the load.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,

    /// Session timeout to ask for.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    pub timeout_ms: i32,

    /// The server's process id, for its CPU time and memory.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,

    /// One JSON object instead of lines for people.
    #[arg(long)]
    pub json: bool,

    /// Leave the znodes that were made.
    #[arg(long)]
    pub keep: bool,
}

impl Options {
    fn size_bytes(&self) -> usize {
        let default = match self.workload {
            Workload::Create | Workload::Fill => 100,
            _ => 1024,
        };
        self.size.unwrap_or(default)
    }

    fn parents(&self) -> u32 {
        self.parents.unwrap_or(if self.workload == Workload::Fill { 1000 } else { 1 })
    }

    fn check(&self) -> Result<()> {
        ensure!(self.connections > 0, "--connections must be at least 1");
        ensure!(self.depth > 0, "--depth must be at least 1");
        ensure!(self.keys > 0, "--keys must be at least 1");
        ensure!((0.0..=1.0).contains(&self.read_ratio), "--read-ratio must be between 0 and 1");
        ensure!(self.duration > 0.0, "--duration must be more than 0");
        ensure!(self.warmup >= 0.0, "--warmup must not be negative");
        ensure!(self.rate.is_none_or(|rate| rate > 0.0), "--rate must be more than 0");
        ensure!(self.threads > 0, "--threads must be at least 1");
        ensure!(
            (1..=template::PARENTS_MAX).contains(&self.parents()),
            "--parents must be between 1 and {}",
            template::PARENTS_MAX
        );
        Ok(())
    }
}

/// Runs the bench and prints its report.
///
/// # Errors
/// When the server cannot be reached or breaks off, or an option is out of its range. Requests
/// that the server refuses are counted in the report instead.
pub fn run(options: &Options) -> Result<()> {
    options.check()?;
    if let Err(error) = raise_open_files_limit() {
        eprintln!("the limit of open files stays as it is: {error}");
    }
    let report = match options.workload {
        Workload::Read | Workload::Write | Workload::Mixed | Workload::Create | Workload::Fill => {
            on_ground(options, steady::run)?
        }
        Workload::Fanout => on_ground(options, fanout_report)?,
        Workload::Sessions => sessions_report(options)?,
        Workload::Ready => ready_report(options)?,
    };
    let text = if options.json { report.to_json() } else { report.into_lines() };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Runs `load` on a part of the tree of its own, which is removed whether or not that went well.
fn on_ground(
    options: &Options,
    load: impl FnOnce(&Options, &Ground) -> Result<Report>,
) -> Result<Report> {
    let server = &options.server[0];
    let ground = Ground::create(server, options.parents(), options.timeout_ms)
        .with_context(|| format!("cannot create znodes on {server}"))?;
    let report = load(options, &ground);
    if !options.keep
        && let Err(error) = ground.remove(options.timeout_ms)
    {
        eprintln!("{} could not be removed: {error}", ground.root);
    }
    report
}

fn fanout_report(options: &Options, ground: &Ground) -> Result<Report> {
    ground.populate(1, options.size_bytes(), options.timeout_ms)?;
    let watchers = fanout::connect(options)?;
    let before = server_use(options)?;
    let fanout = fanout::run(options, ground, watchers)?;
    let mut report = Report::default();
    heading(&mut report, options, "fan-out");
    report.line(&format!(
        "fan-out: {} sessions watch one znode, {} changes",
        options.connections, fanout.rounds
    ));
    report.number("rounds", count(fanout.rounds));
    report.latencies("last", "last_", &fanout.last);
    report.latencies("each", "each_", &fanout.each);
    let notifications = count(fanout.rounds) * count(options.connections as u64);
    tell_server_use(&mut report, options, before, notifications, None)?;
    Ok(report)
}

fn sessions_report(options: &Options) -> Result<Report> {
    let sessions = options.count.unwrap_or(1000);
    let before = server_use(options)?;
    let open = sessions::open(options, usize::try_from(sessions)?)?;
    let after = server_use(options)?;
    let rate = count(sessions) / open.taken.as_secs_f64();
    let mut report = Report::default();
    heading(&mut report, options, "sessions");
    report.line(&format!(
        "sessions: {sessions} opened, {} at a time: {rate:.0} per second",
        options.connections
    ));
    report.number("ops", count(sessions));
    report.number("ops_per_s", rate);
    report.number("seconds", open.taken.as_secs_f64());
    report.latencies("handshake", "", &open.handshakes);
    tell_server_use(&mut report, options, before, count(sessions), Some(open.taken))?;
    if let (Some(before), Some(after)) = (before, after) {
        let grown = count(after.resident_bytes) - count(before.resident_bytes);
        report.number("bytes_per_item", grown / count(sessions));
        report.line(&format!("  memory    {} per session", size(grown / count(sessions))));
    }
    open.close()?;
    Ok(report)
}

fn ready_report(options: &Options) -> Result<Report> {
    let start = Instant::now();
    let deadline = start + Duration::from_secs_f64(options.duration);
    loop {
        match first_read(options) {
            Ok(client) => {
                let taken = start.elapsed();
                client.close_session()?;
                let mut report = Report::default();
                report.line(&format!("ready after {}", duration(taken.as_secs_f64() * 1e6)));
                report.number("seconds", taken.as_secs_f64());
                return Ok(report);
            }
            Err(error) if Instant::now() > deadline => {
                bail!("{} does not serve: {error}", options.server[0])
            }
            // Nobody tells when a port opens: asking again soon is all that can be done.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn first_read(options: &Options) -> io::Result<RawClient> {
    let mut client = RawClient::dial(&options.server[0])?;
    // A server that is starting can take a connection and forget it: ask again on another one.
    client.set_io_timeout(Duration::from_millis(250))?;
    client.handshake(&SessionRequest::new(options.timeout_ms))?;
    client.call(&get_data("/", false))?.ok()?;
    Ok(client)
}

/// What every report starts with.
fn heading(report: &mut Report, options: &Options, workload: &str) {
    report.text("workload", workload);
    report.text("server", &options.server.join(","));
    report.number("connections", count(options.connections as u64));
    report.number("depth", count(options.depth as u64));
    report.number("size_bytes", count(options.size_bytes() as u64));
}

fn server_use(options: &Options) -> Result<Option<ProcessUse>> {
    let Some(pid) = options.pid else { return Ok(None) };
    let reading = ProcessUse::of(pid).with_context(|| format!("cannot look at process {pid}"))?;
    Ok(Some(reading))
}

/// Tells what the server has used since `before` for `ops` operations.
fn tell_server_use(
    report: &mut Report,
    options: &Options,
    before: Option<ProcessUse>,
    ops: f64,
    taken: Option<Duration>,
) -> Result<()> {
    let (Some(before), Some(after)) = (before, server_use(options)?) else { return Ok(()) };
    let cpu_s = after.cpu_s - before.cpu_s;
    let mut line = format!("  server    {:.2} CPU µs per operation", cpu_s * 1e6 / ops.max(1.0));
    report.number("server_cpu_us_per_op", cpu_s * 1e6 / ops.max(1.0));
    if let Some(taken) = taken {
        report.number("server_cores", cpu_s / taken.as_secs_f64());
        let _ = write!(line, ", {:.2} cores", cpu_s / taken.as_secs_f64());
    }
    report.number("server_resident_bytes", count(after.resident_bytes));
    let _ = write!(line, ", {} resident", size(count(after.resident_bytes)));
    report.line(&line);
    Ok(())
}
