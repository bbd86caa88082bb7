//! The two servers, alone or as an ensemble, and the load on them.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use super::live::{self, Living};

/// How long a server may take to start or to end, and a load beyond its time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Ports are taken from here on: below those that connections get by themselves.
const PORT_FIRST: u16 = 21_000;
const PORTS: u16 = 9_000;

/// Lines of a server's log that are told when something fails.
const LAST_WORDS: usize = 5;

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Apache,
    Ostler,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Apache, Self::Ostler];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apache => "apache",
            Self::Ostler => "ostler",
        }
    }

    /// Name and version for the head of the table.
    pub(super) fn title(self, place: &Place) -> Result<String> {
        match self {
            Self::Apache => Ok("Apache ZooKeeper 3.9.5".to_owned()),
            Self::Ostler => {
                let output = Command::new(&place.ostler).arg("--version").output();
                let output = output.context("the ostler binary cannot be started")?;
                let version = String::from_utf8_lossy(&output.stdout);
                Ok(version.trim().replacen('o', "O", 1))
            }
        }
    }
}

/// Where the programs are and where the data go.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) ostler: PathBuf,
    /// The ostler that makes the load; `None` is the one that serves.
    pub(super) load: Option<PathBuf>,
    pub(super) apache: PathBuf,
    pub(super) dir: PathBuf,
}

impl Place {
    fn load(&self) -> &Path {
        self.load.as_ref().unwrap_or(&self.ostler)
    }
}

/// Servers to be started.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) kind: Kind,
    /// Their directory below the place's.
    pub(super) name: String,
    /// How many; more than one is an ensemble.
    pub(super) size: usize,
    /// Java's heap, as the JVM's option has it.
    pub(super) heap: &'static str,
    /// Lines of zoo.cfg beside the usual ones.
    pub(super) lines: Vec<String>,
}

impl Setup {
    /// Servers with the heap that suits small data.
    pub(super) fn small(kind: Kind, row: &str, size: usize) -> Self {
        let name = format!("{}-{row}", kind.name());
        Self { kind, name, size, heap: "-Xmx1g", lines: Vec::new() }
    }

    fn member_dir(&self, place: &Place, number: usize) -> PathBuf {
        place.dir.join(&self.name).join(number.to_string())
    }

    /// The data directory of the first member.
    pub(super) fn data_dir(&self, place: &Place) -> PathBuf {
        self.member_dir(place, 1).join("data")
    }

    /// What went wrong with these servers, and the ends of their logs, which are about to go.
    pub(super) fn explain(&self, place: &Place, error: &anyhow::Error) -> anyhow::Error {
        let mut text = format!("{error:#}");
        for number in 1..=self.size {
            let log = fs::read_to_string(self.member_dir(place, number).join("server.log"));
            let log = log.unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
                text.push_str(&format!("\n    server {number}: {line}"));
            }
        }
        anyhow::Error::msg(text)
    }

    /// Removes what the servers left.
    pub(super) fn remove(&self, place: &Place) {
        let _ = fs::remove_dir_all(place.dir.join(&self.name));
        // Goes only when it is empty.
        let _ = fs::remove_dir(&place.dir);
    }

    /// Writes zoo.cfg and myid of one member.
    fn configure(&self, place: &Place, number: usize, ports: &[u16]) -> Result<PathBuf> {
        let dir = self.member_dir(place, number);
        let data = dir.join("data");
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        let mut text = format!(
            "tickTime=2000\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n\
             maxClientCnxns=0\nadmin.enableServer=false\n",
            data.display(),
            ports[number - 1]
        );
        if self.size > 1 {
            text.push_str("initLimit=10\nsyncLimit=5\n");
            for member in 1..=self.size {
                let (quorum, election) =
                    (ports[self.size + member - 1], ports[2 * self.size + member - 1]);
                text.push_str(&format!("server.{member}=127.0.0.1:{quorum}:{election}\n"));
            }
            fs::write(data.join("myid"), format!("{number}\n"))?;
        }
        self.lines.iter().for_each(|line| text.extend([line, "\n"]));
        let config = dir.join("zoo.cfg");
        fs::write(&config, text)?;
        Ok(config)
    }
}

/// Running servers; they are killed when this is dropped.
pub(super) struct Servers<'p> {
    members: Vec<Living>,
    /// Those of clients; a leader's comes last.
    addresses: Vec<String>,
    place: &'p Place,
    /// From starting the processes until all of them had served a read.
    pub(super) start_taken: Duration,
}

impl<'p> Servers<'p> {
    /// Starts servers on their directories, with whatever is in them, and waits until each of them
    /// has served a read.
    pub(super) fn start(setup: &Setup, place: &'p Place) -> Result<Self> {
        let ports = free_ports(3 * setup.size)?;
        let mut commands = Vec::with_capacity(setup.size);
        for number in 1..=setup.size {
            let config = setup.configure(place, number, &ports)?;
            let log = config.with_file_name("server.log");
            let log = File::options().create(true).append(true).open(log)?;
            let mut command = match setup.kind {
                Kind::Apache => Command::new(&place.apache),
                Kind::Ostler => Command::new(&place.ostler),
            };
            command.arg("serve").arg(&config).stdin(Stdio::null());
            if setup.kind == Kind::Apache {
                command.arg(setup.heap);
            }
            command.stdout(log.try_clone()?).stderr(log);
            commands.push(command);
        }
        let started = Instant::now();
        let members = commands.iter_mut().map(Living::start).collect::<Result<_>>()?;
        let addresses = ports[..setup.size].iter().map(|port| format!("127.0.0.1:{port}"));
        let start_taken = Duration::ZERO;
        let mut servers = Self { members, addresses: addresses.collect(), place, start_taken };
        for index in 0..setup.size {
            servers.wait_until_ready(index).context("it does not start")?;
        }
        servers.start_taken = started.elapsed();
        if setup.size > 1 {
            servers.put_leader_last();
        }
        Ok(servers)
    }

    /// Waits for the first read of a member, or for its end.
    fn wait_until_ready(&mut self, index: usize) -> Result<()> {
        let mut ready = Living::start(
            Command::new(self.place.load())
                .args(["bench", "--workload", "ready", "--server", &self.addresses[index]])
                .args(["--duration", &PATIENCE.as_secs().to_string()])
                .stdout(Stdio::null()),
        )?;
        loop {
            if let Some(status) = ready.ended()? {
                ensure!(status.success(), "it serves nothing");
                return Ok(());
            }
            if let Some(status) = self.members[index].ended()? {
                bail!("it ended with {status}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A single connection goes to the first address: in every ensemble to a follower.
    fn put_leader_last(&mut self) {
        let leads = |address: &String| mode(address).is_some_and(|mode| mode == "leader");
        if let Some(index) = self.addresses.iter().position(leads) {
            let leader = self.addresses.remove(index);
            self.addresses.push(leader);
        }
    }

    /// Process ids with commas between them.
    fn pids(&self) -> String {
        let pids: Vec<String> =
            self.members.iter().map(|member| member.pid().to_string()).collect();
        pids.join(",")
    }

    /// The process id of the first member.
    pub(super) fn pid(&self) -> u32 {
        self.members[0].pid()
    }

    /// Runs `ostler bench` on the servers and returns what it found.
    pub(super) fn bench(&self, arguments: &[&str]) -> Result<Sample> {
        let mut command = Command::new(self.place.load());
        command
            .args(["bench", "--json", "--server", &self.addresses.join(",")])
            .args(["--pid", &self.pids()])
            .args(arguments);
        // Every load is short or a fill of what it says; a server that hangs must not hold a night.
        let output = live::output(&mut command, 4 * PATIENCE)?;
        ensure!(output.status.success(), "bench {} failed", arguments.join(" "));
        let found: Map<String, Value> = serde_json::from_slice(&output.stdout)?;
        if let Some(error) = found.get("first_error") {
            bail!("bench {} met an error: {error}", arguments.join(" "));
        }
        let mut sample = Sample(found);
        if let Ok(cpu_us) = sample.number("server_cpu_us_per_op") {
            // Less than one tick of the clock was counted: there is no such figure.
            if cpu_us > 0.0 {
                sample.set("ops_per_cpu_s", 1e6 / cpu_us);
            }
        }
        Ok(sample)
    }

    /// Where a single session goes.
    pub(super) fn address(&self) -> &str {
        &self.addresses[0]
    }

    /// User and system time of all members since they started.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        let ticks = self.members.iter().map(|member| cpu_ticks(member.pid()));
        Ok(ticks.sum::<Result<f64>>()? / TICKS_PER_SECOND)
    }

    /// Resident memory of the first member in bytes.
    pub(super) fn resident_bytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.and_then(|line| line.split_ascii_whitespace().next());
        let kb: f64 = kb.context("the server has no memory")?.parse()?;
        Ok(kb * 1024.0)
    }

    /// Ends the servers as `zkServer.sh stop` would, and waits until they are gone.
    pub(super) fn stop(mut self) -> Result<()> {
        for member in &mut self.members {
            ensure!(member.ended()?.is_none(), "a server was gone already");
            Command::new("kill").args(["-TERM", &member.pid().to_string()]).status()?;
        }
        self.members.iter_mut().try_for_each(|member| member.wait(PATIENCE))
    }
}

/// `/proc` counts CPU time in hundredths of a second on every architecture that matters here.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields 14 and 15; the second field is a name in parentheses that may hold anything.
fn cpu_ticks(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("a process without a name")?;
    let fields = fields.split_ascii_whitespace().skip(11).take(2);
    fields.map(|field| Ok(field.parse::<f64>()?)).sum()
}

/// What a member says it is.
fn mode(address: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"srvr").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
}

/// Ports of the loopback interface that nobody listens on now.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let first = u16::try_from(std::process::id() % u32::from(PORTS)).expect("PORTS is a u16");
    let candidates = (0..PORTS).map(|step| PORT_FIRST + (first + step) % PORTS);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports: Vec<u16> = candidates.filter(is_free).take(count).collect();
    ensure!(ports.len() == count, "there are no {count} free ports");
    Ok(ports)
}

/// What a load has found: figures by name, as `ostler bench --json` tells them, and some more.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Sample(pub(super) Map<String, Value>);

impl Sample {
    pub(super) fn number(&self, name: &str) -> Result<f64> {
        let value = self.0.get(name).and_then(Value::as_f64);
        value.with_context(|| format!("the bench tells no {name}: {:?}", self.0))
    }

    pub(super) fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), Value::from(value));
    }
}

/// How many snapshots are in a data directory.
pub(super) fn snapshot_count(data_dir: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(data_dir.join("version-2"))? {
        count += usize::from(entry?.file_name().to_string_lossy().starts_with("snapshot."));
    }
    Ok(count)
}
