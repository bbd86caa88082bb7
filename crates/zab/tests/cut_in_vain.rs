//! A learner whose history ends in a snapshot that was never committed: it cannot be cut, and must
//! get over it without hiding from any leader how recent it is.

use std::sync::Arc;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::quorum::{PacketKind, QuorumPacket, ack_epoch_data, leader_info_data};
use ostler_zab::LinkId;
use ostler_zab::clock::Time;
use ostler_zab::history::History;
use ostler_zab::learner::{Learner, LearnerEffect};
use ostler_zab::quorum_config::{Member, PeerRole, QuorumConfig};
use ostler_zab::settings::ZabSettings;
use ostler_zab::sync::{Plan, plan};

const NOW: Time = Time(0);
const LINK: LinkId = LinkId(1);
/// Its last zxid.
const LAST: Zxid = Zxid(0x4_0000_000d);

fn learner(accepted: Epoch) -> Learner {
    let member =
        |sid| (Sid(sid), Member { role: PeerRole::Participant, line: format!("h{sid}:1:2") });
    let config = QuorumConfig { members: (1..=3).map(member).collect(), ..Default::default() };
    let settings = ZabSettings::new(Sid(1));
    let epochs = (accepted, Epoch(4));
    let (settings, config) = (Arc::new(settings), Arc::new(config));
    Learner::new(NOW, settings, config, Sid(3), epochs, LAST, &mut Vec::new())
}

fn hear(learner: &mut Learner, packet: QuorumPacket) -> Vec<LearnerEffect> {
    let mut out = Vec::new();
    learner.packet(NOW, LINK, packet, &mut out);
    out
}

fn leader_info(epoch: u32) -> QuorumPacket {
    let zxid = Epoch(epoch).first_zxid();
    QuorumPacket::with_data(PacketKind::LeaderInfo, zxid, leader_info_data())
}

/// What the learner says of itself in ACKEPOCH.
fn ack_epoch(effects: &[LearnerEffect]) -> (Zxid, Vec<u8>) {
    let sent = effects.iter().find_map(|effect| match effect {
        LearnerEffect::Send(LINK, packet) if packet.kind == PacketKind::AckEpoch => Some(packet),
        _ => None,
    });
    let packet = sent.expect("an ACKEPOCH");
    (packet.zxid, packet.data.as_deref().unwrap_or_default().to_vec())
}

#[test]
fn a_cut_that_cannot_be_made_leads_to_a_snapshot_of_the_same_leader() {
    let mut learner = learner(Epoch(5));
    learner.dialled(NOW, LINK, &mut Vec::new());
    hear(&mut learner, leader_info(6));
    let mut out = Vec::new();
    learner.accepted_epoch_written(NOW, Epoch(6), &mut out);
    assert_eq!(ack_epoch(&out), (LAST, ack_epoch_data(Some(Epoch(4)))));
    let cut = QuorumPacket::bare(PacketKind::Trunc, Zxid(0x4_0000_000c));
    let out = hear(&mut learner, cut);
    assert!(matches!(out[..], [LearnerEffect::Truncate(_)]), "{out:?}");
    let mut out = Vec::new();
    learner.truncate_failed(&mut out);
    assert!(matches!(out[..], [LearnerEffect::GiveUp(_)]), "{out:?}");

    let mut again = self::learner(Epoch(6));
    again.ask_for_snapshot(Epoch(6));
    again.dialled(NOW, LINK, &mut Vec::new());
    let out = hear(&mut again, leader_info(6));
    let (last, epoch) = ack_epoch(&out);
    assert_eq!(epoch, ack_epoch_data(None), "it does not count");
    let mut known = History::new(500);
    known.restart(Zxid(0x4_0000_0000));
    known.push(Zxid(0x4_0000_000c), [][..].into());
    assert_eq!(plan(&known, Zxid(0x4_0000_000c), last, false), Plan::Snap);
}

#[test]
fn a_new_leader_hears_how_recent_it_is() {
    let mut learner = learner(Epoch(6));
    learner.ask_for_snapshot(Epoch(6));
    learner.dialled(NOW, LINK, &mut Vec::new());
    hear(&mut learner, leader_info(7));
    let mut out = Vec::new();
    learner.accepted_epoch_written(NOW, Epoch(7), &mut out);
    assert_eq!(ack_epoch(&out), (LAST, ack_epoch_data(Some(Epoch(4)))));
}
