//! What the members of an ensemble say of themselves, and what their clients notice when the
//! leader changes: nothing, if it was not in the way.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::ensemble::{Ensemble, four_letter_word, sync};
use common::poll_until;
use ostler_cli::raw_client::{create, exists, get_data, set_data};
use ostler_wire::ids::Xid;

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

#[test]
fn words_tell_the_place_of_each_server() {
    let mut ensemble = Ensemble::with_observers("words", 3, 1);
    ensemble.start(0);
    poll_until("the port is open", || four_letter_word(&ensemble.address(0), "ruok"));
    for (word, expected) in
        [("ruok", "imok"), ("isro", "null"), ("srvr", NOT_SERVING), ("mntr", NOT_SERVING)]
    {
        assert_eq!(ask(&ensemble, 0, word), expected, "{word} without a leader");
    }
    assert_eq!(status(&ensemble, 0), None);

    (1..4).for_each(|index| ensemble.start(index));
    ensemble.wait_all_serving();
    let leader = ensemble.leader();
    let mut client = ensemble.connect(leader);
    client.call(&create("/a", b"", 0)).and_then(|reply| reply.ok()).expect("it is made");
    for index in 0..4 {
        let (mode, peer_state) = match index {
            _ if index == leader => ("leader", "leading - broadcast"),
            3 => ("observer", "observing - broadcast"),
            _ => ("follower", "following - broadcast"),
        };
        assert_eq!(status(&ensemble, index).as_deref(), Some(&*format!("Mode: {mode}\n")));
        assert_eq!(ask(&ensemble, index, "isro"), "rw");
        let monitored = ask(&ensemble, index, "mntr");
        assert_eq!(value_of(&monitored, "server_state"), Some(mode));
        assert_eq!(value_of(&monitored, "peer_state"), Some(peer_state));
        assert_eq!(value_of(&monitored, "quorum_size"), Some("3"));
        let config = ask(&ensemble, index, "conf");
        let peer_type = u8::from(index == 3);
        assert!(config.contains("\nelectionAlg=3\nelectionPort="), "{config}");
        assert!(config.contains(&format!("\npeerType={peer_type}\nmembership: \nserver.1=127.")));
        assert!(config.contains(&format!("\nserverId={}\n", index + 1)), "{config}");
        assert!(config.ends_with(":observer\nversion=0"), "{config}");
    }
    poll_until("all learners are in step", || {
        let monitored = ask(&ensemble, leader, "mntr");
        let count = |name| value_of(&monitored, name).map(str::to_owned);
        let counts = [count("learners"), count("synced_followers"), count("synced_observers")];
        (counts == ["3", "2", "1"].map(|count| Some(count.to_owned()))).then_some(())
    });
    assert!(!ask(&ensemble, leader, "srvr").contains("last/min/max: -1/"), "it has proposed");
    assert_eq!(ask(&ensemble, leader, "srst"), "Server stats reset.\n");
    let srvr = ask(&ensemble, leader, "srvr");
    assert!(srvr.ends_with("\nProposal sizes last/min/max: -1/-1/-1\n"), "{srvr}");
}

#[test]
fn who_waits_for_nothing_notices_no_change_of_leader() {
    let mut ensemble = Ensemble::new("unnoticed", 3);
    // How long clients are held before they are disconnected.
    ensemble.add_line("tickTime=5000");
    ensemble.add_line("initLimit=4");
    ensemble.start_all();
    ensemble.wait_all_serving();
    let leader = ensemble.leader();
    let others: Vec<usize> = (0..3).filter(|index| *index != leader).collect();
    let mut watching = ensemble.connect(others[0]);
    let mut writing = ensemble.connect(others[1]);
    for client in [&mut watching, &mut writing] {
        sync(client).expect("it can catch up");
    }
    writing.call(&create("/w", b"", 0)).and_then(|reply| reply.ok()).expect("it is made");
    sync(&mut watching).expect("it can catch up");
    watching.call(&get_data("/w", true)).and_then(|reply| reply.ok()).expect("it is there");

    ensemble.kill(leader);
    // What is asked before a follower knows is on its way to nobody.
    assert_ne!(ensemble.leader(), leader);
    ensemble.wait_all_serving();
    writing.call(&set_data("/w", b"later")).and_then(|reply| reply.ok()).expect("it is set");
    let event = watching.receive().expect("a connection that lives");
    assert_eq!(event.header.xid, Xid(-1));
    watching.call(&exists("/w", false)).and_then(|reply| reply.ok()).expect("it is there");
    for index in others {
        let monitored = ask(&ensemble, index, "mntr");
        assert_eq!(value_of(&monitored, "outstanding_requests"), Some("0"));
        let searches = value_of(&monitored, "looking_count").and_then(|count| count.parse().ok());
        assert!(searches >= Some(2), "one at the start, one for the next leader: {searches:?}");
    }
}

fn ask(ensemble: &Ensemble, index: usize, word: &str) -> String {
    four_letter_word(&ensemble.address(index), word).expect("an answer")
}

/// A number of `mntr`.
fn value_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("zk_")?.split_once('\t'));
    lines.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// The last line of `zkServer.sh status`, if it says that the server serves.
fn status(ensemble: &Ensemble, index: usize) -> Option<String> {
    let config: PathBuf = ensemble.data_dir(index).ancestors().nth(2)?.join("zoo.cfg");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/zkServer.sh");
    let binary = env!("CARGO_BIN_EXE_ostler");
    let mut command = Command::new("bash");
    command.arg(script).arg("status").arg(config).env("OSTLER", binary);
    let output = command.output().expect("bash can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (found, answer) = text.split_once('\n').expect("two lines");
    assert!(found.starts_with("Client port found: "), "{text}");
    let refused = "Error contacting service. It is probably not running.\n";
    assert_eq!(output.status.success(), answer != refused, "{text}");
    output.status.success().then(|| answer.to_owned())
}
