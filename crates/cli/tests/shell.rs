//! `ostler shell` against a real server: one command at a time, and lines from a pipe.
//!
//! What is asserted here is what scripts rely on: streams, texts, exit codes. That all of it is as
//! with Apache's shell is shown by `interop/shell/compare`.

mod common;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use common::{Server, TestDir};

/// What a run of the shell left.
struct Run {
    out: String,
    err: String,
    code: Option<i32>,
}

fn shell(server: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostler"));
    command.args(["shell", "-server", server]).stdin(Stdio::null());
    command
}

/// Runs one command.
fn once(server: &Server, words: &[&str]) -> Run {
    read(&shell(&server.address).args(words).output().expect("the shell runs"))
}

/// Runs lines.
fn piped(server: &str, lines: &[&str]) -> Run {
    let mut child = shell(server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the shell starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    for line in lines {
        writeln!(stdin, "{line}").expect("the shell reads");
    }
    drop(stdin);
    read(&child.wait_with_output().expect("the shell ends"))
}

/// Takes the greeting and the events of the connection out.
fn read(output: &Output) -> Run {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    let rest = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("Connecting to ") => rest,
        _ => &text,
    };
    let mut out = rest.replace("Welcome to ZooKeeper!\nJLine support is disabled\n", "");
    for state in ["SyncConnected", "Closed"] {
        let event =
            format!("\nWATCHER::\n\nWatchedEvent state:{state} type:None path:null zxid: -1\n");
        out = out.replace(&event, "");
    }
    let err = String::from_utf8(output.stderr.clone()).expect("text");
    Run { out, err, code: output.status.code() }
}

fn start(name: &str) -> (TestDir, Server) {
    let dir = TestDir::new(name);
    let server = Server::start(&dir, &[]);
    (dir, server)
}

#[test]
fn a_command_given_as_arguments_is_run_once() {
    let (_dir, server) = start("shell-once");
    let created = once(&server, &["create", "/a", "two words"]);
    assert_eq!((created.out.as_str(), created.err.as_str()), ("", "Created /a\n"));
    assert_eq!(created.code, Some(0));
    let got = once(&server, &["get", "/a"]);
    assert_eq!((got.out.as_str(), got.err.as_str(), got.code), ("two words\n", "", Some(0)));
    let missing = once(&server, &["get", "/b"]);
    assert_eq!(missing.out, "");
    assert_eq!((missing.err.as_str(), missing.code), ("Node does not exist: /b\n", Some(1)));
    let unknown = once(&server, &["frobnicate"]);
    assert!(unknown.err.starts_with("ZooKeeper -server host:port"), "{}", unknown.err);
    assert!(unknown.err.ends_with("Command not found: Command not found frobnicate\n"));
    assert_eq!(unknown.code, Some(127));
}

#[test]
fn the_session_of_one_command_ends_with_it() {
    let (_dir, server) = start("shell-session");
    assert_eq!(once(&server, &["create", "-e", "/gone"]).code, Some(0));
    assert_eq!(once(&server, &["ls", "/"]).out, "[zookeeper]\n");
}

#[test]
fn lines_from_a_pipe_share_a_session_and_the_last_code_counts() {
    let (_dir, server) = start("shell-piped");
    let run = piped(
        &server.address,
        &[
            "create -e /mine x",
            "getEphemerals",
            "create -s /s- \"a b\"",
            "ls /",
            "get /s-0000000001",
            "set -v 3 /mine y",
            "history",
        ],
    );
    assert_eq!(
        run.out,
        "[/mine]\n[mine, s-0000000001, zookeeper]\na b\n0 - create -e /mine x\n\
         1 - getEphemerals\n2 - create -s /s- \"a b\"\n3 - ls /\n4 - get /s-0000000001\n\
         5 - set -v 3 /mine y\n6 - history\n"
    );
    assert_eq!(run.err, "Created /mine\nCreated /s-0000000001\nversion No is not valid : /mine\n");
    assert_eq!(run.code, Some(0));
    assert_eq!(piped(&server.address, &["ls /", "ls /none", "quit", "ls /"]).code, Some(1));
    assert_eq!(piped(&server.address, &["ls /none", "exit"]).code, Some(1));
}

#[test]
fn watches_are_told_between_the_results() {
    let (_dir, server) = start("shell-watches");
    let run = piped(
        &server.address,
        &[
            "create /w",
            "get -w /w",
            "set /w x",
            "addWatch /w",
            "create /w/c",
            "removewatches /w",
            "removewatches /w",
        ],
    );
    let events: Vec<&str> =
        run.out.lines().filter_map(|line| line.strip_prefix("WatchedEvent state:")).collect();
    let types: Vec<&str> =
        events.iter().map(|event| event.rsplit_once(" zxid").map_or(*event, |e| e.0)).collect();
    assert_eq!(
        types,
        [
            "SyncConnected type:NodeDataChanged path:/w",
            "SyncConnected type:NodeCreated path:/w/c",
            "SyncConnected type:PersistentWatchRemoved path:/w",
        ]
    );
    assert!(run.err.ends_with("KeeperErrorCode = No such watcher for /w\n"), "{}", run.err);
    assert_eq!(run.code, Some(1));
}

#[test]
fn a_chroot_is_seen_as_the_root() {
    let (_dir, server) = start("shell-chroot");
    once(&server, &["create", "/app"]);
    let run = piped(&format!("{}/app", server.address), &["create /a x", "ls /", "ls -R /"]);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("[a]\n/\n/a\n", "Created /a\n"));
    assert_eq!(once(&server, &["get", "/app/a"]).out, "x\n");
}

#[test]
fn a_failed_deleteall_is_a_failure() {
    let (_dir, server) = start("shell-deleteall");
    let lines = ["create /d", "create /d/1", "create /d/1/2", "create /d/3", "deleteall /d -b 1"];
    assert_eq!(piped(&server.address, &lines).code, Some(0));
    assert_eq!(once(&server, &["ls", "/"]).out, "[zookeeper]\n");
    let refused = once(&server, &["deleteall", "/zookeeper"]);
    assert_eq!(refused.err, "Failed to delete some node(s) in the subtree!\n");
    assert_eq!(refused.code, Some(1));
}

#[test]
fn trees_are_drawn_and_measured() {
    let (_dir, server) = start("shell-trees");
    let run = piped(
        &server.address,
        &[
            "create /t 123",
            "create /t/b 4567",
            "create /t/b/c",
            "create /t/a 89",
            "tree /t",
            "tree -s -d 1 /t",
            "du /t",
            "du -h -d 0 /t",
        ],
    );
    assert_eq!(
        run.out,
        "/t\n├── a\n└── b\n    └── c\n4 znodes\n\
         /t (3)\n├── a (2)\n└── b (4)\n3 znodes\n\
         \x20          2         1  /t/a\n\
         \x20          4         2  /t/b\n\
         \x20          9         4  /t\n\
         \x20          9         4  /t\n"
    );
}

#[test]
fn a_subtree_is_exported_and_imported_elsewhere() {
    let (dir, server) = start("shell-export");
    let file = dir.join("export.json").display().to_string();
    let lines = [
        "create /x text",
        "create -c /x/container",
        "create /x/locked data world:anyone:r",
        "create /x/locked-out",
        "set -b /x/locked-out /wAB",
        "create -e /x/ephemeral",
    ];
    piped(&server.address, &[&lines[..], &[&format!("export /x {file}")]].concat());
    let again = once(&server, &["import", &file, "/copies/y"]);
    assert_eq!(again.code, Some(0), "{}", again.err);
    let run = piped(
        &server.address,
        &[
            "ls -R /copies",
            "get /copies/y",
            "getAcl /copies/y/locked",
            "get -b /copies/y/locked-out",
        ],
    );
    assert_eq!(
        run.out,
        "/copies\n/copies/y\n/copies/y/container\n/copies/y/locked\n/copies/y/locked-out\n\
         text\n'world,'anyone\n: r\n/wAB\n"
    );
    // What is there is left alone, unless it is said otherwise.
    once(&server, &["set", "/copies/y", "mine"]);
    assert_eq!(once(&server, &["import", &file, "/copies/y"]).code, Some(1));
    assert_eq!(once(&server, &["get", "/copies/y"]).out, "mine\n");
    once(&server, &["delete", "/copies/y/locked"]);
    assert_eq!(once(&server, &["import", "-o", &file, "/copies/y"]).code, Some(0));
    assert_eq!(once(&server, &["get", "/copies/y"]).out, "text\n");
    // To stdout there is nothing else, and the same tree gives the same text.
    let output = shell(&server.address).args(["export", "/x"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("\"path\"").count(), 4, "{text}");
    assert_eq!(text, std::fs::read_to_string(&file).unwrap());
}
