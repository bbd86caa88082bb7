//! What a member of an ensemble has to know besides: who the others are, how long to wait for
//! them, and what it is itself.
//!
//! Read only when there is an ensemble: a server that runs alone takes no notice of these keys.

use super::ConfigError;
use super::error::ExitCode;
use super::membership::{Member, Membership, Role};
use super::settings::Settings;
use std::net::{IpAddr, Ipv6Addr};

/// A member of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensemble {
    /// The number of this server, from `myid`.
    pub my_id: u64,
    /// Whether it votes.
    pub role: Role,
    /// Whether clients find it where its own server line says, not where `clientPort` does.
    pub client_in_server_line: bool,

    /// Ticks that a learner may take to connect and to catch up.
    pub init_limit: u32,
    /// Ticks without a sign of life after that.
    pub sync_limit: u32,
    /// How long a leader waits for epochs; `None` has no limit of its own.
    pub epoch_wait_max_ms: Option<u32>,
    /// How long a leader or a learner may be silent; `None` leaves it at `sync_limit` ticks.
    pub silence_max_ms: Option<u32>,

    /// Listen on every address, not only on those of the own server line.
    pub listen_on_all: bool,
    /// Attempts to open the ports for the other servers; 0 is without end.
    pub bind_tries_max: u32,
    /// How long connecting for an election may take.
    pub election_dial_timeout_ms: u32,
    /// How long who connects for an election may take to say who it is.
    pub election_hello_timeout_ms: u32,
    /// TCP keepalive on connections between servers.
    pub keep_alive: bool,
    /// TCP_NODELAY on links of learners to this server.
    pub leader_no_delay: bool,
    /// TCP_NODELAY on the link of this server to its leader.
    pub follower_no_delay: bool,
    /// Least time after which a vote is sent again.
    pub notification_min_ms: u32,
    /// Greatest time after which a vote is sent again.
    pub notification_max_ms: u32,

    /// Whether sessions are known to their own server only.
    pub local_sessions: bool,
    /// Whether such a session becomes one that all know of with its first ephemeral znode.
    pub local_sessions_upgrading: bool,
    /// Whether reads are served when no leader is found.
    pub read_only_mode: bool,

    /// Ticks that a learner tries to connect, if not `initLimit`.
    pub connect_limit: Option<u32>,
    /// Pause between its attempts.
    pub redial_pause_ms: u32,
    /// How many learners get a snapshot at a time before observers are turned away.
    pub snap_syncs_max: u32,
    /// The same of learners that get what they lack.
    pub diff_syncs_max: u32,
    /// How long at most an observer rests when it has lost its leader.
    pub observer_rest_max_ms: u32,
    /// Whether transactions are logged: an observer may leave that to the voters.
    pub keeps_log: bool,
    /// Whether clients are served while this server leads.
    pub leader_serves: bool,
    /// Transactions held for learners, at least.
    pub commit_log_count: u32,
    /// Whether a learner that lacks anything gets a snapshot.
    pub snapshot_sync_forced: bool,
    /// Whether a server may begin with nothing, without the file `initialize`.
    pub db_autocreate: bool,
}

/// Reads what a member needs, and refuses what would make it another one than was meant.
pub(super) fn resolve(
    settings: &mut Settings,
    membership: &Membership,
    my_id: u64,
    tick_time_ms: u32,
) -> Result<Ensemble, ConfigError> {
    refuse_unprotected(settings)?;
    let own = membership.members.get(&my_id);
    let role = own.map_or(Role::Participant, |own| own.role);
    warn_of_other_role(settings, role);
    let count = |name: &str| u32::try_from(settings.number(name).unwrap_or_default()).unwrap_or(0);
    let positive = |name: &str| Some(count(name)).filter(|number| *number > 0);
    let sync_ms = tick_time_ms.saturating_mul(count("syncLimit"));
    Ok(Ensemble {
        my_id,
        role,
        client_in_server_line: own.is_some_and(|own| own.client.is_some()),
        init_limit: count("initLimit"),
        sync_limit: count("syncLimit"),
        epoch_wait_max_ms: positive("zookeeper.leader.maxTimeToWaitForEpoch"),
        silence_max_ms: positive("zookeeper.ostler.silenceMaxMs"),
        listen_on_all: settings.bool("quorumListenOnAllIPs"),
        bind_tries_max: count("zookeeper.electionPortBindRetry"),
        election_dial_timeout_ms: positive("zookeeper.cnxTimeout").unwrap_or(5000),
        election_hello_timeout_ms: positive("zookeeper.quorumCnxnTimeoutMs").unwrap_or(sync_ms),
        keep_alive: settings.bool("zookeeper.tcpKeepAlive"),
        leader_no_delay: settings.bool("leader.nodelay"),
        follower_no_delay: settings.bool("follower.nodelay"),
        notification_min_ms: positive("zookeeper.fastleader.minNotificationInterval").unwrap_or(1),
        notification_max_ms: positive("zookeeper.fastleader.maxNotificationInterval").unwrap_or(1),
        local_sessions: settings.bool("localSessionsEnabled"),
        local_sessions_upgrading: settings.bool("localSessionsUpgradingEnabled"),
        read_only_mode: settings.bool("readonlymode.enabled"),
        connect_limit: positive("connectToLearnerMasterLimit"),
        redial_pause_ms: count("zookeeper.leaderConnectDelayDuringRetryMs"),
        snap_syncs_max: positive("zookeeper.leader.maxConcurrentSnapSyncs").unwrap_or(10),
        diff_syncs_max: positive("zookeeper.leader.maxConcurrentDiffSyncs").unwrap_or(100),
        observer_rest_max_ms: count("zookeeper.observer.reconnectDelayMs")
            .saturating_add(count("zookeeper.observer.election.DelayMs")),
        keeps_log: role == Role::Participant || observers_keep_log(settings),
        leader_serves: settings.bool("zookeeper.leaderServes"),
        commit_log_count: count("zookeeper.commitLogCount"),
        snapshot_sync_forced: settings.bool("zookeeper.forceSnapshotSync"),
        db_autocreate: settings.bool("zookeeper.db.autocreate"),
    })
}

// Java: QuorumPeer.getSyncEnabled
fn observers_keep_log(settings: &Settings) -> bool {
    let property = "zookeeper.observer.syncEnabled";
    let is_given = settings.setting(property).is_some();
    settings.bool(if is_given { property } else { "syncEnabled" })
}

/// What was to protect the connections between servers is never left out in silence.
fn refuse_unprotected(settings: &Settings) -> Result<(), ConfigError> {
    for key in ["sslQuorum", "quorum.auth.enableSasl"] {
        if settings.bool(key)
            && let Some(setting) = settings.setting(key)
        {
            let reason = "connections between servers cannot be protected in this version";
            return Err(ConfigError::at(&setting.origin, key, &setting.value, reason));
        }
    }
    Ok(())
}

// Java: QuorumPeerConfig.setupPeerType, whose wording operators know.
fn warn_of_other_role(settings: &mut Settings, role: Role) {
    let said = settings.text("peerType").unwrap_or_default();
    if !said.eq_ignore_ascii_case(&role.to_string()) {
        let said = said.to_ascii_uppercase();
        settings.warnings.push(format!(
            "Peer type from servers list ({role}) doesn't match peerType ({said}). Defaulting to \
             servers list."
        ));
    }
}

/// What stands behind `server.N=` in the form in which servers tell each other.
// Java: QuorumPeer.QuorumServer.toString.
pub(crate) fn member_line(member: &Member) -> String {
    let mut addresses: Vec<_> = member.addresses.iter().collect();
    addresses.sort_by(|one, other| one.host.cmp(&other.host));
    let addresses: Vec<String> = addresses
        .into_iter()
        .map(|at| format!("{}:{}:{}", host_text(&at.host), at.quorum_port, at.election_port))
        .collect();
    let role = member.role.to_string().to_ascii_lowercase();
    let mut line = format!("{}:{role}", addresses.join("|"));
    if let Some((host, port)) = &member.client {
        line += &format!(";{}:{port}", host_text(host));
    }
    line
}

// Java: InetSocketAddress.getHostString, which writes an IPv6 address out.
fn host_text(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{}]", written_out(address)),
        Ok(IpAddr::V4(_)) | Err(_) => host.to_owned(),
    }
}

fn written_out(address: Ipv6Addr) -> String {
    address.segments().map(|segment| format!("{segment:x}")).join(":")
}

/// Refuses a server that its own ensemble does not know.
// Java: QuorumPeer.start, where it is an exception that nobody expects.
pub(super) fn check_own_id(
    my_id: u64,
    membership: &Membership,
    place: &str,
) -> Result<(), ConfigError> {
    if membership.members.contains_key(&my_id) {
        return Ok(());
    }
    let reason = format!("My id {my_id} not in the peer list");
    Err(ConfigError::new(Some(place.to_owned()), reason).exiting(ExitCode::UnexpectedError))
}

#[cfg(test)]
mod tests {
    use super::super::membership::parse_member;
    use super::member_line;

    #[test]
    fn lines_as_servers_tell_them() {
        for (written, told) in [
            ("zk1:2888:3888", "zk1:2888:3888:participant"),
            ("zk1:2888:3888:Observer;2181", "zk1:2888:3888:observer;0.0.0.0:2181"),
            ("b:1:2|a:3:4;c:5", "a:3:4|b:1:2:participant;c:5"),
            ("[::1]:1:2;[fe80::a]:3", "[0:0:0:0:0:0:0:1]:1:2:participant;[fe80:0:0:0:0:0:0:a]:3"),
        ] {
            let member = parse_member(1, written, true).expect(written);
            assert_eq!(member_line(&member), told, "input {written}");
        }
    }
}
