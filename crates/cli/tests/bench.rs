//! The bench itself: every workload runs through, counts, and cleans up after itself.

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::ensemble::four_letter_word;
use common::{PATIENCE, Server, TestDir, connect};
use ostler_cli::process::ignores_signal;
use ostler_cli::raw_client::get_children;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn bench(server: &Server, arguments: &[&str]) -> String {
    let pid = server.pid().to_string();
    run(&[&["--server", &server.address, "--pid", &pid], arguments].concat())
}

/// What a bench says that goes well.
fn run(arguments: &[&str]) -> String {
    let output = output(arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a bench complains about.
fn complaint(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert!(!output.status.success(), "{arguments:?} is not refused");
    String::from_utf8(output.stderr).unwrap()
}

fn output(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostler"));
    command.arg("bench").args(arguments).output().expect("the bench can be started")
}

/// Times that are long enough to count something.
const SHORT: &[&str] = &["--duration", "0.3", "--warmup", "0.1"];

fn assert_empty(server: &Server) {
    let names = connect(server).call(&get_children("/", false)).unwrap().ok().unwrap();
    assert_eq!(names.names().unwrap(), ["zookeeper"], "the bench leaves nothing behind");
}

/// A stub, which is killed when this is dropped.
struct Stub {
    child: Child,
    address: String,
}

impl Stub {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ostler"))
            .args(["bench", "--stub", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the stub can be started");
        let mut line = String::new();
        let told = child.stdout.take().expect("it is piped");
        BufReader::new(told).read_line(&mut line).expect("it tells where it listens");
        Self { child, address: line.trim().to_owned() }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A figure of a flat JSON object.
fn figure(json: &str, name: &str) -> f64 {
    let (_, rest) = json.split_once(&format!("\"{name}\": ")).unwrap_or_else(|| panic!("{json}"));
    rest.split([',', '}']).next().unwrap().parse().unwrap_or_else(|_| panic!("{name} in {json}"))
}

#[test]
fn every_workload_runs_and_leaves_nothing() {
    let dir = TestDir::new("bench");
    let server = Server::start(&dir, &[]);
    for workload in ["read", "write", "mixed", "create"] {
        let json = bench(
            &server,
            &["--workload", workload, "--duration", "0.3", "--warmup", "0.1", "--threads", "2"]
                .into_iter()
                .chain(["--keys", "50", "--connections", "4", "--depth", "5", "--json"])
                .collect::<Vec<_>>(),
        );
        assert!(figure(&json, "errors") == 0.0, "{json}");
        assert!(figure(&json, "ops") > 100.0, "{json}");
        assert!(figure(&json, "p50_us") <= figure(&json, "p99_us"), "{json}");
        assert!(figure(&json, "server_resident_bytes") > 1e6, "{json}");
    }
    let json = bench(&server, &["--workload", "fill", "--count", "2000", "--json"]);
    assert!(figure(&json, "ops") == 2000.0 && figure(&json, "errors") == 0.0, "{json}");
    let arguments = ["--workload", "fanout", "--connections", "50", "--rounds", "3", "--json"];
    let json = bench(&server, &[&arguments, SHORT].concat());
    assert!(figure(&json, "rounds") == 3.0, "{json}");
    assert!(figure(&json, "each_p50_us") <= figure(&json, "last_max_us"), "{json}");
    let json = bench(&server, &["--workload", "sessions", "--count", "300", "--json"]);
    assert!(figure(&json, "ops") == 300.0, "{json}");
    let lines = bench(&server, &["--workload", "ready"]);
    assert!(lines.starts_with("ready after"), "{lines}");
    assert_empty(&server);
}

#[test]
fn a_rate_is_kept_and_keep_keeps() {
    let dir = TestDir::new("bench-rate");
    let server = Server::start(&dir, &[]);
    let json = bench(
        &server,
        &["--workload", "write", "--rate", "2000", "--duration", "1", "--warmup", "0.2"]
            .into_iter()
            .chain(["--keys", "10", "--keep", "--json"])
            .collect::<Vec<_>>(),
    );
    let rate = figure(&json, "ops_per_s");
    assert!((1500.0..=2100.0).contains(&rate), "{json}");
    let names = connect(&server).call(&get_children("/", false)).unwrap().ok().unwrap();
    assert_eq!(names.names().unwrap().len(), 2, "the root of the bench is kept");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let port = common::free_port();
    let address = format!("127.0.0.1:{port}");
    let output = output(&["--server", &address, "--workload", "read"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&address), "{told}");
}

#[test]
fn named_workloads_bring_their_numbers_and_options_change_them() {
    let dir = TestDir::new("bench-named");
    let server = Server::start(&dir, &[]);
    let quick = [SHORT, &["--json"]].concat();
    let json = bench(&server, &[&["--workload", "reads-200x1"], &quick[..]].concat());
    let numbers = ["connections", "depth", "size_bytes"].map(|name| figure(&json, name));
    assert_eq!(numbers, [200.0, 1.0, 100.0], "{json}");
    let json = bench(
        &server,
        &[&["--workload", "reads-200x1", "--connections", "3", "--size", "0"], &quick[..]].concat(),
    );
    let numbers = ["connections", "depth", "size_bytes"].map(|name| figure(&json, name));
    assert_eq!(numbers, [3.0, 1.0, 0.0], "{json}");
    assert!(figure(&json, "ops") > 0.0 && figure(&json, "errors") == 0.0, "{json}");
    let list = run(&["--list"]);
    assert!(list.contains("reads-200x1") && list.contains("200 x 1"), "{list}");
    assert!(complaint(&["--workload", "reed"]).contains("reads-pipelined"));
    assert_empty(&server);
}

#[test]
fn the_mix_counts_each_kind_and_makes_no_errors() {
    let dir = TestDir::new("bench-mix");
    let server = Server::start(&dir, &[]);
    let arguments = ["--workload", "mix", "--keys", "500", "--parents", "5", "--json"];
    let json = bench(&server, &[&arguments, &["--duration", "1", "--warmup", "0.1"][..]].concat());
    assert!(figure(&json, "errors") == 0.0, "{json}");
    for kind in ["read", "write", "get", "list", "set", "create", "delete"] {
        assert!(figure(&json, &format!("{kind}_p50_us")) > 0.0, "{json}");
    }
    assert_empty(&server);
}

#[test]
fn sessions_are_closed_and_not_left_to_expire() {
    let dir = TestDir::new("bench-sessions");
    let server = Server::start(&dir, &["4lw.commands.whitelist=*"]);
    for workload in ["read", "fanout", "sessions"] {
        let arguments = ["--workload", workload, "--connections", "7", "--rounds", "2"];
        bench(&server, &[&arguments, SHORT].concat());
        let told = four_letter_word(&server.address, "mntr").expect("the word is allowed");
        let line = told.lines().find(|line| line.starts_with("zk_global_sessions"));
        assert_eq!(line, Some("zk_global_sessions\t0"), "after {workload}: {told}");
    }
}

#[test]
fn an_open_loop_counts_from_when_requests_were_due() {
    let dir = TestDir::new("bench-open");
    let server = Server::start(&dir, &[]);
    let arguments = ["--workload", "write", "--connections", "1", "--depth", "1", "--json"];
    // More than one request at a time can be: most of them wait, and that is counted.
    let rate = ["--rate", "1000000", "--duration", "1", "--warmup", "0"];
    let json = bench(&server, &[&arguments[..], &rate].concat());
    assert!(json.contains("\"loop\": \"open\""), "{json}");
    assert!(figure(&json, "rate_asked") == 1e6, "{json}");
    assert!(figure(&json, "not_issued") > 0.0, "{json}");
    let (ops, not_issued) = (figure(&json, "ops"), figure(&json, "not_issued"));
    assert!((999_000.0..=1_001_000.0).contains(&(ops + not_issued)), "{json}");
    // The last of them were due long before: half of the time on average.
    assert!(figure(&json, "p50_us") > 100_000.0, "{json}");
    let told = complaint(&["--rate", "5", "--correct-us", "10"]);
    assert!(told.contains("--correct-us"), "{told}");
    let told = complaint(&["--workload", "writes-paced", "--correct-us", "10"]);
    assert!(told.contains("--correct-us"), "{told}");
}

#[test]
fn a_correction_adds_what_was_kept_away() {
    let dir = TestDir::new("bench-correct");
    let server = Server::start(&dir, &[]);
    let arguments = ["--workload", "write", "--connections", "1", "--depth", "1", "--json"];
    let json = bench(&server, &[&arguments, SHORT, &["--correct-us", "1"]].concat());
    assert!(figure(&json, "errors") == 0.0 && figure(&json, "p50_us") > 0.0, "{json}");
}

#[test]
fn the_use_of_several_servers_is_summed() {
    let dirs = [TestDir::new("bench-sum"), TestDir::new("bench-sum")];
    let servers = dirs.each_ref().map(|dir| Server::start(dir, &[]));
    let addresses = servers.each_ref().map(|server| &*server.address).join(",");
    let pids = servers.each_ref().map(|server| server.pid().to_string());
    let load = ["--workload", "sessions", "--count", "20", "--json", "--server", &addresses];
    let resident = |pids: &str| {
        let json = run(&[&load, &["--pid", pids][..]].concat());
        assert!(figure(&json, "ops") == 20.0 && figure(&json, "errors") == 0.0, "{json}");
        figure(&json, "server_resident_bytes")
    };
    let [one, other] = pids.each_ref().map(|pid| resident(pid));
    assert!(resident(&pids.join(",")) > 1.5 * one.min(other));
    let told = complaint(&[&load[..], &["--pid", "4294967295"]].concat());
    assert!(told.contains("cannot look at process 4294967295"), "{told}");
}

#[test]
fn two_servers_are_compared_in_turn() {
    let dir = TestDir::new("bench-compare");
    let server = Server::start(&dir, &[]);
    let stub = Stub::start(&["--size", "100"]);
    let pid = stub.child.id().to_string();
    let compare = ["--compare", &stub.address, "--compare-pid", &pid, "--compare-rounds", "2"];
    let load = ["--workload", "reads-1x1"];
    let json = bench(&server, &[&load, SHORT, &compare, &["--json"]].concat());
    let found: Value = serde_json::from_str(&json).expect("it is JSON");
    let rate = |side: &str| found[side]["ops_per_s"].as_f64().expect("a rate");
    let factor = found["factor"]["ops_per_s"].as_f64().expect("a factor");
    assert!((factor - rate("server") / rate("compare")).abs() < 0.01, "{json}");
    for rates in ["server_ops_per_s", "compare_ops_per_s"] {
        assert_eq!(found[rates].as_array().map(Vec::len), Some(2), "{json}");
    }
    assert_eq!(found["server"]["server"], server.address.as_str());
    assert_eq!(found["compare"]["server"], stub.address.as_str());
    let text = bench(&server, &[&load, SHORT, &compare].concat());
    assert!(text.contains("p99.9 µs") && text.contains("factor"), "{text}");
    assert_empty(&server);
    let ready = ["--workload", "ready", "--compare", "127.0.0.1:1"];
    assert!(complaint(&ready).contains("readiness cannot be compared"));
}

#[test]
fn the_stub_answers_every_steady_load() {
    let stub = Stub::start(&["--size", "100"]);
    for workload in ["reads-pipelined", "writes-pipelined", "creates", "mix", "third-writes"] {
        let load = ["--server", &stub.address, "--workload", workload, "--json"];
        let json = run(&[&load, SHORT].concat());
        assert!(figure(&json, "ops") > 0.0 && figure(&json, "errors") == 0.0, "{json}");
    }
    let load = ["--server", &stub.address, "--workload", "sessions", "--count", "50", "--json"];
    assert!(figure(&run(&load), "ops") == 50.0);
    assert!(run(&["--server", &stub.address, "--workload", "ready"]).starts_with("ready after"));
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    for (option, value) in [
        ("--connections", "0"),
        ("--depth", "0"),
        ("--depth", "1000000000"),
        ("--keys", "0"),
        ("--parents", "0"),
        ("--parents", "10000"),
        ("--size", "1000000000000"),
        ("--read-ratio", "1.5"),
        ("--rate", "0"),
        ("--rate", "nan"),
        ("--threads", "0"),
        ("--duration", "0"),
        ("--duration", "inf"),
        ("--warmup", "-1"),
        ("--spin", "10001"),
        ("--correct-us", "0"),
        ("--compare-rounds", "0"),
    ] {
        let told = complaint(&[&format!("{option}={value}")]);
        assert!(told.contains(option) && !told.contains("panicked"), "{option} {value}: {told}");
    }
}

/// A bench under way that was told to work for a minute.
fn long_load(server: &Server, workload: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ostler"))
        .args(["bench", "--server", &server.address, "--workload", workload])
        .args(["--duration", "60", "--count", "100000000", "--rounds", "100000000"])
        .args(["--connections", "10", "--warmup", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the bench can be started")
}

/// What Ctrl-C sends; a shell lets what it starts in the background ignore that.
fn interrupt() -> Signal {
    if ignores_signal(Signal::INT.as_raw()) { Signal::TERM } else { Signal::INT }
}

fn tell_to_end(bench: &Child, signal: Signal) {
    kill_process(Pid::from_child(bench), signal).expect("the child is ours");
}

/// Waits until the bench writes below its root.
fn wait_for_work(server: &Server) {
    let mut client = connect(server);
    let mut names = |path: &str| {
        let reply = client.call(&get_children(path, false)).expect("it serves");
        reply.ok().and_then(|reply| reply.names()).unwrap_or_default()
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let roots = names("/");
        let root = roots.iter().find(|name| name.starts_with("ostler-bench-"));
        let parent = root.map(|root| format!("/{root}/p0000"));
        if parent.is_some_and(|parent| !names(&parent).is_empty()) {
            return;
        }
        assert!(Instant::now() < deadline, "the bench does not begin");
    }
}

#[test]
fn a_load_that_is_told_to_end_leaves_nothing() {
    let dir = TestDir::new("bench-end");
    let server = Server::start(&dir, &["4lw.commands.whitelist=*"]);
    for (workload, signal) in [
        ("read", interrupt()),
        ("create", Signal::TERM),
        ("fill", interrupt()),
        ("fanout", interrupt()),
    ] {
        let bench = long_load(&server, workload);
        wait_for_work(&server);
        tell_to_end(&bench, signal);
        let output = bench.wait_with_output().expect("the child is ours");
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{workload}: {told}");
        assert!(told.contains("interrupted") && !told.contains("removed"), "{workload}: {told}");
        assert_empty(&server);
    }
}

#[test]
fn a_load_that_is_told_twice_ends_at_once() {
    let dir = TestDir::new("bench-twice");
    let server = Server::start(&dir, &[]);
    let mut bench = long_load(&server, "write");
    wait_for_work(&server);
    // It answers nothing from now on, and the load would wait for that.
    server.signal(Signal::STOP);
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        tell_to_end(&bench, interrupt());
        if let Some(status) = bench.try_wait().expect("the child is ours") {
            break status;
        }
        assert!(Instant::now() < deadline, "it waits for the server");
    };
    server.signal(Signal::CONT);
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_load_that_looks_again_counts_the_same() {
    let dir = TestDir::new("bench-spin");
    let server = Server::start(&dir, &[]);
    for workload in ["reads-1x1", "fanout"] {
        let load = ["--workload", workload, "--rounds", "5", "--spin", "100", "--json"];
        let json = bench(&server, &[&load, SHORT].concat());
        assert!(figure(&json, "ops") > 0.0 && figure(&json, "errors") == 0.0, "{json}");
        assert!(figure(&json, "spin_us") == 100.0, "{json}");
    }
    assert_empty(&server);
}
