//! A member whose data are of a later epoch than the reign that it comes to.

use std::sync::Arc;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::quorum::{LearnerInfo, PROTOCOL_VERSION, PacketKind, QuorumPacket};
use ostler_zab::LinkId;
use ostler_zab::clock::Time;
use ostler_zab::history::History;
use ostler_zab::leader::{Leader, LeaderEffect};
use ostler_zab::quorum_config::{Member, PeerRole, QuorumConfig};
use ostler_zab::settings::ZabSettings;

const NOW: Time = Time(0);
const REIGN: Epoch = Epoch(6);

/// Server 1 leads alone; server 2 is a member.
fn leader() -> Leader {
    let member = |sid| {
        let role = if sid == 1 { PeerRole::Participant } else { PeerRole::Observer };
        (Sid(sid), Member { role, line: String::new() })
    };
    let config = QuorumConfig { members: (1..=2).map(member).collect(), ..Default::default() };
    let (settings, config) = (Arc::new(ZabSettings::new(Sid(1))), Arc::new(config));
    let (last, out) = (Zxid(0x5_0000_0007), &mut Vec::new());
    let mut leader = Leader::new(NOW, settings, config, Epoch(5), Epoch(5), last, out);
    leader.accepted_epoch_written(NOW, REIGN, out);
    leader.current_epoch_written(NOW, REIGN, out);
    assert!(leader.takes_proposals());
    leader
}

/// Server 2 comes, and has accepted an epoch that is later than this reign's.
fn comes(leader: &mut Leader) -> Vec<LeaderEffect> {
    let info = LearnerInfo { sid: Sid(2), protocol_version: PROTOCOL_VERSION, config_version: 0 };
    let zxid = Epoch(9).first_zxid();
    let hello = QuorumPacket::with_data(PacketKind::FollowerInfo, zxid, info.encode());
    leader.link_up(NOW, LinkId(1));
    let mut out = Vec::new();
    leader.packet(NOW, LinkId(1), hello, &History::new(500), &mut out);
    out
}

#[test]
fn a_reign_makes_way_for_a_promise_and_not_for_data() {
    let mut reign = leader();
    // An epoch of which it has data: all that has been written since would be lost to them.
    reign.heard_history(Sid(2), Epoch(9));
    let out = comes(&mut reign);
    assert!(matches!(&out[..], [LeaderEffect::Close(..), LeaderEffect::Left(_)]), "{out:?}");
    assert!(reign.takes_proposals(), "the reign goes on");
    // Its data are older, and it has promised to follow nobody before epoch 9.
    reign.heard_history(Sid(2), Epoch(5));
    let out = comes(&mut reign);
    assert!(out.iter().any(|effect| matches!(effect, LeaderEffect::GiveUp(_))), "{out:?}");
    // Nobody else's word counts.
    let mut reign = leader();
    reign.heard_history(Sid(3), Epoch(9));
    assert!(comes(&mut reign).iter().any(|effect| matches!(effect, LeaderEffect::GiveUp(_))));
}
