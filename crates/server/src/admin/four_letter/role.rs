//! What the words tell of a server's place in its ensemble.

use super::{ServerReport, line};
use crate::config::membership::{QuorumAddress, Role};
use ostler_node::status::Mode;
use std::fmt::Write as _;

/// The name that monitoring and scripts have for what this server is.
pub(super) fn server_state(mode: Mode) -> &'static str {
    match mode {
        Mode::Standalone => "standalone",
        Mode::Leader => "leader",
        Mode::Follower => "follower",
        Mode::Observer => "observer",
        Mode::ReadOnly => "read-only",
        Mode::Down => unreachable!("no word tells the state of a server that does not serve"),
    }
}

/// What a member does, and how far it has come: who serves has come all the way.
// Java: QuorumPeer.getDetailedPeerState.
pub(super) fn peer_state(mode: Mode) -> Option<&'static str> {
    match mode {
        Mode::Leader => Some("leading - broadcast"),
        Mode::Follower => Some("following - broadcast"),
        Mode::Observer => Some("observing - broadcast"),
        Mode::Standalone | Mode::ReadOnly | Mode::Down => None,
    }
}

/// What `conf` says of a member, down to the servers of the ensemble as the leader knows them.
pub(super) fn conf(report: &ServerReport<'_>, out: &mut String) {
    let config = report.config;
    let Some(ensemble) = &config.ensemble else { return };
    let own = config.membership.members.get(&ensemble.my_id);
    let ports = |port: fn(&QuorumAddress) -> u16| {
        let addresses = own.into_iter().flat_map(|own| &own.addresses);
        addresses.map(|address| port(address).to_string()).collect::<Vec<_>>().join("|")
    };
    line(out, format_args!("initLimit={}", ensemble.init_limit));
    line(out, format_args!("syncLimit={}", ensemble.sync_limit));
    line(out, format_args!("electionAlg=3"));
    line(out, format_args!("electionPort={}", ports(|address| address.election_port)));
    line(out, format_args!("quorumPort={}", ports(|address| address.quorum_port)));
    line(out, format_args!("peerType={}", u8::from(ensemble.role == Role::Observer)));
    // Java: QuorumZooKeeperServer.dumpConf ends without a newline; a read-only server says less.
    if report.replica.mode != Mode::ReadOnly
        && let Some(ensemble) = &report.replica.ensemble
    {
        write!(out, "membership: \n{}", ensemble.config).expect("text goes into a String");
    }
}
