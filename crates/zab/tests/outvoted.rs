//! A leader that was elected before a better one could be heard.

use std::collections::BTreeMap;
use std::sync::Arc;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::vote::{NOTIFICATION_VERSION, Notification, ServerState};
use ostler_zab::clock::Time;
use ostler_zab::election::Election;
use ostler_zab::quorum_config::{Member, PeerRole, QuorumConfig};
use ostler_zab::settings::ZabSettings;

fn looking(leader: i64, round: i64) -> Notification {
    Notification {
        state: ServerState::Looking,
        leader: Sid(leader),
        zxid: Zxid(7),
        round,
        peer_epoch: 0,
        version: NOTIFICATION_VERSION,
        config: String::new(),
    }
}

#[test]
fn knows_that_the_others_elect_a_better_one() {
    let settings = ZabSettings::new(Sid(2));
    let member = Member { role: PeerRole::Participant, line: String::new() };
    let members: BTreeMap<_, _> = (1..=3).map(|sid| (Sid(sid), member.clone())).collect();
    let config = QuorumConfig { members, ..QuorumConfig::default() };
    let mut election = Election::new(Arc::new(settings), Arc::new(config));
    let (now, out) = (Time::default(), &mut Vec::new());
    election.look(now, Zxid(7), Epoch(0), out);
    assert!(!election.is_outvoted(Sid(1), &looking(3, 1)), "it does not lead yet");
    election.unreachable(now, Sid(3), out);
    election.notification(now, Sid(1), &looking(2, 1), out);
    assert_eq!(election.state(), ServerState::Leading);

    assert!(election.is_outvoted(Sid(1), &looking(3, 1)));
    assert!(election.is_outvoted(Sid(3), &looking(3, 2)));
    assert!(!election.is_outvoted(Sid(1), &looking(1, 1)), "a worse one");
    assert!(!election.is_outvoted(Sid(1), &looking(3, 0)), "an earlier round");
    assert!(!election.is_outvoted(Sid(4), &looking(4, 1)), "a stranger");
    let settled = Notification { state: ServerState::Following, ..looking(3, 1) };
    assert!(!election.is_outvoted(Sid(1), &settled), "one who does not look");
}
