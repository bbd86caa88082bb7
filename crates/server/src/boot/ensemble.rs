//! What a member of an ensemble starts with besides: its ports for the other servers, and what the
//! configuration says in the words of the machines and threads that need it.

use std::collections::{BTreeMap, HashMap};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use ostler_wire::ids::Sid;
use ostler_wire::vote::Hello;
use ostler_zab::quorum_config::{Member, PeerRole, QuorumConfig};
use ostler_zab::settings::ZabSettings;

use super::StartError;
use super::core::record_bytes_max;
use crate::config::ensemble::member_line;
use crate::config::membership::{self, Membership, Role};
use crate::config::{Config, Ensemble};
use crate::mail::ReplicaBox;
use crate::peers::Peers;
use crate::peers::address::HostPort;
use crate::peers::election::{CONNS_MAX, ElectionPeers, ElectionSettings};
use crate::peers::links::{LAG_BYTES_MAX, LINKS_MAX, LinkSettings, Links};
use crate::peers::listening::{self, Door};

/// The ports on which the other servers connect. Both are open in every role, so that a new leader
/// is found at the first attempt.
pub(super) struct Ports {
    quorum: Vec<TcpListener>,
    election: Vec<TcpListener>,
}

/// Ports that are served.
#[derive(Debug)]
pub(super) struct Doors {
    quorum: Door,
    election: Door,
}

impl Ports {
    pub(super) fn bind(config: &Config, ensemble: &Ensemble) -> Result<Self, StartError> {
        let own = config.membership.members.get(&ensemble.my_id);
        let own = own.expect("the own id was checked");
        let bind = |addresses: &[HostPort]| {
            listening::bind(addresses, ensemble.listen_on_all, ensemble.bind_tries_max)
                .map_err(|error| StartError::PeerPort(error.to_string()))
        };
        let election = bind(&election_addresses(own))?;
        let quorum = bind(&quorum_addresses(own))?;
        for listener in election.iter().chain(&quorum) {
            if let Ok(address) = listener.local_addr() {
                tracing::info!("listening for other servers on {address}");
            }
        }
        Ok(Self { quorum, election })
    }

    /// Lets the other servers in.
    pub(super) fn open(self, peers: &Peers) -> Result<Doors, StartError> {
        let election = peers.election.clone();
        let election = Door::open(self.election, "election", CONNS_MAX, move |stream, remote| {
            election.accepted(stream, remote);
        })?;
        let links = peers.links.clone();
        let quorum = Door::open(self.quorum, "link", LINKS_MAX, move |stream, remote| {
            links.accepted(stream, remote);
        })?;
        Ok(Doors { quorum, election })
    }
}

impl Doors {
    pub(super) fn close(&self) {
        self.quorum.close();
        self.election.close();
    }
}

/// The threads' part of the other servers.
pub(super) fn peers(
    config: &Config,
    ensemble: &Ensemble,
    hash_key: u64,
    replica: &ReplicaBox,
) -> Peers {
    let members = &config.membership.members;
    let others = |addresses: fn(&membership::Member) -> Vec<HostPort>| -> HashMap<_, _> {
        let others = members.values().filter(|member| member.id != ensemble.my_id);
        others.map(|member| (sid(member.id), addresses(member))).collect()
    };
    let own = members.get(&ensemble.my_id).map(election_addresses).unwrap_or_default();
    let own_sid = sid(ensemble.my_id);
    let tick = Duration::from_millis(u64::from(config.tick_time_ms));
    let addresses = own.iter().map(ToString::to_string).collect();
    let election = ElectionSettings {
        own: own_sid,
        hello: Hello { sid: own_sid, addresses },
        addresses: others(election_addresses),
        dial_timeout: millis(ensemble.election_dial_timeout_ms),
        hello_timeout: millis(ensemble.election_hello_timeout_ms),
        keep_alive: ensemble.keep_alive,
    };
    let links = LinkSettings {
        addresses: others(quorum_addresses),
        // Java: Learner.connectToLeader.
        dial_timeout: tick.saturating_mul(ensemble.connect_limit.unwrap_or(ensemble.sync_limit)),
        stall_max: tick.saturating_mul(ensemble.init_limit),
        lag_bytes_max: LAG_BYTES_MAX,
        packet_bytes_max: record_bytes_max(config),
        hash_key,
        leader_no_delay: ensemble.leader_no_delay,
        follower_no_delay: ensemble.follower_no_delay,
    };
    Peers {
        election: ElectionPeers::new(election, replica.clone()),
        links: Links::new(links, replica.clone()),
    }
}

/// What the machines of agreement have to know.
pub(super) fn zab_settings(config: &Config, ensemble: &Ensemble) -> Arc<ZabSettings> {
    Arc::new(ZabSettings {
        my_sid: sid(ensemble.my_id),
        tick_ms: u64::from(config.tick_time_ms),
        init_limit: u64::from(ensemble.init_limit),
        sync_limit: u64::from(ensemble.sync_limit),
        notification_min_ms: u64::from(ensemble.notification_min_ms),
        notification_max_ms: u64::from(ensemble.notification_max_ms),
        finalize_wait_ms: FINALIZE_WAIT_MS,
        epoch_wait_max_ms: ensemble.epoch_wait_max_ms.map(u64::from),
        snapshot_sync_forced: ensemble.snapshot_sync_forced,
        silence_max_ms: ensemble.silence_max_ms.map(u64::from),
        connect_limit: ensemble.connect_limit.map(u64::from),
        redial_pause_ms: u64::from(ensemble.redial_pause_ms),
        snap_syncs_max: ensemble.snap_syncs_max as usize,
        diff_syncs_max: ensemble.diff_syncs_max as usize,
    })
}

/// Who votes, and what all servers are called.
pub(super) fn quorum_config(membership: &Membership) -> Arc<QuorumConfig> {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let numbers = |from: &BTreeMap<u64, u64>| {
        from.iter().map(|(id, number)| (sid(*id), signed(*number))).collect()
    };
    let members = membership.members.values().map(|member| {
        let role = match member.role {
            Role::Participant => PeerRole::Participant,
            Role::Observer => PeerRole::Observer,
        };
        (sid(member.id), Member { role, line: member_line(member) })
    });
    Arc::new(QuorumConfig {
        version: membership.version,
        members: members.collect(),
        groups: numbers(&membership.groups),
        weights: numbers(&membership.weights),
    })
}

fn sid(id: u64) -> Sid {
    Sid(i64::try_from(id).expect("ids are checked when they are read"))
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

fn election_addresses(member: &membership::Member) -> Vec<HostPort> {
    member.addresses.iter().map(|at| HostPort::new(&at.host, at.election_port)).collect()
}

fn quorum_addresses(member: &membership::Member) -> Vec<HostPort> {
    member.addresses.iter().map(|at| HostPort::new(&at.host, at.quorum_port)).collect()
}

// Java: FastLeaderElection.finalizeWait.
const FINALIZE_WAIT_MS: u64 = 200;
