//! A server process for tests: the binary that was built with them, on a directory and a port of
//! its own.
//!
//! With `OSTLER_TEST_SERVER` set to another command that understands `serve <zoo.cfg>`, tests run
//! against that one: a way to learn whether their expectations are right.

// Each test file uses another part of this.
#![allow(dead_code, unreachable_pub)]

pub mod ensemble;
pub mod worker;

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ostler_cli::raw_client::{RawClient, SessionRequest, get_data};

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that goes away at the end, unless the test failed.
pub struct TestDir {
    path: PathBuf,
}

impl TestDir {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{count}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // A failed run of a process with the same id may have left it.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory for the test");
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A port that nobody listens on now.
///
/// It lies below those that the operating system hands out by itself, so that no outgoing
/// connection of another test takes it before the server does.
pub fn free_port() -> u16 {
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 15_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let port = u16::try_from(port).expect("the range is one of ports");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("all ports are taken");
}

/// The command that serves.
pub fn serve_command() -> Command {
    let program = std::env::var_os("OSTLER_TEST_SERVER")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_ostler").into());
    let mut command = Command::new(program);
    // Tests read what it logs, whatever the one who runs them wants to see.
    command.arg("serve").env("OSTLER_LOG", "info");
    command
}

/// Whether the tests run against something else than Ostler.
pub fn is_foreign() -> bool {
    std::env::var_os("OSTLER_TEST_SERVER").is_some()
}

/// A configuration file in `dir` for data in `<dir>/data`.
pub fn write_config(dir: &TestDir, port: u16, lines: &[&str]) -> PathBuf {
    let mut text = format!(
        "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
         admin.enableServer=false\n",
        dir.join("data").display()
    );
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    let path = dir.join("zoo.cfg");
    fs::write(&path, text).expect("the configuration can be written");
    path
}

/// A running server. It is killed when this is dropped.
pub struct Server {
    pub child: Child,
    pub address: String,
    log: PathBuf,
}

impl Server {
    /// Starts a server on `<dir>/data` and waits until it serves.
    pub fn start(dir: &TestDir, lines: &[&str]) -> Self {
        Self::start_on(dir, free_port(), lines)
    }

    /// The same, on a given port.
    pub fn start_on(dir: &TestDir, port: u16, lines: &[&str]) -> Self {
        let config = write_config(dir, port, lines);
        let mut server = Self::spawn(dir, &config, port);
        server.wait_until_serving();
        server
    }

    /// Starts a server and does not wait.
    pub fn spawn(dir: &TestDir, config: &Path, port: u16) -> Self {
        Self::spawn_logging(config, port, dir.join("server.log"))
    }

    /// The same with a place for its log.
    pub fn spawn_logging(config: &Path, port: u16, log: PathBuf) -> Self {
        Self::spawn_flagged(config, port, log, "")
    }

    /// The same with flags of the form `-Dname=value` in the environment, where Ostler and a Java
    /// machine both find them.
    pub fn spawn_flagged(config: &Path, port: u16, log: PathBuf, flags: &str) -> Self {
        let output = File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = serve_command();
        if !flags.is_empty() {
            command.env("SERVER_JVMFLAGS", flags).env("JAVA_TOOL_OPTIONS", flags);
        }
        let child = command
            .arg(config)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("the log can be shared"))
            .stderr(output)
            .spawn()
            .expect("the server can be started");
        Self::of(child, port, log)
    }

    /// A process that was started in some other way.
    pub fn of(child: Child, port: u16, log: PathBuf) -> Self {
        Self { child, address: format!("127.0.0.1:{port}"), log }
    }

    fn wait_until_serving(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let error = match first_read(&self.address) {
                Ok(()) => return,
                Err(error) => error,
            };
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                panic!("the server ended with {status} before it served:\n{}", self.log_text());
            }
            assert!(
                Instant::now() < deadline,
                "{} does not serve: {error}\n{}",
                self.address,
                self.log_text()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that the server has said so far.
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends the server as a power failure of its process would.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the child is ours");
    }

    /// Waits for the server to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end:\n{}", self.log_text());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let text = self.log_text();
            let start = text.len().saturating_sub(4000);
            let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("the server's last words:\n{}", &text[start..]);
        }
    }
}

fn first_read(address: &str) -> io::Result<()> {
    let mut client = RawClient::dial(address)?;
    client.set_io_timeout(Duration::from_millis(500))?;
    client.handshake(&SessionRequest::new(10_000))?;
    client.call(&get_data("/", false))?.ok()?;
    client.close_session()?;
    Ok(())
}

/// A connection with a new session.
pub fn connect(server: &Server) -> RawClient {
    let mut client = RawClient::connect(&*server.address, 30_000).expect("the server serves");
    client.set_io_timeout(PATIENCE).expect("a timeout can be set");
    // Something to have seen, so that a resumption carries more than zxid 0.
    client.call(&get_data("/", false)).and_then(|reply| reply.ok()).expect("the root is there");
    client
}

/// Asks again and again until the answer is there.
pub fn poll_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Names and contents of all files below `dir`, for comparing.
pub fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("the directory is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let bytes = fs::read(&path).expect("it can be read");
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    found
}
