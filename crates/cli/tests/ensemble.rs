//! Servers of an ensemble start, lose each other and find each other again.

mod common;

use std::fs;
use std::time::Duration;

use common::ensemble::{Ensemble, four_letter_word, sync};
use common::poll_until;
use common::worker::LONG_MS;
use ostler_cli::raw_client::{RawClient, create, exists, get_data, set_data};
use ostler_wire::error::ErrorCode;

const EPHEMERAL: i32 = 1;

#[test]
fn three_servers_start_in_every_order() {
    for (turn, order) in ORDERS.iter().enumerate() {
        let mut ensemble = Ensemble::new("orders", 3);
        let [first, second, third] = *order;
        ensemble.start(first);
        let alone = four_letter_word(&ensemble.address(first), "srvr");
        assert!(!alone.unwrap_or_default().contains("Mode:"), "one of three serves nobody");
        ensemble.start(second);
        ensemble.wait_all_serving();
        let path = format!("/early{turn}");
        made(&mut ensemble.connect(first), &path);
        ensemble.start(third);
        ensemble.wait_all_serving();
        for writer in 0..3 {
            let path = format!("/by{writer}");
            made(&mut ensemble.connect(writer), &path);
            for reader in 0..3 {
                let mut client = ensemble.connect(reader);
                sync(&mut client).expect("it can catch up");
                assert!(is_there(&mut client, &path), "{path} on {reader}");
            }
        }
        assert_eq!(modes(&ensemble), ["follower", "follower", "leader"]);
        ensemble.assert_same_everywhere();
        ensemble.assert_digests_agreed();
    }
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn five_servers_serve_while_three_are_there() {
    let mut ensemble = Ensemble::new("five", 5);
    ensemble.start_all();
    ensemble.wait_all_serving();
    assert_eq!(modes(&ensemble), ["follower", "follower", "follower", "follower", "leader"]);
    made(&mut ensemble.connect(0), "/a");
    for gone in 1..=2 {
        let leader = ensemble.leader();
        ensemble.kill(leader);
        ensemble.wait_all_serving();
        made(&mut ensemble.connect(ensemble.running()[0]), &format!("/after{gone}"));
    }
    let running = ensemble.running();
    ensemble.kill(ensemble.leader());
    let left = running.into_iter().filter(|index| ensemble.running().contains(index));
    for index in left {
        poll_until("two of five serve nobody", || ensemble.mode(index).is_none().then_some(()));
    }
    for index in 0..5 {
        if !ensemble.running().contains(&index) {
            ensemble.start(index);
        }
    }
    let tree = ensemble.assert_same_everywhere();
    for path in ["/a", "/after1", "/after2"] {
        assert!(tree.contains_key(path), "{path}");
    }
    ensemble.assert_digests_agreed();
}

#[test]
fn observers_serve_and_do_not_count() {
    let mut ensemble = Ensemble::with_observers("observed", 3, 2);
    let (voters, observers) = ([0, 1, 2], [3, 4]);
    observers.iter().for_each(|index| ensemble.start(*index));
    ensemble.start(0);
    for index in [0, 3, 4] {
        assert!(ensemble.mode(index).is_none(), "one voter and two observers serve nobody");
    }
    ensemble.start(1);
    ensemble.start(2);
    ensemble.wait_all_serving();
    let expected = ["follower", "follower", "leader", "observer", "observer"];
    assert_eq!(modes(&ensemble), expected);
    for index in 0..5 {
        made(&mut ensemble.connect(index), &format!("/by{index}"));
    }
    ensemble.kill(ensemble.leader());
    ensemble.wait_all_serving();
    made(&mut ensemble.connect(3), "/after");
    ensemble.kill(4);
    let mut client = ensemble.connect(3);
    for count in 0..50 {
        set(&mut client, "/after", format!("{count}").as_bytes());
    }
    ensemble.start(4);
    let tree = ensemble.assert_same_everywhere();
    assert_eq!(tree["/after"].data, b"49");
    // One voter is left: its observers know that it leads nobody.
    let left = voters.into_iter().rfind(|index| ensemble.running().contains(index));
    ensemble.kill(left.expect("two are left"));
    for index in ensemble.running() {
        poll_until("they serve nobody", || ensemble.mode(index).is_none().then_some(()));
    }
    for index in voters {
        if !ensemble.running().contains(&index) {
            ensemble.start(index);
        }
    }
    ensemble.assert_same_everywhere();
    ensemble.assert_digests_agreed();
}

#[test]
fn an_observer_can_leave_the_log_to_the_voters() {
    let mut ensemble = Ensemble::with_observers("forgetful", 3, 1);
    ensemble.set_flags("-Dzookeeper.observer.syncEnabled=false");
    ensemble.start_all();
    ensemble.wait_all_serving();
    let logs = |ensemble: &Ensemble| -> Vec<String> {
        let names = fs::read_dir(ensemble.data_dir(3)).expect("it has a directory");
        let names = names.map(|entry| entry.expect("it can be read").file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("log.")).collect()
    };
    let mut client = ensemble.connect(3);
    made(&mut client, "/seen");
    (0..50).for_each(|count| set(&mut client, "/seen", format!("{count}").as_bytes()));
    ensemble.kill(3);
    assert_eq!(logs(&ensemble), [""; 0]);

    // What it lacks it gets from the leader, and then it keeps what it gets.
    ensemble.start(3);
    ensemble.wait_serving(3);
    let tree = ensemble.assert_same_everywhere();
    assert_eq!(tree["/seen"].data, b"49");
    ensemble.kill(3);
    ensemble.set_flags("");
    ensemble.start(3);
    ensemble.wait_serving(3);
    set(&mut ensemble.connect(3), "/seen", b"kept");
    ensemble.kill(3);
    assert_eq!(logs(&ensemble).len(), 1);
    ensemble.start(3);
    let tree = ensemble.assert_same_everywhere();
    assert_eq!(tree["/seen"].data, b"kept");
    ensemble.assert_digests_agreed();
}

#[test]
fn a_leader_can_be_spared_of_clients() {
    let mut ensemble = Ensemble::new("spared", 3);
    ensemble.add_line("leaderServes=no");
    ensemble.start_all();
    for round in 0..2 {
        // Its words say no more than that it serves nobody.
        let leader = poll_until("two follow the third", || {
            let modes: Vec<_> = (0..3).map(|index| ensemble.mode(index)).collect();
            let is_follower = |mode: &&Option<String>| mode.as_deref() == Some("follower");
            let leader = modes.iter().position(Option::is_none)?;
            (modes.iter().filter(is_follower).count() == 2).then_some(leader)
        });
        for index in (0..3).filter(|index| *index != leader) {
            ensemble.wait_serving(index);
            made(&mut ensemble.connect(index), &format!("/by{index}in{round}"));
        }
        let refused = RawClient::connect(&*ensemble.address(leader), 30_000);
        assert!(refused.is_err(), "the leader has no time");
        ensemble.terminate(leader);
        ensemble.start(leader);
    }
    ensemble.assert_digests_agreed();
}

#[test]
fn who_lost_its_data_has_no_vote() {
    let mut ensemble = Ensemble::new("lost", 3);
    ensemble.add_line("db.autocreate=false");
    let initialize = |ensemble: &Ensemble, index| {
        let marker = ensemble.data_dir(index).with_file_name("initialize");
        fs::write(&marker, "").expect("it can be written");
        marker
    };
    let markers = [initialize(&ensemble, 0), initialize(&ensemble, 1)];
    ensemble.start_all();
    ensemble.wait_all_serving();
    assert_ne!(ensemble.leader(), 2, "it has nothing and was not told that this is right");
    assert!(markers.iter().all(|marker| !marker.exists()), "they are used up");
    made(&mut ensemble.connect(2), "/kept");
    // The other two may have been enough.
    poll_until("it is with server 0", || holds(&ensemble, 0, "/kept").then_some(()));

    (0..3).for_each(|index| ensemble.kill(index));
    for index in [1, 2] {
        fs::remove_dir_all(ensemble.data_dir(index)).expect("it is there");
        ensemble.start(index);
    }
    // Two of three, and neither can say what was there.
    for index in [1, 2] {
        let log = |ensemble: &Ensemble| ensemble.log_text(index).matches("LOOKING").count();
        poll_until("it looks for a leader", || (log(&ensemble) >= 2).then_some(()));
        assert!(ensemble.mode(index).is_none(), "nobody leads");
    }
    ensemble.start(0);
    poll_until("somebody would have to vote with it", || {
        ensemble.log_text(0).matches("LOOKING").nth(1).map(|_| ())
    });
    assert!(ensemble.mode(0).is_none());
    ensemble.kill(1);
    initialize(&ensemble, 1);
    ensemble.start(1);
    let tree = ensemble.assert_same_everywhere();
    assert!(tree.contains_key("/kept"), "it was acknowledged");
    ensemble.assert_digests_agreed();
}

#[test]
fn a_port_that_is_taken_ends_the_server() {
    let mut ensemble = Ensemble::new("taken", 3);
    ensemble.add_line("electionPortBindRetry=1");
    let address = ("127.0.0.1", ensemble.election_port(0));
    let _taken = std::net::TcpListener::bind(address).expect("nobody else has it");
    ensemble.start(0);
    assert_eq!(ensemble.exit_code(0), Some(14));
}

#[test]
fn a_quorum_of_one_serves() {
    let mut ensemble = Ensemble::new("one", 1);
    ensemble.add_line("standaloneEnabled=false");
    ensemble.start(0);
    ensemble.wait_all_serving();
    assert_eq!(ensemble.mode(0).as_deref(), Some("leader"));
    made(&mut ensemble.connect(0), "/alone");
    for end in [Ensemble::kill, Ensemble::terminate] {
        end(&mut ensemble, 0);
        ensemble.start(0);
        ensemble.wait_all_serving();
        assert!(is_there(&mut ensemble.connect(0), "/alone"));
    }
}

#[test]
fn who_was_away_gets_what_it_lacks() {
    let mut ensemble = Ensemble::new("away", 3);
    ensemble.start_all();
    ensemble.wait_all_serving();
    let follower = (0..3).find(|index| *index != ensemble.leader()).expect("there are two");
    let writer = (0..3).find(|index| *index != follower).expect("there are two");
    made(&mut ensemble.connect(writer), "/n");

    ensemble.kill(follower);
    let mut client = ensemble.connect(writer);
    for count in 0..100 {
        set(&mut client, "/n", format!("{count}").as_bytes());
    }
    ensemble.start(follower);
    ensemble.assert_same_everywhere();
    assert!(!ensemble.log_text(follower).contains("received a snapshot"), "100 are a few");

    ensemble.kill(follower);
    // More than anybody keeps in memory for those who are away.
    let data = vec![b'x'; 40_000];
    for _ in 0..700 {
        set(&mut client, "/n", &data);
    }
    made(&mut client, "/last");
    ensemble.start(follower);
    let tree = ensemble.assert_same_everywhere();
    assert!(tree.contains_key("/last"));
    assert!(ensemble.log_text(follower).contains("received a snapshot"), "all this is much");

    // What it got is on its disk.
    ensemble.kill(follower);
    ensemble.start(follower);
    ensemble.assert_same_everywhere();
    ensemble.assert_digests_agreed();
}

#[test]
fn what_was_never_committed_is_cut_off() {
    let log = drop_phantom("cut", |_, _| {});
    assert!(log.contains("was never committed: it is dropped"));
    assert!(!log.contains("received a snapshot"));
}

#[test]
fn what_was_never_committed_is_replaced_when_others_went_on() {
    let log = drop_phantom("replaced", |ensemble, index| {
        made(&mut ensemble.connect(index), "/new");
    });
    assert!(log.contains("received a snapshot"));
}

/// Lets a leader log what nobody else gets, and brings it back under another one, after the others
/// have done something; what the old leader has said by then.
fn drop_phantom(name: &str, meanwhile: impl FnOnce(&mut Ensemble, usize)) -> String {
    const MARK: &str = "/phantom-of-the-old-leader";
    let mut ensemble = Ensemble::new(name, 3);
    ensemble.start_all();
    ensemble.wait_all_serving();
    let leader = ensemble.leader();
    let followers: Vec<_> = (0..3).filter(|index| *index != leader).collect();
    let mut client = ensemble.connect(leader);
    made(&mut client, "/kept");
    followers.iter().for_each(|index| ensemble.pause(*index));
    client.send(&create(MARK, b"", 0)).expect("the leader reads");
    poll_until("the leader has logged it", || holds(&ensemble, leader, MARK).then_some(()));
    followers.iter().for_each(|index| ensemble.kill(*index));
    ensemble.kill(leader);
    assert!(followers.iter().all(|index| !holds(&ensemble, *index, MARK)));

    followers.iter().for_each(|index| ensemble.start(*index));
    // Without a session, which would be a transaction.
    for index in &followers {
        poll_until("they go on without it", || ensemble.mode(*index));
    }
    meanwhile(&mut ensemble, followers[0]);
    ensemble.start(leader);
    poll_until("it follows", || (ensemble.mode(leader)? == "follower").then_some(()));
    let log = ensemble.log_text(leader);
    let tree = ensemble.assert_same_everywhere();
    assert!(tree.contains_key("/kept"), "it was acknowledged");
    assert!(!tree.contains_key(MARK), "nobody was told that it is there");
    assert!(!holds(&ensemble, leader, MARK), "nor is it on disk");

    ensemble.terminate(leader);
    ensemble.start(leader);
    assert_eq!(ensemble.assert_same_everywhere().len(), tree.len());
    ensemble.assert_digests_agreed();
    log
}

#[test]
fn a_session_goes_from_server_to_server() {
    let mut ensemble = Ensemble::new("moving", 3);
    ensemble.start_all();
    ensemble.wait_all_serving();
    let mut client = RawClient::connect(&*ensemble.address(0), LONG_MS).expect("it serves");
    client.call(&create("/own", b"", EPHEMERAL)).unwrap().ok().expect("nobody else makes it");
    for round in 0..6 {
        let at = (round + 1) % 3;
        if round == 3 {
            let leader = ensemble.leader();
            ensemble.terminate(leader);
            ensemble.start(leader);
            ensemble.wait_all_serving();
        }
        let resumption = client.resumption();
        client = poll_until("the session is resumed", || {
            let resumed = RawClient::resume(&*ensemble.address(at), &resumption).ok()?;
            Some(resumed.expect("the session lives"))
        });
        let stat = client.call(&exists("/own", false)).unwrap().ok().and_then(|reply| reply.stat());
        assert_eq!(stat.expect("it is there").ephemeral_owner, client.session());
        set(&mut client, "/own", format!("{round}").as_bytes());
    }
    let resumption = client.resumption();
    client.close_session().expect("it can be closed");
    for index in 0..3 {
        let mut other = ensemble.connect(index);
        sync(&mut other).expect("it can catch up");
        assert!(!is_there(&mut other, "/own"), "it ended with its session");
        let resumed = RawClient::resume(&*ensemble.address(index), &resumption);
        assert!(resumed.expect("an answer").is_none(), "the session is gone");
    }
    // Only the leader watches over sessions that others hold.
    let mut short = RawClient::connect(&*ensemble.address(1), 1000).expect("it serves");
    short.call(&create("/short", b"", EPHEMERAL)).unwrap().ok().expect("nobody else makes it");
    drop(short);
    for index in 0..3 {
        let mut other = ensemble.connect(index);
        poll_until("it has expired", || (!is_there(&mut other, "/short")).then_some(()));
    }
    ensemble.assert_digests_agreed();
}

#[test]
fn a_hung_leader_is_replaced_and_comes_back() {
    let mut ensemble = Ensemble::new("hung", 3);
    ensemble.add_line("ostler.silenceMaxMs=1000");
    ensemble.start_all();
    ensemble.wait_all_serving();
    let hung = ensemble.leader();
    made(&mut ensemble.connect(hung), "/before");
    ensemble.pause(hung);
    let others: Vec<_> = (0..3).filter(|index| *index != hung).collect();
    let mut client = poll_until("the others serve", || {
        let mut client = RawClient::connect(&*ensemble.address(others[0]), 30_000).ok()?;
        client.set_io_timeout(Duration::from_secs(2)).ok()?;
        client.call(&create("/after", b"", 0)).ok()?;
        Some(client)
    });
    sync(&mut client).expect("there is a leader");
    ensemble.resume(hung);
    poll_until("it follows", || (ensemble.mode(hung)? == "follower").then_some(()));
    let tree = ensemble.assert_same_everywhere();
    assert!(tree.contains_key("/before") && tree.contains_key("/after"));
    ensemble.assert_digests_agreed();
}

fn made(client: &mut RawClient, path: &str) {
    client.call(&create(path, b"made", 0)).and_then(|reply| reply.ok()).expect(path);
}

fn set(client: &mut RawClient, path: &str, data: &[u8]) {
    client.call(&set_data(path, data)).and_then(|reply| reply.ok()).expect(path);
}

fn is_there(client: &mut RawClient, path: &str) -> bool {
    let reply = client.call(&get_data(path, false)).expect("the server reads");
    assert!([ErrorCode::OK, ErrorCode::NO_NODE].contains(&reply.header.err));
    reply.header.err == ErrorCode::OK
}

/// What the servers say they are, sorted.
fn modes(ensemble: &Ensemble) -> Vec<String> {
    let running = ensemble.running().into_iter();
    let mut modes: Vec<_> = running.map(|index| ensemble.mode(index).expect("it serves")).collect();
    modes.sort();
    modes
}

/// Whether a text is in the logs of a server.
fn holds(ensemble: &Ensemble, index: usize, text: &str) -> bool {
    let files = fs::read_dir(ensemble.data_dir(index)).expect("the directory is there");
    files.flatten().filter(|file| file.file_name().to_string_lossy().starts_with("log.")).any(
        |file| {
            // It may be removed just now.
            let bytes = fs::read(file.path()).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        },
    )
}
