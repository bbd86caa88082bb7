//! What is said on the election port, against bytes that Apache's servers sent, and in every length
//! that servers of any age send.

use ostler_wire::ids::{Sid, Zxid};
use ostler_wire::jute::DecodeError;
use ostler_wire::vote::{Hello, NOTIFICATION_VERSION, Notification, ServerState};

/// A configuration of 178 bytes, as long as the one of the three servers of Apache's that were
/// listened to.
const CONFIG: &str = "server.1=127.0.0.1:22881:23881:participant;0.0.0.0:21811\n\
    server.2=127.0.0.1:22882:23882:participant;0.0.0.0:21812\n\
    server.3=127.0.0.1:22883:23883:participant;21813\n\
    version=1000000";

/// What their server 3 sent before it.
const HEAD: &str = "0000000000000000000000030000000000000000\
    000000000000000100000000000000010000000200\
    0000b2";

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at: usize| digits.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..digits.len()).step_by(2).map(|at| byte(at).expect("a byte")).collect()
}

fn notification() -> Notification {
    Notification {
        state: ServerState::Looking,
        leader: Sid(3),
        zxid: Zxid(0),
        round: 1,
        peer_epoch: 1,
        version: NOTIFICATION_VERSION,
        config: CONFIG.into(),
    }
}

/// State FOLLOWING, leader 2, zxid 5:7, round 9, and what more there is.
fn of_age(more: &str) -> Result<Notification, DecodeError> {
    let head = "00000001000000000000000200000005000000070000000000000009";
    Notification::decode(&unhex(&format!("{head}{more}")))
}

#[test]
fn a_notification_is_what_apache_sends() {
    let mut bytes = unhex(HEAD);
    bytes.extend_from_slice(CONFIG.as_bytes());
    assert_eq!(bytes.len(), 222);
    assert_eq!(Notification::decode(&bytes), Ok(notification()));
    let mut out = Vec::new();
    notification().write(&mut out);
    assert_eq!(out, bytes);
}

#[test]
fn states_are_numbers_from_0_to_3() {
    let states = [
        ServerState::Looking,
        ServerState::Following,
        ServerState::Leading,
        ServerState::Observing,
    ];
    for (number, state) in (0_u8..).zip(states) {
        let said = Notification { state, ..notification() };
        let mut out = Vec::new();
        said.write(&mut out);
        assert_eq!(out.get(..4), Some(&[0, 0, 0, number][..]));
        assert_eq!(Notification::decode(&out), Ok(said));
    }
    for number in [-1_i32, 4, i32::MAX] {
        let mut out = Vec::new();
        notification().write(&mut out);
        out.splice(..4, number.to_be_bytes());
        assert_eq!(Notification::decode(&out), Err(DecodeError::BadValue(number)));
    }
}

#[test]
fn observers_say_that_they_have_no_vote() {
    let said = Notification {
        leader: Sid(i64::MIN),
        zxid: Zxid(i64::MIN),
        peer_epoch: i64::MIN,
        ..notification()
    };
    let mut out = Vec::new();
    said.write(&mut out);
    assert_eq!(Notification::decode(&out), Ok(said));
}

#[test]
fn twenty_eight_bytes_have_their_epoch_from_the_zxid() {
    let said = of_age("").expect("the oldest form");
    assert_eq!((said.state, said.leader), (ServerState::Following, Sid(2)));
    assert_eq!((said.zxid, said.round), (Zxid(0x5_0000_0007), 9));
    assert_eq!((said.peer_epoch, said.version), (5, 0));
    assert_eq!(said.config, "");
    // The shift keeps the sign.
    let no_data = format!("{:08x}{:016x}{:016x}{:016x}", 0, 1, u64::MAX, 1);
    let said = Notification::decode(&unhex(&no_data)).expect("the oldest form");
    assert_eq!((said.zxid, said.peer_epoch), (Zxid(-1), -1));
}

#[test]
fn forty_bytes_have_no_version_that_counts() {
    let said = of_age("000000000000000400000001").expect("the form of 3.4.6");
    assert_eq!((said.peer_epoch, said.version), (4, 0));
    assert_eq!(said.config, "");
}

#[test]
fn a_configuration_comes_with_version_2_only() {
    let said = of_age("00000000000000040000000100000063").expect("a version and more");
    assert_eq!((said.version, said.config.as_str()), (1, ""));
    let said = of_age("00000000000000040000000200000000").expect("an empty configuration");
    assert_eq!((said.version, said.config.as_str()), (2, ""));
    let said = of_age("000000000000000400000002000000027a7a99").expect("something behind it");
    assert_eq!((said.version, said.config.as_str()), (2, "zz"));
    // Not text: the vote is still one.
    let said = of_age("00000000000000040000000200000002c328").expect("a configuration");
    assert_eq!(said.config, "\u{fffd}(");
}

#[test]
fn what_is_cut_off_is_refused() {
    let mut whole = Vec::new();
    notification().write(&mut whole);
    for length in 0..whole.len() {
        let decoded = Notification::decode(&whole[..length]);
        assert_eq!(decoded.is_ok(), [28, 40].contains(&length), "{length} bytes: {decoded:?}");
    }
    assert!(of_age("000000000000000400000002ffffffff").is_err());
    assert!(of_age("00000000000000040000000280000000").is_err());
    assert!(of_age("0000000000000004000000027fffffff7a").is_err());
}

#[test]
fn the_first_words_are_what_apache_sends() {
    let mut bytes = unhex("ffffffffffff000000000000000000030000000f");
    bytes.extend_from_slice(b"127.0.0.1:23883");
    let hello = Hello { sid: Sid(3), addresses: vec!["127.0.0.1:23883".into()] };
    assert_eq!(hello.encode(), bytes);
    assert_eq!(Hello::first(&bytes), Ok(Some((hello, bytes.len()))));
}

#[test]
fn several_addresses_have_another_protocol_and_a_bar() {
    let hello = Hello { sid: Sid(3), addresses: vec!["[::1]:3888".into(), "b:3888".into()] };
    let mut bytes = unhex("ffffffffffff0001000000000000000300000011");
    bytes.extend_from_slice(b"[::1]:3888|b:3888");
    assert_eq!(hello.encode(), bytes);
    assert_eq!(Hello::first(&bytes), Ok(Some((hello, bytes.len()))));
}

#[test]
fn the_oldest_first_words_are_a_bare_number() {
    let hello = Hello { sid: Sid(7), addresses: Vec::new() };
    let bytes = unhex("00000000000000070000001c");
    assert_eq!(Hello::first(&bytes), Ok(Some((hello, 8))));
}

#[test]
fn first_words_are_not_seen_before_their_end_nor_taken_beyond() {
    let hello = Hello { sid: Sid(3), addresses: vec!["127.0.0.1:23883".into()] };
    let mut bytes = hello.encode();
    let length = bytes.len();
    bytes.extend_from_slice(&[0, 0, 0, 40]);
    for end in 0..length {
        assert_eq!(Hello::first(&bytes[..end]), Ok(None), "{end} bytes");
    }
    assert_eq!(Hello::first(&bytes), Ok(Some((hello, length))));
}

#[test]
fn first_words_that_can_be_none_are_refused() {
    for bytes in [
        "fffffffffffefffe",
        "fffffffffffffffe000000000000000300000001",
        "ffffffffffff0000000000000000000300000000",
        "ffffffffffff00000000000000000003ffffffff",
        "ffffffffffff0000000000000000000300000801",
    ] {
        assert!(Hello::first(&unhex(bytes)).is_err(), "{bytes}");
    }
    let longest = "ffffffffffff0000000000000000000300000800";
    assert_eq!(Hello::first(&unhex(longest)), Ok(None));
}
