//! Packets of the quorum port: the bytes that ZooKeeper 3.9.5 sends and accepts, cut anywhere, and
//! bytes that mean nothing.

use ostler_wire::acl::Id;
use ostler_wire::ids::{Epoch, SessionId, Sid, Xid, Zxid};
use ostler_wire::jute::{DecodeError, Reader};
use ostler_wire::quorum::{
    ForwardedRequest, LearnerInfo, PROTOCOL_VERSION, PacketKind, QuorumPacket, Touched,
    ack_epoch_data, leader_info_data,
};
use proptest::prelude::*;

const MAX_BYTES: usize = 1 << 20;

/// The bytes behind hexadecimal digits; blanks are for reading.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("digits")
    };
    digits.chunks(2).map(byte).collect()
}

fn bytes_of(packet: &QuorumPacket) -> Vec<u8> {
    let mut out = Vec::new();
    packet.write(&mut out);
    out
}

fn epoch_1() -> Zxid {
    Epoch(1).first_zxid()
}

/// Packets, and their bytes as a running ensemble of Apache's showed them.
fn golden() -> Vec<(QuorumPacket, Vec<u8>)> {
    let info = LearnerInfo { sid: Sid(6), protocol_version: PROTOCOL_VERSION, config_version: 0 };
    let request = ForwardedRequest {
        session: SessionId(0x0100_0123_4567_0000),
        xid: Xid(3),
        op: 1,
        body: b"\0\0\0\x02/a".to_vec(),
    };
    let ids = vec![Id { scheme: "ip".into(), id: "127.0.0.1".into() }];
    let request = QuorumPacket {
        ids,
        ..QuorumPacket::with_data(PacketKind::Request, Zxid::NONE, request.encode())
    };
    [
        (
            QuorumPacket::with_data(PacketKind::FollowerInfo, Zxid::ZERO, info.encode()),
            "0000000b 0000000000000000 00000014
             0000000000000006 00010000 0000000000000000 ffffffff",
        ),
        (
            QuorumPacket::with_data(PacketKind::LeaderInfo, epoch_1(), leader_info_data()),
            "00000011 0000000100000000 00000004 00010000 ffffffff",
        ),
        (
            QuorumPacket::with_data(
                PacketKind::AckEpoch,
                Zxid::ZERO,
                ack_epoch_data(Some(Epoch(0))),
            ),
            "00000012 0000000000000000 00000004 00000000 ffffffff",
        ),
        (
            QuorumPacket::with_data(PacketKind::AckEpoch, Zxid::ZERO, ack_epoch_data(None)),
            "00000012 0000000000000000 00000004 ffffffff ffffffff",
        ),
        (
            QuorumPacket::bare(PacketKind::Diff, Zxid::ZERO),
            "0000000d 0000000000000000 ffffffff ffffffff",
        ),
        (
            QuorumPacket::bare(PacketKind::Commit, epoch_1().next()),
            "00000004 0000000100000001 ffffffff ffffffff",
        ),
        (
            QuorumPacket::bare(PacketKind::Ack, epoch_1()),
            "00000003 0000000100000000 ffffffff ffffffff",
        ),
        (
            QuorumPacket::bare(PacketKind::UpToDate, Zxid::NONE),
            "0000000c ffffffffffffffff ffffffff ffffffff",
        ),
        (
            request,
            "00000001 ffffffffffffffff 00000016
             0100012345670000 00000003 00000001 00000002 2f61
             00000001 00000002 6970 00000009 3132372e302e302e31",
        ),
        (
            QuorumPacket::with_data(PacketKind::Ping, epoch_1(), Vec::new()),
            "00000005 0000000100000000 00000000 ffffffff",
        ),
    ]
    .map(|(packet, digits)| (packet, hex(digits)))
    .into()
}

#[test]
fn packets_have_the_bytes_that_apache_sends() {
    for (packet, bytes) in golden() {
        assert_eq!(bytes_of(&packet), bytes, "{packet:?}");
        assert_eq!(QuorumPacket::first(&bytes, MAX_BYTES), Ok(Some((packet, bytes.len()))));
    }
}

#[test]
fn a_packet_is_not_seen_before_its_last_byte() {
    let all: Vec<u8> = golden().into_iter().flat_map(|(_, bytes)| bytes).collect();
    for cut in 0..all.len() {
        // As a reader does it: what has come so far, then all of it.
        let mut packets = Vec::new();
        let mut start = 0;
        for end in [cut, all.len()] {
            while let Some((packet, taken)) =
                QuorumPacket::first(&all[start..end], MAX_BYTES).expect("no bad bytes")
            {
                packets.push(packet);
                start += taken;
            }
        }
        assert!(packets.iter().eq(golden().iter().map(|(packet, _)| packet)), "cut at {cut}");
    }
}

#[test]
fn an_empty_list_of_ids_is_read_as_none() {
    let bytes = hex("00000005 0000000100000000 00000000 00000000");
    let ping = QuorumPacket::with_data(PacketKind::Ping, epoch_1(), Vec::new());
    assert_eq!(QuorumPacket::first(&bytes, MAX_BYTES), Ok(Some((ping, bytes.len()))));
}

#[test]
fn an_unknown_kind_is_a_packet_like_others() {
    let bytes = hex("0000002a 0000000000000000 ffffffff ffffffff");
    let (packet, _) = QuorumPacket::first(&bytes, MAX_BYTES).expect("good").expect("whole");
    assert_eq!(packet.kind, PacketKind::Unknown(42));
    assert_eq!(bytes_of(&packet), bytes);
}

#[test]
fn lengths_that_cannot_be_are_refused_at_once() {
    for (digits, length) in [
        ("00000002 0000000100000000 fffffffe", -2),
        ("00000002 0000000100000000 80000000", i32::MIN),
        // Longer than anybody may send, although it might still come.
        ("00000002 0000000100000000 00100001", 0x10_0001),
        ("00000001 0000000100000000 ffffffff 00000001 7fffffff", i32::MAX),
    ] {
        let refused = QuorumPacket::first(&hex(digits), MAX_BYTES);
        assert_eq!(refused, Err(DecodeError::BadLength(length)), "{digits}");
    }
    // As long as may be, and all there.
    let data = vec![7; MAX_BYTES];
    let packet = QuorumPacket::with_data(PacketKind::Proposal, Zxid(1), data);
    let bytes = bytes_of(&packet);
    assert_eq!(QuorumPacket::first(&bytes, MAX_BYTES), Ok(Some((packet, bytes.len()))));
    assert!(QuorumPacket::first(&bytes, MAX_BYTES - 1).is_err());
}

#[test]
fn ids_without_end_are_refused() {
    let mut bytes = hex("00000001 0000000100000000 ffffffff 7fffffff");
    while bytes.len() < 1000 {
        assert_eq!(QuorumPacket::first(&bytes, 1000), Ok(None));
        bytes.extend_from_slice(&[0; 8]);
    }
    bytes.resize(3000, 0);
    assert!(QuorumPacket::first(&bytes, 1000).is_err());
}

#[test]
fn a_packet_is_refused_or_not_in_however_many_pieces_it_comes() {
    let id = Id { scheme: "ip".into(), id: "x".repeat(60) };
    let ids = |count| QuorumPacket {
        ids: vec![id.clone(); count],
        ..QuorumPacket::bare(PacketKind::Request, Zxid::NONE)
    };
    let long = Id { scheme: "ip".into(), id: "x".repeat(61) };
    let long = QuorumPacket { ids: vec![long], ..ids(0) };
    for (packet, fits) in [(ids(1), true), (ids(2), false), (long, false)] {
        let mut bytes = Vec::new();
        packet.write(&mut bytes);
        for end in 0..bytes.len() {
            let part = QuorumPacket::first(&bytes[..end], 60);
            assert!(part == Ok(None) || !fits && part.is_err(), "{end} bytes: {part:?}");
        }
        assert_eq!(QuorumPacket::first(&bytes, 60).is_ok(), fits, "{} bytes", bytes.len());
        assert!(fits || QuorumPacket::first(&bytes[..bytes.len() - 1], 60).is_err());
    }
}

#[test]
fn older_learners_say_less_of_themselves() {
    let of = |digits| LearnerInfo::decode(&hex(digits));
    let info = LearnerInfo { sid: Sid(2), protocol_version: PROTOCOL_VERSION, config_version: 9 };
    assert_eq!(of("0000000000000002 00010000 0000000000000009"), Ok(info));
    let no_config = LearnerInfo { config_version: 0, ..info };
    assert_eq!(of("0000000000000002 00010000"), Ok(no_config));
    let only_sid = LearnerInfo { protocol_version: 1, ..no_config };
    assert_eq!(of("0000000000000002"), Ok(only_sid));
    assert_eq!(of("00000000000000"), Err(DecodeError::Truncated));
}

#[test]
fn touched_sessions_follow_each_other() {
    let touched = [
        Touched { session: SessionId(1), timeout_ms: 4000 },
        Touched { session: SessionId(-2), timeout_ms: 30_000 },
    ];
    let mut bytes = Vec::new();
    touched.iter().for_each(|touched| touched.write(&mut bytes));
    assert_eq!(bytes, hex("0000000000000001 00000fa0 fffffffffffffffe 00007530"));
    assert_eq!(Touched::read_all(&bytes), Ok(touched.to_vec()));
    assert_eq!(Touched::read_all(&[]), Ok(Vec::new()));
    assert_eq!(Touched::read_all(&bytes[..20]), Err(DecodeError::Truncated));
}

fn packet() -> impl Strategy<Value = QuorumPacket> {
    let data = prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    let ids = prop::collection::vec((".{0,5}", ".{0,5}"), 0..3);
    (any::<i32>(), any::<i64>(), data, ids).prop_map(|(kind, zxid, data, ids)| QuorumPacket {
        kind: PacketKind::from_number(kind % 25),
        zxid: Zxid(zxid),
        data: data.map(Into::into),
        ids: ids.into_iter().map(|(scheme, id)| Id { scheme, id }).collect(),
    })
}

proptest! {
    #[test]
    fn packets_survive(packet in packet(), behind in prop::collection::vec(any::<u8>(), 0..9)) {
        let mut bytes = bytes_of(&packet);
        let whole = bytes.len();
        bytes.extend(behind);
        prop_assert_eq!(QuorumPacket::first(&bytes, MAX_BYTES), Ok(Some((packet, whole))));
    }

    #[test]
    fn any_bytes_are_harmless(
        packet in packet(), spot in any::<prop::sample::Index>(), value in any::<u8>(),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut damaged = bytes_of(&packet);
        let spot = spot.index(damaged.len());
        damaged[spot] = value;
        for bytes in [damaged, noise] {
            if let Ok(Some((packet, taken))) = QuorumPacket::first(&bytes, 64) {
                prop_assert!(taken <= bytes.len());
                prop_assert!(packet.data.is_none_or(|data| data.len() <= 64));
            }
            let _ = LearnerInfo::decode(&bytes);
            let _ = Touched::read_all(&bytes);
            let _ = Touched::read(&mut Reader::new(&bytes));
            if let Ok(request) = ForwardedRequest::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes);
            }
        }
    }
}
