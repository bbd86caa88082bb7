//! From what was set to what the server acts upon: defaults that depend on other keys, ranges,
//! and the checks that concern several keys at once.
//!
//! Membership is not read here; a server is taken for a standalone one.

use super::authentication;
use super::error::ExitCode;
use super::settings::Settings;
use super::throttling;
use super::{Config, ConfigError, FourLetterWhitelist, Membership, SnapshotCompression};
use std::path::{Path, PathBuf};

/// Builds the configuration without membership, server id and messages.
pub(super) fn resolve(settings: &mut Settings, path: Option<&Path>) -> Result<Config, ConfigError> {
    let place = path.map_or_else(|| "command line".to_owned(), |path| path.display().to_string());
    let refuse = |reason: &str| Err(ConfigError::new(Some(place.clone()), reason));
    if let Err(reason) = check_sasl(settings) {
        return refuse(&reason);
    }
    let Some(data_dir) = settings.text("dataDir").map(PathBuf::from) else {
        return refuse("dataDir is not set");
    };
    let data_log_dir = settings.text("dataLogDir").map(PathBuf::from);
    for dir in [Some(&data_dir), data_log_dir.as_ref()].into_iter().flatten() {
        settings.warn_if_relative(dir);
    }
    let data_log_dir = data_log_dir.unwrap_or_else(|| data_dir.clone());
    if let Err(reason) = check_ports(settings) {
        return refuse(&reason);
    }
    check_network_class(settings)?;
    let tick_time_ms = positive(settings, "tickTime");
    if tick_time_ms == 0 {
        return refuse("tickTime is not set");
    }
    let timeout_ms = |name, ticks| match settings.number(name) {
        None | Some(-1) => tick_time_ms.saturating_mul(ticks).min(i32::MAX.unsigned_abs()),
        Some(_) => positive(settings, name),
    };
    let min_session_timeout_ms = timeout_ms("minSessionTimeout", 2);
    let max_session_timeout_ms = timeout_ms("maxSessionTimeout", 20);
    if min_session_timeout_ms > max_session_timeout_ms {
        return refuse("minSessionTimeout must not be larger than maxSessionTimeout");
    }
    let mut config = with_defaults(settings);
    config.config_path = path.map(Path::to_owned);
    config.data_dir = data_dir;
    config.data_log_dir = data_log_dir;
    config.tick_time_ms = tick_time_ms;
    config.min_session_timeout_ms = min_session_timeout_ms;
    config.max_session_timeout_ms = max_session_timeout_ms;
    config.throttling = throttling::resolve(settings);
    authentication::resolve(&mut config, settings)?;
    Ok(config)
}

/// All fields that depend on one key each; the others are left empty.
fn with_defaults(settings: &Settings) -> Config {
    let long = |name| settings.number(name).unwrap_or_default();
    let on = |name| settings.bool(name);
    let text = |name| settings.text(name).map(str::to_owned);
    let jute_max_buffer_bytes = positive(settings, "jute.maxbuffer");
    Config {
        config_path: None,
        data_dir: PathBuf::new(),
        data_log_dir: PathBuf::new(),
        server_id: None,
        membership: Membership::default(),
        ensemble: None,
        client_port: settings.port("clientPort"),
        client_port_address: text("clientPortAddress").map(without_brackets),
        client_port_listen_backlog: i32::try_from(long("clientPortListenBacklog")).unwrap_or(-1),
        client_tcp_keep_alive: on("zookeeper.clientTcpKeepAlive"),
        sessionless_cnxn_timeout_ms: positive(settings, "zookeeper.nio.sessionlessCnxnTimeout"),
        max_client_cnxns: positive(settings, "maxClientCnxns"),
        max_cnxns: positive(settings, "zookeeper.maxCnxns"),
        shard_threads: shard_threads(settings),
        spin_max_us: positive(settings, "zookeeper.ostler.spinMaxMicros"),
        global_outstanding_limit: positive(settings, "zookeeper.globalOutstandingLimit"),
        throttling: Default::default(),
        jute_max_buffer_bytes,
        jute_max_buffer_extra_bytes: jute_extra_bytes(settings, jute_max_buffer_bytes),
        four_letter_whitelist: four_letter_whitelist(settings),
        tick_time_ms: 0,
        min_session_timeout_ms: 0,
        max_session_timeout_ms: 0,
        snap_count: positive(settings, "zookeeper.snapCount"),
        snap_size_limit_kb: long("zookeeper.snapSizeLimitInKb"),
        txn_log_size_limit_kb: long("zookeeper.txnLogSizeLimitInKb"),
        pre_alloc_size_kb: long("zookeeper.preAllocSize"),
        force_sync: on("zookeeper.forceSync"),
        fsync_warning_threshold_ms: fsync_warning_threshold_ms(settings),
        snapshot_compression: snapshot_compression(settings),
        snapshot_trust_empty: on("zookeeper.snapshot.trust.empty"),
        serialize_last_processed_zxid: on("zookeeper.serializeLastProcessedZxid.enabled"),
        datadir_autocreate: on("zookeeper.datadir.autocreate"),
        digest_enabled: on("zookeeper.digest.enabled"),
        autopurge_snap_retain_count: positive(settings, "autopurge.snapRetainCount"),
        autopurge_purge_interval_hours: positive(settings, "autopurge.purgeInterval"),
        reconfig_enabled: on("reconfigEnabled"),
        enforce_quota: on("zookeeper.enforceQuota"),
        extended_types_enabled: on("zookeeper.extendedTypesEnabled"),
        // Java: EphemeralType.get looks for them only when there are such znodes at all.
        adopts_ttls_of_353: on("zookeeper.extendedTypesEnabled")
            && on("zookeeper.emulate353TTLNodes"),
        container_check_interval_ms: positive(settings, "znode.container.checkIntervalMs"),
        container_max_per_minute: positive(settings, "znode.container.maxPerMinute"),
        container_max_never_used_interval_ms: long("znode.container.maxNeverUsedIntervalMs"),
        skip_acl: on("zookeeper.skipACL"),
        digest_auth_enabled: on("zookeeper.DigestAuthenticationProvider.enabled"),
        digest_alg: text("zookeeper.DigestAuthenticationProvider.digestAlg").unwrap_or_default(),
        super_digest: text("zookeeper.DigestAuthenticationProvider.superDigest"),
        sasl_auth_enabled: false,
        any_sasl_user: text("zookeeper.letAnySaslUserDoX"),
        x509_auth_enabled: false,
        x509_super_user: text("zookeeper.X509AuthenticationProvider.superUser"),
        ensemble_auth_enabled: false,
        ensemble_auth_names: None,
        required_auth_schemes: Vec::new(),
        properties: Default::default(),
        warnings: Vec::new(),
        notes: Vec::new(),
    }
}

/// A number that means nothing below zero; Java takes those for "no limit" or "never" as it
/// takes zero.
fn positive(settings: &Settings, name: &str) -> u32 {
    u32::try_from(settings.number(name).unwrap_or_default()).unwrap_or(0)
}

fn shard_threads(settings: &Settings) -> Option<u16> {
    let threads = settings.number("zookeeper.ostler.shardThreads").unwrap_or(-1);
    u16::try_from(threads.min(SHARD_THREADS_MAX)).ok()
}

/// More threads than any machine has cores for.
const SHARD_THREADS_MAX: i64 = 1024;

// Java: BinaryInputArchive, where the extra size is never below the 1024 it once always was.
fn jute_extra_bytes(settings: &Settings, jute_max_buffer_bytes: u32) -> u32 {
    let set = settings.number("zookeeper.jute.maxbuffer.extrasize");
    set.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(jute_max_buffer_bytes).max(1024)
}

/// Either spelling; the one with the prefix wins.
fn fsync_warning_threshold_ms(settings: &Settings) -> i64 {
    let names = ["zookeeper.fsync.warningthresholdms", "fsync.warningthresholdms"];
    let set = names.into_iter().find(|name| settings.setting(name).is_some());
    settings.number(set.unwrap_or(names[0])).unwrap_or_default()
}

fn snapshot_compression(settings: &Settings) -> SnapshotCompression {
    match settings.text("zookeeper.snapshot.compression.method") {
        Some("gz") => SnapshotCompression::Gzip,
        Some("snappy") => SnapshotCompression::Snappy,
        _ => SnapshotCompression::None,
    }
}

fn four_letter_whitelist(settings: &Settings) -> FourLetterWhitelist {
    let mut list = settings.text("zookeeper.4lw.commands.whitelist").unwrap_or_default().to_owned();
    if settings.bool("readonlymode.enabled") {
        list.push_str(",isro");
    }
    FourLetterWhitelist::parse(&list)
}

fn without_brackets(host: String) -> String {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => inside.to_owned(),
        None => host,
    }
}

fn check_ports(settings: &Settings) -> Result<(), String> {
    for port in ["clientPort", "secureClientPort"] {
        let address = format!("{port}Address");
        if settings.port(port).is_none() && settings.text(&address).is_some() {
            return Err(format!("{address} is set but {port} is not set"));
        }
    }
    Ok(())
}

fn check_sasl(settings: &Settings) -> Result<(), String> {
    let [sasl, server, learner] = [
        "quorum.auth.enableSasl",
        "quorum.auth.serverRequireSasl",
        "quorum.auth.learnerRequireSasl",
    ];
    for (needed, asked) in [(sasl, server), (sasl, learner), (learner, server)] {
        if settings.bool(asked) && !settings.bool(needed) {
            return Err(format!("{needed} is disabled, so cannot enable {asked}"));
        }
    }
    Ok(())
}

/// Both network back ends of Java stand for ours; any other would be a Java class.
fn check_network_class(settings: &Settings) -> Result<(), ConfigError> {
    let name = "zookeeper.serverCnxnFactory";
    let known = [
        "org.apache.zookeeper.server.NIOServerCnxnFactory",
        "org.apache.zookeeper.server.NettyServerCnxnFactory",
    ];
    match settings.setting(name) {
        Some(setting) if !known.contains(&setting.value.as_str()) => {
            let reason = format!("Couldn't instantiate {}", setting.value);
            let error = ConfigError::at(&setting.origin, name, &setting.value, reason);
            Err(error.exiting(ExitCode::UnexpectedError))
        }
        _ => Ok(()),
    }
}
