//! `bin/zkServer.sh`, as init scripts and people call it: what it prints and how it exits.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use common::{TestDir, free_port, is_foreign, poll_until, write_config};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bin/zkServer.sh");

#[test]
fn a_server_is_started_asked_and_stopped() {
    if is_foreign() {
        // The script starts the binary that it finds.
        return;
    }
    let dir = TestDir::new("script");
    let port = free_port();
    let config = write_config(&dir, port, &[]);
    let found =
        format!("Client port found: {port}. Client address: 127.0.0.1. Client SSL: false.\n");
    let not_running = format!("{found}Error contacting service. It is probably not running.\n");
    assert_prints(&run(&dir, "status", &config), 1, &not_running);
    assert_prints(&run(&dir, "start", &config), 0, "Starting zookeeper ... STARTED\n");
    let running = Running(dir.join("data/zookeeper_server.pid"));
    let pid = running.pid().expect("a pid without a newline");
    let again = format!("Starting zookeeper ... already running as process {pid}.\n");
    assert_prints(&run(&dir, "start", &config), 1, &again);
    let status = poll_until("the server serves", || {
        Some(run(&dir, "status", &config)).filter(|status| status.status.success())
    });
    assert_prints(&status, 0, &format!("{found}Mode: standalone\n"));
    assert_prints(&run(&dir, "stop", &config), 0, "Stopping zookeeper ... STOPPED\n");
    poll_until("the server has ended", || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    let file = dir.join("data/zookeeper_server.pid").display().to_string();
    let nothing =
        format!("Stopping zookeeper ... no zookeeper to stop (could not find file {file})\n");
    assert_prints(&run(&dir, "stop", &config), 0, &nothing);
}

#[test]
fn status_tells_the_role_of_a_member_wherever_its_client_port_is_written() {
    for (host, address) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")] {
        let Ok(listener) = TcpListener::bind(format!("{host}:0")) else {
            // Without IPv6 there is nothing to test here.
            continue;
        };
        let port = listener.local_addr().expect("it is bound").port();
        answer_srvr(listener, "Node count: 5\nMode: observer\nZxid: 0x0\n", 2);
        let dir = TestDir::new("script-member");
        let data = dir.join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("myid"), "2\n").unwrap();
        let members = format!(
            "server.1=127.0.0.1:1:2;127.0.0.1:3\nserver.2=127.0.0.1:4:5:observer;{host}:{port}\n"
        );
        let config = dir.join("zoo.cfg");
        let found =
            format!("Client port found: {port}. Client address: {address}. Client SSL: false.");
        fs::write(&config, format!("dataDir={}\n{members}", data.display())).unwrap();
        let expected = format!("{found}\nMode: observer\n");
        assert_prints(&run(&dir, "status", &config), 0, &expected);

        let dynamic = dir.join("zoo.cfg.dynamic");
        fs::write(&dynamic, members).unwrap();
        let text = format!("dataDir={}\ndynamicConfigFile={}\n", data.display(), dynamic.display());
        fs::write(&config, text).unwrap();
        let searching =
            "Client port not found in static config file. Looking in dynamic config file.\n";
        assert_prints(&run(&dir, "status", &config), 0, &format!("{searching}{expected}"));
    }
}

#[test]
fn status_of_a_member_without_a_leader_is_that_of_no_server() {
    let dir = TestDir::new("script-lonely");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let text = "This ZooKeeper instance is not currently serving requests\n";
    answer_srvr(listener, text, 1);
    let config = write_config(&dir, port, &[]);
    let expected = format!(
        "Client port found: {port}. Client address: 127.0.0.1. Client SSL: false.\n\
         Error contacting service. It is probably not running.\n"
    );
    assert_prints(&run(&dir, "status", &config), 1, &expected);
}

#[test]
fn what_needs_no_server() {
    let dir = TestDir::new("script-words");
    let config = write_config(&dir, 1, &[]);
    let expected =
        format!("\"{}\" \"serve\" \"{}\" \n", env!("CARGO_BIN_EXE_ostler"), config.display());
    assert_prints(&run(&dir, "print-cmd", &config), 0, &expected);
    let version = run(&dir, "version", &config);
    assert!(stdout(&version).starts_with("Apache ZooKeeper, version 3.9.5 "));
    let unknown = run(&dir, "upgrade", &config);
    assert_prints(&unknown, 0, "");
    let told = String::from_utf8_lossy(&unknown.stderr);
    let usage = "[--config <conf-dir>] \
                 {start|start-foreground|stop|version|restart|status|print-cmd}\n";
    assert!(told.ends_with(usage), "{told}");
}

/// Ends the server of a test that failed.
struct Running(std::path::PathBuf);

impl Running {
    fn pid(&self) -> Option<rustix::process::Pid> {
        let text = fs::read_to_string(&self.0).ok()?;
        rustix::process::Pid::from_raw(text.parse().ok()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn run(dir: &TestDir, command: &str, config: &Path) -> Output {
    Command::new("bash")
        .args([SCRIPT, command])
        .arg(config)
        .env("OSTLER", env!("CARGO_BIN_EXE_ostler"))
        .env("ZOO_LOG_DIR", dir.join("logs"))
        .env("ZOOCFGDIR", dir.path())
        .env_remove("ZOOPIDFILE")
        .env_remove("ZOO_DATADIR_AUTOCREATE_DISABLE")
        .output()
        .expect("bash can be started")
}

/// Answers so many connections with a text, as a server does whose role a test chooses.
fn answer_srvr(listener: TcpListener, text: &'static str, connections: usize) {
    thread::spawn(move || {
        for _ in 0..connections {
            let (mut stream, _): (_, SocketAddr) = listener.accept().expect("a connection");
            let mut word = [0; 4];
            stream.read_exact(&mut word).expect("a word");
            assert_eq!(&word, b"srvr");
            stream.write_all(text.as_bytes()).expect("the answer is taken");
        }
    });
}

fn assert_prints(output: &Output, code: i32, expected: &str) {
    assert_eq!(stdout(output), expected);
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
