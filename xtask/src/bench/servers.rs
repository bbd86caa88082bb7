//! The two servers, and the load on them.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::PATIENCE;

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Apache,
    Ostler,
}

impl Kind {
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
    pub(super) apache: PathBuf,
    pub(super) dir: PathBuf,
}

/// A server to be started.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) kind: Kind,
    /// Its directory below the place's.
    pub(super) name: String,
    /// Java's heap, as the JVM's option has it.
    pub(super) heap: &'static str,
    /// Lines of zoo.cfg beside the usual ones.
    pub(super) lines: Vec<String>,
}

impl Setup {
    /// A server with the heap that suits small data.
    pub(super) fn small(kind: Kind, row: &str) -> Self {
        let name = format!("{}-{row}", kind.name());
        Self { kind, name, heap: "-Xmx1g", lines: Vec::new() }
    }

    pub(super) fn data_dir(&self, place: &Place) -> PathBuf {
        place.dir.join(&self.name).join("data")
    }

    /// Removes what the server left.
    pub(super) fn remove(&self, place: &Place) {
        let _ = fs::remove_dir_all(place.dir.join(&self.name));
        // Goes only when it is empty.
        let _ = fs::remove_dir(&place.dir);
    }
}

/// A running server; it is killed when this is dropped.
pub(super) struct Server<'p> {
    child: Child,
    address: String,
    place: &'p Place,
    /// From starting the process until the first read was served.
    pub(super) start_taken: Duration,
}

impl<'p> Server<'p> {
    /// Starts a server on its directory, with whatever is in it, and waits for the first read.
    pub(super) fn start(setup: &Setup, place: &'p Place) -> Result<Self> {
        let dir = place.dir.join(&setup.name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let config = dir.join("zoo.cfg");
        let mut text = format!(
            "tickTime=2000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             maxClientCnxns=0\nadmin.enableServer=false\n",
            dir.join("data").display()
        );
        setup.lines.iter().for_each(|line| text.extend([line, "\n"]));
        fs::write(&config, text)?;
        let log = File::options().create(true).append(true).open(dir.join("server.log"))?;
        let mut command = match setup.kind {
            Kind::Apache => Command::new(&place.apache),
            Kind::Ostler => Command::new(&place.ostler),
        };
        command.arg("serve").arg(&config);
        if setup.kind == Kind::Apache {
            command.arg(setup.heap);
        }
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", setup.kind.name()))?;
        let address = format!("127.0.0.1:{port}");
        let mut server = Self { child, address, place, start_taken: Duration::ZERO };
        server.wait_until_ready().with_context(|| {
            format!("{} does not start; see {}", setup.kind.name(), dir.display())
        })?;
        server.start_taken = started.elapsed();
        Ok(server)
    }

    /// Waits for the first read, or for the end of the server.
    fn wait_until_ready(&mut self) -> Result<()> {
        let mut ready = Command::new(&self.place.ostler)
            .args(["bench", "--workload", "ready", "--server", &self.address])
            .args(["--duration", &PATIENCE.as_secs().to_string()])
            .stdout(Stdio::null())
            .spawn()
            .context("the ostler binary cannot be started")?;
        loop {
            if let Some(status) = ready.try_wait()? {
                ensure!(status.success(), "it serves nothing");
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                ready.kill()?;
                ready.wait()?;
                bail!("it ended with {status}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs `ostler bench` and returns what it found.
    pub(super) fn bench(&self, arguments: &[&str]) -> Result<Figures> {
        let output = Command::new(&self.place.ostler)
            .args(["bench", "--json", "--server", &self.address])
            .args(["--pid", &self.pid().to_string()])
            .args(arguments)
            .stderr(Stdio::inherit())
            .output()
            .context("the ostler binary cannot be started")?;
        ensure!(output.status.success(), "bench {arguments:?} failed");
        let found: Value = serde_json::from_slice(&output.stdout)?;
        let figures = Figures(found);
        if let Some(error) = figures.0.get("first_error") {
            bail!("bench {arguments:?} met an error: {error}");
        }
        Ok(figures)
    }

    /// Resident memory in bytes.
    pub(super) fn resident_bytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.and_then(|line| line.split_ascii_whitespace().next());
        let kb: f64 = kb.context("the server has no memory")?.parse()?;
        Ok(kb * 1024.0)
    }

    /// Ends the server as `zkServer.sh stop` would, and waits until it is gone.
    pub(super) fn stop(mut self) -> Result<()> {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(status.success(), "the server was gone already");
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a bench has found.
pub(super) struct Figures(Value);

impl Figures {
    pub(super) fn number(&self, name: &str) -> Result<f64> {
        let value = self.0.get(name).and_then(Value::as_f64);
        value.with_context(|| format!("the bench tells no {name}: {}", self.0))
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
