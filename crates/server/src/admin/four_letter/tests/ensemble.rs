//! The words of the members of an ensemble, each role against what Apache's servers say in it.

use super::*;
use ostler_node::status::{EnsembleMetrics, EnsembleReport, Sizes};
use ostler_wire::ids::{Epoch, Sid};
use ostler_wire::vote::ServerState;
use ostler_zab::leader::LearnerReport;
use std::fs;
use std::sync::LazyLock;

#[test]
fn modes() {
    for (mode, expected) in [
        (Mode::Leader, "Mode: leader\nNode count: 9\nProposal sizes last/min/max: 98/48/205\n"),
        (Mode::Follower, "Mode: follower\nNode count: 9\n"),
        (Mode::Observer, "Mode: observer\nNode count: 9\n"),
        (Mode::ReadOnly, "Mode: read-only\nNode count: 9\n"),
    ] {
        for word in [b"srvr", b"stat"] {
            let text = word_of(mode, word);
            let (before, after) = text.split_once("\nZxid: 0x8\n").expect("the last zxid");
            assert_eq!(after, expected);
            let warns = before.contains("\nREAD-ONLY mode; serving only read-only clients\n");
            assert_eq!(warns, mode == Mode::ReadOnly);
        }
    }
    for (mode, expected) in [(Mode::Leader, "rw"), (Mode::Observer, "rw"), (Mode::ReadOnly, "ro")] {
        assert_eq!(word_of(mode, b"isro"), expected);
    }
}

#[test]
fn conf() {
    let of_a_member = "\
serverId=2
initLimit=10
syncLimit=5
electionAlg=3
electionPort=24302|24312
quorumPort=24202|24212
peerType=1
";
    let text = word_of(Mode::Observer, b"conf");
    let (_, from_id) =
        text.split_once("clientPortListenBacklog=-1\n").expect("as if it were alone");
    assert_eq!(from_id, format!("{of_a_member}membership: \n{CONFIG}"), "without a newline");
    let text = word_of(Mode::ReadOnly, b"conf");
    assert!(text.ends_with(of_a_member), "{text}");
}

#[test]
fn sessions_as_a_learner_knows_them() {
    for mode in [Mode::Follower, Mode::Observer, Mode::ReadOnly] {
        let text = word_of(mode, b"dump");
        let expected = "\
SessionTracker dump:
Global Sessions(2):
0x100001e54fa0001\t10000ms
0x100001e54fa0002\t8000ms
ephemeral nodes dump:
Sessions with Ephemerals (2):
";
        assert!(text.starts_with(expected), "{text}");
    }
    assert!(word_of(Mode::Leader, b"dump").contains("\nSession Sets (2)/(2):\n1 expire at "));
}

#[test]
fn local_sessions() {
    for (mode, global) in
        [(Mode::Leader, "Global Session Sets (2)/(2):"), (Mode::Follower, "Global Sessions(2):")]
    {
        let config = member_config();
        let mut report = report(&config, 40_001);
        let at = WallMs(1_795_294_802_000);
        let bucket = ExpiryBucket { at, sessions: vec![SessionId(0x22), SessionId(0x21)] };
        report.replica.mode = mode;
        report.replica.ensemble =
            Some(EnsembleReport { local_expiry: Some(vec![bucket]), ..ensemble() });
        let mut text = String::new();
        dump_in(&report, &TimeZone::UTC, &mut text);
        let expected = format!(
            "SessionTracker dump:\nLocal Session Sets (1)/(2):\n\
             2 expire at Sat Nov 21 21:00:02 UTC 2026:\n\t0x21\n\t0x22\n{global}\n"
        );
        assert!(text.starts_with(&expected), "{text}");
        assert!(answer(b"mntr", &report).contains("\nzk_local_sessions\t2\n"));
    }
}

#[test]
fn mntr_of_a_leader() {
    let expected = "\
zk_server_state leader
zk_peer_state leading - broadcast
zk_ephemerals_count 3
zk_num_alive_connections 5
zk_avg_latency 1.6
zk_min_proposal_size 48
zk_outstanding_requests 0
zk_znode_count 9
zk_global_sessions 2
zk_non_mtls_remote_conn_count 0
zk_last_client_response_size 43
zk_packets_sent 15
zk_packets_received 15
zk_max_proposal_size 205
zk_max_client_response_size 93
zk_synced_followers 2
zk_connection_drop_probability 0.0
zk_watch_count 4
zk_synced_non_voting_followers 1
zk_synced_observers 1
zk_auth_failed_count 0
zk_min_latency 0
zk_max_file_descriptor_count 20000
zk_approximate_data_size 73
zk_open_file_descriptor_count 67
zk_last_proposal_size 98
zk_pending_syncs 3
zk_leader_uptime 27286
zk_local_sessions 0
zk_uptime 27286
zk_max_latency 7
zk_outstanding_tls_handshake 0
zk_learners 4
zk_min_client_response_size 16
zk_non_mtls_local_conn_count 0
zk_quorum_size 2
";
    let counts = COUNTS.replace("zk_diff_count 0", "zk_diff_count 2");
    let counts = counts.replace("zk_commit_count 0", "zk_commit_count 29");
    let expected = expected.to_owned() + &counts;
    let expected: String = expected
        .lines()
        .map(|line| line.split_once(' ').expect("a name and a value"))
        .map(|(name, value)| format!("{name}\t{value}\n"))
        .collect();
    let text = word_of(Mode::Leader, b"mntr");
    let (_, text) = text.split_once('\n').expect("the version comes first");
    assert_eq!(text, expected);
}

#[test]
fn mntr_of_others() {
    let of_leaders_alone =
        ["proposal_size", "synced_", "pending_syncs", "leader_uptime", "learners"];
    for (mode, first, quorum) in [
        (Mode::Follower, "zk_server_state\tfollower\nzk_peer_state\tfollowing - broadcast\n", true),
        (
            Mode::Observer,
            "zk_server_state\tobserver\nzk_peer_state\tobserving - broadcast\n\
             zk_observer_master_id\t3\n",
            true,
        ),
        (Mode::ReadOnly, "zk_server_state\tread-only\n", false),
    ] {
        let text = word_of(mode, b"mntr");
        let (_, text) = text.split_once('\n').expect("the version comes first");
        assert!(text.starts_with(&format!("{first}zk_ephemerals_count\t3\n")), "{text}");
        assert_eq!(text.contains("\nzk_quorum_size\t2\n"), quorum, "{text}");
        for name in of_leaders_alone {
            assert!(!text.contains(name), "{name} of {mode:?}");
        }
    }
}

#[test]
fn without_a_leader() {
    says_that_it_does_not_serve(|word| word_of(Mode::Down, word));
    let config = config("*");
    let mut report = report(&config, 1);
    report.replica.mode = Mode::Down;
    assert_eq!(reset_by(b"srst", &report), None, "nothing is forgotten then");
}

#[test]
fn a_leader_that_serves_nobody() {
    let mut config = member_config();
    config.ensemble.as_mut().expect("it is a member").leader_serves = false;
    let mut report = report(&config, 1);
    report.replica.mode = Mode::Leader;
    report.replica.ensemble = Some(ensemble());
    says_that_it_does_not_serve(|word| answer(word, &report));
    report.replica.mode = Mode::Follower;
    assert_eq!(answer(b"isro", &report), "rw", "as a follower it serves");
}

fn says_that_it_does_not_serve(answer: impl Fn(&[u8; 4]) -> String) {
    for (word, _) in WORDS {
        let expected = match *word {
            b"ruok" => "imok",
            b"gtmk" => "306",
            b"stmk" => "",
            b"isro" => "null",
            b"hash" => "This ZooKeeper instance is not currently serving requests",
            b"envi" => {
                assert!(answer(word).starts_with("Environment:\n"));
                continue;
            }
            _ => "This ZooKeeper instance is not currently serving requests\n",
        };
        assert_eq!(answer(word), expected, "{}", word.escape_ascii());
    }
}

fn word_of(mode: Mode, word: &[u8; 4]) -> String {
    let config = member_config();
    let mut report = report(&config, 40_001);
    report.replica.mode = mode;
    report.replica.ensemble = Some(ensemble());
    answer(word, &report)
}

const CONFIG: &str = "\
server.1=127.0.0.1:24201:24301:participant
server.2=127.0.0.1:24202:24302|127.0.0.2:24212:24312:observer
server.3=127.0.0.1:24203:24303:participant
version=0";

fn ensemble() -> EnsembleReport {
    let learner =
        |sid, voter, observer, synced| LearnerReport { sid: Sid(sid), voter, observer, synced };
    EnsembleReport {
        state: ServerState::Leading,
        leader: Some(Sid(3)),
        accepted_epoch: Epoch(1),
        current_epoch: Epoch(1),
        learners: vec![
            learner(1, true, false, true),
            learner(2, false, true, true),
            learner(7, false, false, true),
            learner(8, true, false, false),
        ],
        pending_syncs: 3,
        local_expiry: None,
        metrics: EnsembleMetrics { diffs_sent: 2, commits: 29, ..Default::default() },
        proposals: Sizes { last_bytes: 98, min_bytes: 48, max_bytes: 205 },
        serving_since_ms: 0,
        config: CONFIG.to_owned(),
    }
}

/// Of server 2, which observes.
fn member_config() -> Config {
    static CONFIG_OF_2: LazyLock<Config> = LazyLock::new(|| {
        let data = std::env::temp_dir().join(format!("ostler-member-{}", std::process::id()));
        fs::create_dir_all(&data).expect("writable");
        fs::write(data.join("myid"), "2\n").expect("writable");
        let (members, _) = CONFIG.rsplit_once('\n').expect("the version is the last line");
        let text = format!(
            "dataDir={}\nclientPort=38063\ninitLimit=10\nsyncLimit=5\n\
             4lw.commands.whitelist=*\npeerType=observer\n{members}\n",
            data.display()
        );
        let path = data.join("zoo.cfg");
        fs::write(&path, text).expect("writable");
        let mut flags = Flags::none();
        flags.define_argument("zookeeper.multiAddress.enabled=true");
        let config = Config::load(&path, &flags).expect("a member's configuration");
        fs::remove_dir_all(&data).expect("removable");
        config
    });
    CONFIG_OF_2.clone()
}
