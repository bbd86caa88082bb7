//! What the configuration says, in the words of the core and of the disk.

use std::path::PathBuf;

use ostler_disk::compress::Compression;
use ostler_disk::log::LogOptions;
use ostler_disk::recover::RecoverOptions;
use ostler_disk::snapshot::SnapshotOptions;
use ostler_disk::storage::StorageOptions;
use ostler_node::auth::DigestAlgorithm;
use ostler_node::limits::{AuthSettings, ReaperSettings, Settings};

use super::{StartError, shard_count};
use crate::config::{Config, SnapshotCompression};

/// What the core has to know of the configuration.
pub(super) fn settings(config: &Config) -> Result<Settings, StartError> {
    let digest_algorithm = DigestAlgorithm::from_name(&config.digest_alg)
        .ok_or_else(|| StartError::Setting(format!("no algorithm {}", config.digest_alg)))?;
    let throttling = &config.throttling;
    let own = config.ensemble.as_ref();
    let session_timeout = |ms: u32| i32::try_from(ms).unwrap_or(i32::MAX);
    Ok(Settings {
        server_id: session_server_id(config),
        tick_time_ms: u64::from(config.tick_time_ms),
        session_timeout_min_ms: session_timeout(config.min_session_timeout_ms),
        session_timeout_max_ms: session_timeout(config.max_session_timeout_ms),
        frame_max_bytes: config.jute_max_buffer_bytes as usize,
        outstanding_max: outstanding_max(config),
        throttled_op_wait_ms: u64::from(throttling.throttled_op_wait_ms),
        drop_stale: throttling.stale_requests_dropped,
        large_request_threshold_bytes: throttling
            .large_request_threshold_bytes
            .map(|bytes| bytes as usize),
        large_requests_max_bytes: throttling.large_requests_max_bytes as usize,
        connection_throttle: throttling.connections,
        snap_count: u64::from(config.snap_count),
        snap_size_limit_bytes: kilobytes(config.snap_size_limit_kb),
        history_count: own.map_or(0, |own| own.commit_log_count as usize),
        observer_rest_max_ms: own.map_or(0, |own| u64::from(own.observer_rest_max_ms)),
        leader_serves: own.is_none_or(|own| own.leader_serves),
        local_sessions: own.is_some_and(|own| own.local_sessions),
        local_sessions_upgrading: own.is_some_and(|own| own.local_sessions_upgrading),
        read_only_mode: own.is_some_and(|own| own.read_only_mode),
        digest_enabled: config.digest_enabled,
        enforce_quota: config.enforce_quota,
        extended_types: config.extended_types_enabled,
        reaper: ReaperSettings {
            interval_ms: u64::from(config.container_check_interval_ms),
            per_minute: u64::from(config.container_max_per_minute),
            unused_max_ms: config.container_max_never_used_interval_ms,
        },
        reconfig_enabled: config.reconfig_enabled,
        sessionless_timeout_ms: u64::from(config.sessionless_cnxn_timeout_ms),
        auth: AuthSettings {
            skip_acl: config.skip_acl,
            digest_enabled: config.digest_auth_enabled,
            digest_algorithm,
            super_digest: config.super_digest.clone(),
            sasl_enabled: config.sasl_auth_enabled,
            any_sasl_user: config.any_sasl_user.clone(),
            x509_enabled: config.x509_auth_enabled,
            x509_super_user: config.x509_super_user.clone(),
            ensemble_enabled: config.ensemble_auth_enabled,
            ensemble_names: config.ensemble_auth_names.clone(),
            required_schemes: config.required_auth_schemes.clone(),
        },
    })
}

/// The upper byte of the ids of sessions that are made here.
// Java: a standalone server makes session ids as server 1, whatever its myid. Of a greater id
// SessionTrackerImpl.initializeNextSessionId keeps the lowest byte.
fn session_server_id(config: &Config) -> u8 {
    config.ensemble.as_ref().map_or(1, |own| own.my_id.to_be_bytes()[7])
}

/// How the data directory is written and read.
pub(super) fn storage_options(config: &Config, hash_key: u64) -> StorageOptions {
    StorageOptions {
        log: log_options(config),
        snapshot: snapshot_options(config),
        recover: RecoverOptions {
            hash_key,
            max_record_bytes: record_bytes_max(config),
            trust_empty: config.snapshot_trust_empty,
            digest_check: config.digest_enabled,
        },
    }
}

/// What one shard may have in progress.
fn outstanding_max(config: &Config) -> usize {
    let limit = config.global_outstanding_limit as usize;
    let throttle = config.throttling.requests_max as usize;
    // Java holds requests back above the throttle's limit in steps of a tenth of a second; here
    // they are held back where all others are.
    let limit = match throttle.div_ceil(usize::from(shard_count(config))) {
        0 => limit,
        share => limit.min(share),
    };
    limit.max(1)
}

fn log_options(config: &Config) -> LogOptions {
    let size_limit_bytes = kilobytes(config.txn_log_size_limit_kb);
    LogOptions {
        pre_alloc_bytes: kilobytes(config.pre_alloc_size_kb),
        force_sync: config.force_sync,
        size_limit_bytes: (size_limit_bytes > 0).then_some(size_limit_bytes),
        max_record_bytes: record_bytes_max(config),
        ..LogOptions::default()
    }
}

fn snapshot_options(config: &Config) -> SnapshotOptions {
    SnapshotOptions {
        compression: match config.snapshot_compression {
            SnapshotCompression::None => Compression::None,
            SnapshotCompression::Gzip => Compression::Gzip,
            SnapshotCompression::Snappy => Compression::Snappy,
        },
        last_zxid_trailer: config.serialize_last_processed_zxid,
        digest: config.digest_enabled,
    }
}

/// The longest record of a log: what a client may send, and what the server adds.
pub(super) fn record_bytes_max(config: &Config) -> usize {
    config.jute_max_buffer_bytes as usize + config.jute_max_buffer_extra_bytes as usize
}

/// A limit in KB as bytes; 0 or less is off, which is 0.
fn kilobytes(limit_kb: i64) -> u64 {
    u64::try_from(limit_kb).unwrap_or(0) * 1024
}

/// The directory in a data directory that holds the files.
const VERSION_DIR: &str = "version-2";

/// Where snapshots and logs are.
pub(super) fn version_dirs(config: &Config) -> (PathBuf, PathBuf) {
    (config.data_dir.join(VERSION_DIR), config.data_log_dir.join(VERSION_DIR))
}
