//! How the process begins and ends: arguments, what cannot be used, signals.
//!
//! Whatever keeps a server from starting is told in one clear line with an exit status of its own,
//! and leaves the data as they were.

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Server, TestDir, connect, contents, free_port, serve_command, write_config};
use ostler_cli::raw_client::{RawClient, create, exists, get_children, get_data};
use rustix::process::Signal;

/// Ending takes no longer than this, clients or not.
const END_MAX: Duration = Duration::from_secs(5);

/// A data directory that Apache's server has written: two snapshots, two logs.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../disk/tests/golden/plain/version-2");

/// Runs a server that is expected not to start.
fn refused(config: &Path) -> Output {
    let mut child = serve_command()
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server can be started");
    let deadline = Instant::now() + common::PATIENCE;
    common::poll_until("the server gives up", || {
        assert!(Instant::now() < deadline);
        child.try_wait().expect("the child is ours")
    });
    child.wait_with_output().expect("the child is ours")
}

/// Asserts the exit status and that one line of the output names everything of `words`.
fn assert_told(output: &Output, status: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(status), "{text}");
    let told = text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(told, "no line names {words:?}:\n{text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn a_port_in_use_is_named() {
    let dir = TestDir::new("port-in-use");
    let holder = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = holder.local_addr().expect("it is bound").port();
    let output = refused(&write_config(&dir, port, &[]));
    assert_told(&output, 1, &[&port.to_string(), "in use"]);
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let dir = TestDir::new("unusable");
    fs::write(dir.join("data"), "a file where a directory should be").unwrap();
    let output = refused(&write_config(&dir, free_port(), &[]));
    assert_told(&output, 3, &[&dir.join("data").display().to_string()]);
    let text = fs::read_to_string(dir.join("data")).unwrap();
    assert_eq!(text, "a file where a directory should be");
}

#[test]
fn a_missing_data_directory_is_not_made_when_that_is_forbidden() {
    let dir = TestDir::new("no-autocreate");
    let output = refused(&write_config(&dir, free_port(), &["datadir.autocreate=false"]));
    assert_told(&output, 3, &["Missing data directory", "data/version-2"]);
    assert!(!dir.join("data").exists());
}

#[test]
fn a_data_directory_in_use_is_refused_and_its_owner_goes_on() {
    let dir = TestDir::new("locked");
    let owner = Server::start(&dir, &[]);
    let mut client = connect(&owner);
    client.call(&create("/mine", b"", 0)).unwrap().ok().expect("it is new");
    let output = refused(&write_config(&dir, free_port(), &[]));
    assert_told(&output, 3, &["in use", &owner.pid().to_string()]);
    client.call(&create("/still-mine", b"", 0)).unwrap().ok().expect("the owner goes on");
}

#[test]
fn a_wrong_configuration_is_named_with_its_place() {
    let dir = TestDir::new("bad-config");
    let missing = dir.join("nowhere.cfg");
    assert_told(&refused(&missing), 2, &["nowhere.cfg"]);
    for (line, key) in [
        ("tickTime=soon", "tickTime"),
        ("tickTime=0", "tickTime"),
        ("maxClientCnxns=many", "maxClientCnxns"),
        ("localSessionsEnabled=yes", "localSessionsEnabled"),
        ("electionAlg=1", "lectionAlg"),
    ] {
        let config = write_config(&dir, free_port(), &[line]);
        assert_told(&refused(&config), 2, &["zoo.cfg", key]);
    }
    let bounds = ["minSessionTimeout=5000", "maxSessionTimeout=4000"];
    let config = write_config(&dir, free_port(), &bounds);
    assert_told(&refused(&config), 2, &["minSessionTimeout", "maxSessionTimeout"]);
    fs::write(&config, "clientPort=2181\n").unwrap();
    assert_told(&refused(&config), 2, &["dataDir"]);
    assert!(!dir.join("data").exists(), "a wrong configuration makes no directories");
}

/// Copies the golden directory without the files in `without`; then lets `damage` at it.
fn golden(name: &str, without: &[&str], damage: impl FnOnce(&Path)) -> (TestDir, PathBuf) {
    let dir = TestDir::new(name);
    let data = dir.join("data/version-2");
    fs::create_dir_all(&data).unwrap();
    for entry in fs::read_dir(GOLDEN).expect("the golden directory is there") {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        if !without.contains(&file) {
            fs::copy(&path, data.join(file)).unwrap();
        }
    }
    damage(&data);
    let config = write_config(&dir, free_port(), &[]);
    (dir, config)
}

fn flip_byte(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("the file is there");
    bytes[at] ^= 0x10;
    fs::write(path, bytes).expect("the file can be written");
}

#[test]
fn damaged_data_are_refused_and_left_alone() {
    // In the first record, with more behind it: no crash leaves that.
    let in_log = |data: &Path| flip_byte(&data.join("log.3d"), 60);
    let in_snapshot = |data: &Path| flip_byte(&data.join("snapshot.3b"), 200);
    let cut_snapshot = |data: &Path| {
        let file = fs::File::options().write(true).open(data.join("snapshot.3b")).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    };
    for (name, without, damage, words) in [
        ("damaged-log", &[][..], &in_log as &dyn Fn(&Path), &["log.3d"][..]),
        ("damaged-snapshot", &["snapshot.0", "log.1"], &in_snapshot, &["snapshot.3b"]),
        ("cut-snapshot", &["snapshot.0", "log.1"], &cut_snapshot, &["snapshot.3b"]),
        ("missing-log", &["snapshot.3b", "log.1"], &|_: &Path| {}, &["log.3d", "missing"]),
    ] {
        let (dir, config) = golden(name, without, damage);
        let files = || {
            let mut files = contents(&dir.join("data"));
            files.retain(|(path, _)| !path.ends_with("ostler.lock"));
            files
        };
        let before = files();
        assert_told(&refused(&config), 1, words);
        assert_eq!(before, files(), "{name}: the data were touched");
    }
    // Undamaged, the same data are served.
    let (dir, _) = golden("undamaged", &[], |_| {});
    let server = Server::start(&dir, &[]);
    let names = connect(&server).call(&get_children("/", false)).unwrap().ok().unwrap();
    assert!(names.names().unwrap().len() > 1);
}

#[test]
fn signals_end_a_server_soon_and_cleanly() {
    let dir = TestDir::new("signals");
    let port = free_port();
    for (round, signal) in [Signal::TERM, Signal::INT, Signal::TERM].into_iter().enumerate() {
        let mut server = Server::start_on(&dir, port, &[]);
        let mut clients: Vec<_> = (0..20).map(|_| connect(&server)).collect();
        let path = format!("/round{round}");
        clients[0].call(&create(&path, b"kept", 0)).unwrap().ok().expect("it is new");
        for client in &mut clients {
            client.call(&get_data(&path, true)).unwrap().ok().expect("it is there");
        }
        let asked = Instant::now();
        server.signal(signal);
        let status = server.wait();
        assert!(asked.elapsed() < END_MAX, "{signal:?} took {:?}", asked.elapsed());
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", server.log_text());
        for mut client in clients {
            assert!(client.receive_until_closed().expect("the connection ends").is_empty());
        }
        let log = server.log_text();
        assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    }
    let server = Server::start_on(&dir, port, &[]);
    let mut client = connect(&server);
    for round in 0..3 {
        let path = format!("/round{round}");
        client.call(&exists(&path, false)).unwrap().ok().expect("what was acknowledged is kept");
    }
}

#[test]
fn a_port_and_a_directory_are_configuration_enough() {
    let dir = TestDir::new("short-form");
    let port = free_port();
    let mut child = serve_command()
        .args(["-Dzookeeper.admin.enableServer=false", &port.to_string()])
        .arg(dir.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server can be started");
    let mut client =
        common::poll_until("it serves", || RawClient::connect(("127.0.0.1", port), 10_000).ok());
    client.call(&get_data("/", false)).unwrap().ok().expect("the root is there");
    child.kill().expect("the child is ours");
    child.wait().expect("the child is ours");
    assert!(dir.join("data/version-2").is_dir());
}

#[test]
fn the_command_line_explains_itself() {
    for (arguments, status, word) in [
        (&["--version"][..], 0, concat!("ostler ", env!("CARGO_PKG_VERSION"))),
        (&["version"], 0, concat!("ostler ", env!("CARGO_PKG_VERSION"))),
        (&["--help"], 0, "serve"),
        (&["serve", "--help"], 0, "zoo.cfg"),
        (&["bench", "--help"], 0, "--connections"),
        (&["nonsense"], 2, "nonsense"),
        (&["bench", "--depth", "0"], 1, "--depth"),
        (&[], 2, "Usage"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ostler")).args(arguments).output().unwrap();
        assert_told(&output, status, &[word]);
    }
}
