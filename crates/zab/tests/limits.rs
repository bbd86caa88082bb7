//! What operators limit: learners that are brought up to date at a time, and how long a learner
//! tries to connect.

use std::sync::Arc;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::quorum::{
    LearnerInfo, PROTOCOL_VERSION, PacketKind, QuorumPacket, ack_epoch_data,
};
use ostler_zab::LinkId;
use ostler_zab::clock::Time;
use ostler_zab::history::History;
use ostler_zab::leader::{Leader, LeaderEffect};
use ostler_zab::learner::{Learner, LearnerEffect};
use ostler_zab::quorum_config::{Member, PeerRole, QuorumConfig};
use ostler_zab::settings::ZabSettings;

const NOW: Time = Time(0);
const EPOCH: Epoch = Epoch(6);

/// One server that votes, 1, and others that observe.
fn config() -> Arc<QuorumConfig> {
    let member = |sid| {
        let role = if sid == 1 { PeerRole::Participant } else { PeerRole::Observer };
        (Sid(sid), Member { role, line: format!("h{sid}:1:2") })
    };
    Arc::new(QuorumConfig { members: (1..=9).map(member).collect(), ..Default::default() })
}

fn settings(sid: Sid) -> ZabSettings {
    ZabSettings { tick_ms: 1000, snap_syncs_max: 2, diff_syncs_max: 1, ..ZabSettings::new(sid) }
}

/// A leader with history that reaches back to the zxid `KNOWN`.
struct Reign {
    leader: Leader,
    history: History,
}

const KNOWN: Zxid = Zxid(0x5_0000_0007);

impl Reign {
    fn new() -> Self {
        let mut history = History::new(500);
        history.restart(KNOWN);
        history.push(KNOWN.next(), [][..].into());
        let mut out = Vec::new();
        let settings = Arc::new(settings(Sid(1)));
        let last = KNOWN.next();
        let mut leader = Leader::new(NOW, settings, config(), Epoch(5), Epoch(5), last, &mut out);
        leader.accepted_epoch_written(NOW, EPOCH, &mut out);
        leader.current_epoch_written(NOW, EPOCH, &mut out);
        assert!(leader.takes_proposals());
        Self { leader, history }
    }

    fn hear(&mut self, link: LinkId, packet: QuorumPacket) -> Vec<LeaderEffect> {
        let mut out = Vec::new();
        self.leader.packet(NOW, link, packet, &self.history, &mut out);
        out
    }

    /// An observer joins that has everything up to `last`: how it is to begin, or why it is not.
    fn join(&mut self, sid: i64, last: Zxid) -> Result<PacketKind, &'static str> {
        let link = LinkId(sid.unsigned_abs());
        self.leader.link_up(NOW, link);
        let info =
            LearnerInfo { sid: Sid(sid), protocol_version: PROTOCOL_VERSION, config_version: 0 };
        let zxid = Epoch(5).first_zxid();
        let hello = QuorumPacket::with_data(PacketKind::ObserverInfo, zxid, info.encode());
        self.hear(link, hello);
        let data = ack_epoch_data(Some(Epoch(5)));
        let out = self.hear(link, QuorumPacket::with_data(PacketKind::AckEpoch, last, data));
        match &out[0] {
            LeaderEffect::Send(_, packet) => Ok(packet.kind),
            LeaderEffect::Close(_, why) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    fn acknowledge(&mut self, sid: i64) {
        let ack = QuorumPacket::bare(PacketKind::Ack, EPOCH.first_zxid());
        self.hear(LinkId(sid.unsigned_abs()), ack);
    }
}

#[test]
fn so_many_observers_are_brought_up_to_date_at_a_time() {
    let mut reign = Reign::new();
    const BUSY: Result<PacketKind, &str> = Err("too many learners are being brought up to date");
    assert_eq!(reign.join(2, Zxid::ZERO), Ok(PacketKind::Snap));
    assert_eq!(reign.join(3, KNOWN), Ok(PacketKind::Diff));
    assert_eq!(reign.join(4, KNOWN), BUSY, "one DIFF at a time");
    assert_eq!(reign.join(4, Zxid::ZERO), Ok(PacketKind::Snap));
    assert_eq!(reign.join(5, Zxid::ZERO), BUSY, "two snapshots at a time");
    reign.acknowledge(2);
    assert_eq!(reign.join(5, Zxid::ZERO), Ok(PacketKind::Snap));
    reign.acknowledge(3);
    assert_eq!(reign.join(6, KNOWN), Ok(PacketKind::Diff));
    // Who leaves counts no more.
    reign.leader.link_down(NOW, LinkId(6), &mut Vec::new());
    assert_eq!(reign.join(7, KNOWN), Ok(PacketKind::Diff));
}

#[test]
fn a_learner_tries_to_connect_for_as_long_as_it_is_told() {
    // Pauses that it makes, and how long it tries when nobody answers the dial.
    for (connect_limit, redial_pause_ms, pauses_ms, patience_ms) in [
        (None, 100, [5, 10, 20, 40, 80, 100, 100, 100, 100], 10_000),
        (Some(3), 30, [5, 10, 20, 30, 30, 30, 30, 30, 30], 3000),
    ] {
        let settings = Arc::new(ZabSettings { connect_limit, redial_pause_ms, ..settings(Sid(2)) });
        let mut out = Vec::new();
        let zero = (Epoch(0), Epoch(0));
        let new = |out: &mut Vec<_>| {
            Learner::new(NOW, Arc::clone(&settings), config(), Sid(1), zero, Zxid::ZERO, out)
        };
        let learner = new(&mut out);
        assert_eq!(learner.next_deadline(), Some(Time::from_millis(patience_ms)));

        let mut learner = new(&mut out);
        let mut now = NOW;
        for pause_ms in pauses_ms {
            out.clear();
            learner.dial_failed(now, &mut out);
            let due = learner.next_deadline().expect("it dials again");
            assert_eq!(due.millis_since(now), pause_ms);
            now = due;
            learner.deadline(now, &mut out);
            assert!(matches!(out[..], [LearnerEffect::Dial(Sid(1))]), "{out:?}");
        }
        out.clear();
        learner.dial_failed(now, &mut out);
        assert!(matches!(out[..], [LearnerEffect::GiveUp(_)]), "{out:?}");
    }
}
