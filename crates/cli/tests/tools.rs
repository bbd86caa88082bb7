//! The offline tools, as people and scripts call them.
//!
//! What they print is compared with what Apache's tools of release 3.9.5 printed about the same
//! files, in `tools/`.

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{Server, TestDir, contents, is_foreign};
use ostler_disk::dir_lock::DirLock;

const BIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bin");

/// A data directory that Apache's server wrote.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../disk/tests/golden/plain/version-2");

fn golden(name: &str) -> String {
    format!("{GOLDEN}/{name}")
}

#[test]
fn logs_are_shown_as_apaches_tool_shows_them() {
    let log = golden("log.3d");
    let expected = include_str!("tools/log.3d.txt");
    assert_prints(&script("zkTxnLogToolkit.sh", &[&log]), 0, expected);
    assert_prints(&ostler(&["log", &log]), 0, expected);
}

#[test]
fn snapshots_are_shown_as_apaches_tools_show_them() {
    let (first, last) = (golden("snapshot.0"), golden("snapshot.3b"));
    let expected = include_str!("tools/snapshot.3b.txt");
    assert_prints(&script("zkSnapShotToolkit.sh", &[&last]), 0, expected);
    assert_prints(&ostler(&["snapshot", "dump", &last]), 0, expected);

    let json = without_times(&text(&script("zkSnapShotToolkit.sh", &["-json", &last]).stdout));
    assert_eq!(json, include_str!("tools/snapshot.3b.json"));

    let expected = include_str!("tools/summary.txt");
    let tool = "zkSnapshotRecursiveSummaryToolkit.sh";
    assert_prints(&script(tool, &[&last, "/", "2"]), 0, expected);
    assert_prints(&ostler(&["snapshot", "summary", &last, "--depth", "2"]), 0, expected);

    let compare = ["-l", &first, "-r", &last, "-b", "100", "-n", "3"];
    let output = script("zkSnapshotComparer.sh", &compare);
    assert_eq!(without_times(&text(&output.stdout)), include_str!("tools/compare.txt"));
}

#[test]
fn compressed_snapshots_are_shown_like_plain_ones() {
    let plain = text(&ostler(&["snapshot", "summary", &golden("snapshot.3b")]).stdout);
    for (format, suffix) in [("gzip", ".gz"), ("snappy", ".snappy")] {
        let file = golden(&format!("../../{format}/version-2/snapshot.3b{suffix}"));
        let output = ostler(&["snapshot", "summary", &file]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        // Another run of the same load.
        assert_eq!(text(&output.stdout).lines().count(), plain.lines().count(), "{format}");
    }
}

#[test]
fn a_log_with_wrong_checksums_is_repaired_beside_itself() {
    let dir = TestDir::new("repair");
    let (log, fixed) = (damaged_log(&dir), dir.join("log.1.fixed"));
    let before = contents(dir.path());
    let shown = text(&ostler(&["log", &log]).stdout);
    assert_eq!(shown.matches("CRC ERROR - ").count(), 2, "{shown}");
    assert_eq!(contents(dir.path()), before);

    // Whoever stops in between has changed nothing.
    for (answers, code) in [("y\na\n", 0), ("y\n", 1)] {
        let output = ostler_with(&["log", "-r", &log], answers);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert_eq!(contents(dir.path()), before);
    }
    let output = ostler(&["log", "--recover", "--yes", &log]);
    let told = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(told.matches("CRC FIXED - ").count(), 2, "{told}");
    let written =
        format!("Recovery file {} has been written with 2 fixed CRC error(s)\n", fixed.display());
    assert!(told.ends_with(&written), "{told}");
    let shown = text(&ostler(&["log", &fixed.display().to_string()]).stdout);
    assert!(!shown.contains("CRC"), "{shown}");
    // A second time would put something in the place of the first.
    let again = ostler(&["log", "--recover", "--yes", &log]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("already exists"));
}

#[test]
fn a_log_is_cut_behind_a_transaction() {
    let dir = TestDir::new("chop");
    let log = dir.join("log.1");
    fs::copy(golden("log.1"), &log).unwrap();
    let log = log.display().to_string();
    let told = text(&script("zkTxnLogToolkit.sh", &["-c", "-z", "0x10", &log]).stdout);
    assert!(told.ends_with("Chopping at 10 new log has 16 records\n"), "{told}");
    let shown = text(&ostler(&["log", &dir.join("log.1.chopped16").display().to_string()]).stdout);
    assert!(shown.ends_with("EOF reached after 16 txns.\n"), "{shown}");

    // The last one has nothing behind it. The script ends well all the same, as it always did.
    let before = contents(dir.path());
    for (output, code) in [
        (script("zkTxnLogToolkit.sh", &["-c", "-z", "0xfff", &log]), 0),
        (ostler(&["log", "--chop", "0xfff", &log]), 1),
    ] {
        assert_eq!(output.status.code(), Some(code));
        assert!(text(&output.stdout).ends_with("Got exception: Failed to chop log.1\n"));
    }
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn bytes_that_are_no_files_of_servers_are_refused() {
    let dir = TestDir::new("no-files");
    let (snapshot, log) = (dir.join("snapshot.1"), dir.join("log.1"));
    for bytes in [&b""[..], b"ZKSN", b"ZKLG", &[0xff; 400]] {
        fs::write(&snapshot, bytes).unwrap();
        fs::write(&log, bytes).unwrap();
        for (what, arguments) in [
            ("log", vec![log.to_str().unwrap()]),
            ("snapshot", vec!["dump", snapshot.to_str().unwrap()]),
            ("snapshot", vec!["compare", snapshot.to_str().unwrap(), snapshot.to_str().unwrap()]),
        ] {
            let output = ostler(&[&[what], &arguments[..]].concat());
            assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
            assert!(!output.stderr.is_empty(), "{output:?}");
        }
    }
    // One wrong byte does not hide the rest, and is told.
    let mut bytes = fs::read(golden("snapshot.3b")).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&snapshot, bytes).unwrap();
    let output = ostler(&["snapshot", "dump", snapshot.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("Last zxid: 0x"));
    assert!(text(&output.stderr).contains("checksum"), "{}", text(&output.stderr));
}

#[test]
fn cleaning_up_keeps_the_newest_and_respects_a_server() {
    let dir = TestDir::new("cleanup");
    let version = dir.join("data/version-2");
    fs::create_dir_all(&version).unwrap();
    for zxid in ["0", "3b", "40", "50", "60"] {
        fs::copy(golden("snapshot.3b"), version.join(format!("snapshot.{zxid}"))).unwrap();
    }
    for zxid in ["1", "3c", "41", "51"] {
        fs::copy(golden("log.3d"), version.join(format!("log.{zxid}"))).unwrap();
    }
    fs::write(dir.join("data/ostler.lock"), "").unwrap();
    let config = dir.join("zoo.cfg");
    fs::write(&config, format!("dataDir={}\n", dir.join("data").display())).unwrap();
    let config = config.display().to_string();

    let lock = DirLock::acquire(&dir.join("data")).expect("nobody has it");
    let before = contents(dir.path());
    let refused = ostler(&["cleanup", "--config", &config, "-n", "3"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("in use"), "{}", text(&refused.stderr));
    assert_eq!(contents(dir.path()), before);
    drop(lock);

    let output = ostler(&["cleanup", "--config", &config, "-n", "3"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    let removed: Vec<&str> =
        told.lines().map(|line| line.rsplit_once("version-2/").expect("a path").1).collect();
    // Log 3c may hold what follows snapshot 40.
    assert_eq!(removed, ["log.1", "snapshot.0", "snapshot.3b"]);
    assert!(told.lines().all(|line| line.starts_with("Removing file: ")), "{told}");
    assert!(version.join("log.3c").exists() && version.join("snapshot.40").exists());
    let again = ostler(&["cleanup", "--config", &config, "-n", "3"]);
    assert_prints(&again, 0, "");
}

#[test]
fn a_directory_is_prepared_once() {
    let dir = TestDir::new("init");
    let (data, config) = (dir.join("data"), dir.join("zoo.cfg"));
    let shown = data.display().to_string();
    fs::write(&config, format!("dataDir={shown}\nclientPort=2181\n")).unwrap();
    let config = config.display().to_string();
    let configfile = format!("--configfile={config}");
    let init = |arguments: &[&str]| {
        script("zkServer-initialize.sh", &[&[&*configfile], arguments].concat())
    };
    let no_id = format!(
        "No myid provided, be sure to specify it in {shown}/myid if using non-standalone\n"
    );
    assert_prints(&init(&[]), 0, &no_id);
    assert!(data.join("version-2").is_dir() && data.join("initialize").is_file());
    let exists = format!(
        "ZooKeeper data directory already exists at {shown} (or use --force to force \
         re-initialization)\n"
    );
    assert_prints(&init(&["--myid", "7"]), 1, &exists);
    fs::write(data.join("version-2/log.1"), "x").unwrap();
    let forced = "Force enabled, data/txnlog directories will be re-initialized\n\
                  Using myid of 7\n";
    assert_prints(&init(&["--force", "--myid=7"]), 0, forced);
    assert_eq!(fs::read_to_string(data.join("myid")).unwrap(), "7\n");
    assert!(!data.join("version-2/log.1").exists());

    let unknown = init(&["--nothing"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stdout).starts_with("Unknown option: --nothing\nusage: "));
    assert_prints(&ostler(&["init", "--configfile", "/nowhere"]), 1, {
        "Unable to find config file at /nowhere\n"
    });
}

#[test]
fn nothing_is_prepared_under_a_running_server() {
    if is_foreign() {
        return;
    }
    let dir = TestDir::new("init-in-use");
    let server = Server::start(&dir, &[]);
    let config = dir.join("zoo.cfg").display().to_string();
    let refused = ostler(&["init", "--configfile", &config, "--force"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stdout);
    assert!(
        told.contains(&format!("in use by another server, process {}", server.pid())),
        "{told}"
    );
    assert!(dir.join("data/version-2/snapshot.0").exists());
}

/// A copy of a log in which the sessions of two transactions are others.
fn damaged_log(dir: &TestDir) -> String {
    let mut bytes = fs::read(golden("log.1")).unwrap();
    let mut at = 16;
    for number in 0..8 {
        if number == 3 || number == 7 {
            bytes[at + 12] ^= 0x40;
        }
        let length = u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap());
        at += 13 + usize::try_from(length).unwrap();
    }
    let path = dir.join("log.1");
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn ostler(arguments: &[&str]) -> Output {
    ostler_with(arguments, "")
}

fn ostler_with(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostler"));
    command.args(arguments);
    finish(&mut command, input)
}

fn script(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(Path::new(BIN).join(name));
    command.args(arguments).env("OSTLER", PathBuf::from(env!("CARGO_BIN_EXE_ostler")));
    finish(&mut command, "")
}

fn finish(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    // Who does not read may have ended.
    let _ = child.stdin.take().expect("it is a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn assert_prints(output: &Output, code: i32, expected: &str) {
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Puts `T` in the place of the time that something took or happened at.
fn without_times(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let line = match (line.rsplit_once(" in "), line.split_once("\"timestamp\":")) {
            (Some((before, time)), _) if time.ends_with(" seconds") => {
                format!("{before} in T seconds")
            }
            (_, Some((before, behind))) => {
                let (_, behind) = behind.split_once('}').expect("an object");
                format!("{before}\"timestamp\":T}}{behind}")
            }
            _ => line.to_owned(),
        };
        lines.push(line);
    }
    lines.join("\n")
}
