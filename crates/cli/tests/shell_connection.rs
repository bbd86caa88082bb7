//! How `ostler shell` finds, keeps and leaves its servers; `zkCli.sh` in front of it.

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, Server, TestDir, free_port};

const OSTLER: &str = env!("CARGO_BIN_EXE_ostler");

fn start(name: &str) -> (TestDir, Server) {
    let dir = TestDir::new(name);
    let server = Server::start(&dir, &[]);
    (dir, server)
}

/// Runs `ostler shell` with these arguments: exit code and what it said.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(OSTLER)
        .arg("shell")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the shell runs");
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("text"),
        String::from_utf8(output.stderr).expect("text"),
    )
}

#[test]
fn without_a_server_a_command_fails_soon() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let (code, out, err) = run(&["-server", &nobody, "ls", "/"]);
    assert_eq!((code, out), (Some(1), format!("Connecting to {nobody}\n")));
    assert!(err.ends_with("KeeperErrorCode = ConnectionLoss for /\n"), "{err}");
    assert!(err.contains(&nobody), "{err}");
    let (code, _, err) = run(&["-server", &nobody, "-waitforconnection", "-timeout", "500"]);
    assert_eq!(code, Some(1));
    assert!(err.ends_with("KeeperErrorCode = ConnectionLoss\n"), "{err}");
}

#[test]
fn one_of_several_servers_is_enough() {
    let (_dir, server) = start("shell-several");
    let servers = format!("127.0.0.1:{},{}", free_port(), server.address);
    let (code, out, _) = run(&["-server", &servers, "-waitforconnection", "ls", "/"]);
    assert_eq!(code, Some(0));
    assert!(out.ends_with("[zookeeper]\n"), "{out}");
}

#[test]
fn wrong_settings_are_said_in_a_line() {
    let (code, _, err) = run(&["-client-configuration", "/no/such/file", "ls", "/"]);
    assert_eq!(code, Some(2));
    assert!(err.starts_with("Error processing /no/such/file"), "{err}");
    let (code, _, err) = run(&["-timeout", "soon", "ls", "/"]);
    assert_eq!((code, err.as_str()), (Some(1), "-timeout soon is no number of milliseconds\n"));
}

#[test]
fn properties_come_from_a_file_and_from_the_environment() {
    let (dir, server) = start("shell-properties");
    let file = dir.join("client.properties");
    std::fs::write(&file, "zookeeper.request.timeout = 20000\n").unwrap();
    let file = file.display().to_string();
    let (code, _, err) =
        run(&["-server", &server.address, "-client-configuration", &file, "ls", "/"]);
    assert_eq!(code, Some(0), "{err}");
    let output = Command::new(OSTLER)
        .args(["shell", "-server", &server.address, "ls", "/"])
        .env("CLIENT_JVMFLAGS", "-Dzookeeper.client.secure=true")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_script_runs_the_shell() {
    let (_dir, server) = start("shell-script");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/zkCli.sh");
    let output = Command::new(script)
        .args(["-server", &server.address, "create", "/from the script", "it's"])
        .env("OSTLER", OSTLER)
        .output()
        .expect("the script runs");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "Created /from the script\n");
    let (_, out, _) = run(&["-server", &server.address, "get", "/from the script"]);
    assert!(out.ends_with("\nit's\n"), "{out}");
}

#[test]
fn a_shell_goes_on_after_its_server_was_away() {
    let (dir, mut server) = start("shell-reconnect");
    let port = server.address.rsplit(':').next().unwrap().parse().unwrap();
    let mut shell = Session::start(&server.address);
    shell.type_line("create -e /here");
    shell.type_line("getEphemerals");
    shell.expect("[/here]");
    server.kill();
    shell.expect("WatchedEvent state:Disconnected type:None path:null zxid: -1");
    let _server = Server::start_on(&dir, port, &[]);
    shell.expect("WatchedEvent state:SyncConnected type:None path:null zxid: -1");
    shell.type_line("getEphemerals");
    shell.expect("[/here]");
    assert_eq!(shell.end(), Some(0));
}

#[test]
fn a_stream_of_events_outlives_its_connection_and_ends_when_it_has_seen_enough() {
    let (dir, mut server) = start("shell-stream");
    let port = server.address.rsplit(':').next().unwrap().parse().unwrap();
    let mut shell = Session::start(&server.address);
    shell.type_line("watch -R -n 2 /");
    shell.type_line("ls /none");
    shell.await_watch(&server.address);
    server.kill();
    shell.expect("WatchedEvent state:Disconnected type:None path:null zxid: -1");
    let server = Server::start_on(&dir, port, &[]);
    shell.expect("WatchedEvent state:SyncConnected type:None path:null zxid: -1");
    shell.await_watch(&server.address);
    assert_eq!(shell.end(), Some(1));
}

#[test]
fn a_signal_ends_the_session_too() {
    let (_dir, server) = start("shell-signal");
    let mut shell = Session::start(&server.address);
    shell.type_line("create -e /here");
    shell.type_line("watch -R /");
    shell.await_watch(&server.address);
    // Not SIGINT: whoever runs the tests in the background has it ignored, and so has the shell.
    shell.signal("TERM");
    assert_eq!(shell.wait(), Some(143));
    let (_, out, _) = run(&["-server", &server.address, "getEphemerals", "/"]);
    assert!(out.ends_with("[]\n"), "{out}");
    let (_, out, _) = run(&["-server", &server.address, "ls", "/"]);
    assert!(!out.contains("here,"), "{out}");
}

/// A number that is another one each time.
fn unique_number() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_nanos())
}

/// A shell that is fed line by line.
struct Session {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Session {
    fn start(server: &str) -> Self {
        let mut child = Command::new(OSTLER)
            .args(["shell", "-server", server])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the shell starts");
        let out: ChildStdout = child.stdout.take().expect("a pipe");
        let (sender, lines) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn type_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("the shell reads");
    }

    fn expect(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(deadline - Instant::now()) {
            if line == wanted {
                return;
            }
        }
        panic!("the shell never said {wanted}");
    }

    /// Changes something from elsewhere until the watch tells of it.
    fn await_watch(&self, server: &str) {
        let deadline = Instant::now() + PATIENCE;
        for count in 0.. {
            assert!(Instant::now() < deadline, "the watch tells nothing");
            // Nobody else of this test has created it.
            let path = format!("/change-{}-{count}", unique_number());
            run(&["-server", server, "create", &path]);
            let wanted = format!("NodeCreated {path} ");
            while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(100)) {
                if line.starts_with(&wanted) {
                    return;
                }
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("the shell ends").code()
    }

    fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.wait()
    }
}
