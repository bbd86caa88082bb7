//! The bench itself: every workload runs through, counts, and cleans up after itself.

mod common;

use std::process::Command;

use common::{Server, TestDir, connect};
use ostler_cli::raw_client::get_children;

fn bench(server: &Server, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ostler"))
        .args(["bench", "--server", &server.address, "--pid", &server.pid().to_string()])
        .args(arguments)
        .output()
        .expect("the bench can be started");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
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
    let json = bench(&server, &arguments);
    assert!(figure(&json, "rounds") == 3.0, "{json}");
    assert!(figure(&json, "each_p50_us") <= figure(&json, "last_max_us"), "{json}");
    let json = bench(&server, &["--workload", "sessions", "--count", "300", "--json"]);
    assert!(figure(&json, "ops") == 300.0, "{json}");
    let lines = bench(&server, &["--workload", "ready"]);
    assert!(lines.starts_with("ready after"), "{lines}");
    let names = connect(&server).call(&get_children("/", false)).unwrap().ok().unwrap();
    assert_eq!(names.names().unwrap(), ["zookeeper"], "the bench leaves nothing behind");
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
    let output = Command::new(env!("CARGO_BIN_EXE_ostler"))
        .args(["bench", "--server", &address, "--workload", "read"])
        .output()
        .expect("the bench can be started");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&address), "{told}");
}
