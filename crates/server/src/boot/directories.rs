//! The data directories: made, locked, recovered.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ostler_disk::dir_lock::{DirLock, LockError};
use ostler_disk::disk::create_directories;
use ostler_disk::real_disk::RealDisk;
use ostler_disk::recover::Recovered;
use ostler_disk::storage::Storage;
use ostler_node::replica;
use ostler_tree::Tree;

use super::StartError;
use super::core::{storage_options, version_dirs};
use crate::config::Config;
use crate::huge_pages;

/// What the server goes on with.
pub(super) struct Found {
    pub(super) data: replica::Found,
    pub(super) storage: Storage<RealDisk>,
    /// False for a member whose data are missing and should not be.
    pub(super) may_vote: bool,
}

/// Makes the directories if that is allowed, and locks them until the result is dropped.
pub(super) fn prepare(config: &Config) -> Result<Vec<DirLock>, StartError> {
    let (snap_dir, log_dir) = version_dirs(config);
    for dir in [&snap_dir, &log_dir] {
        if !config.datadir_autocreate && !dir.is_dir() {
            return Err(StartError::Directory(format!(
                "Missing data directory {}, automatic data directory creation is disabled \
                 (zookeeper.datadir.autocreate is false). Please create this directory manually.",
                dir.display()
            )));
        }
        create_directories(&RealDisk, dir).map_err(|error| {
            StartError::Directory(format!(
                "Unable to create data directory {}: {error}",
                dir.display()
            ))
        })?;
    }
    let mut locks = vec![lock(&config.data_dir)?];
    if !is_same(&config.data_dir, &config.data_log_dir) {
        locks.push(lock(&config.data_log_dir)?);
    }
    Ok(locks)
}

fn lock(dir: &Path) -> Result<DirLock, StartError> {
    DirLock::acquire(dir).map_err(|error| match error {
        LockError::InUse { .. } | LockError::Refused { .. } => {
            StartError::Directory(error.to_string())
        }
    })
}

fn is_same(one: &Path, other: &Path) -> bool {
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    canonical(one) == canonical(other)
}

/// Reads the data, and brings to disk what has to be there before the first client comes.
pub(super) fn recover(config: &Config, hash_key: u64) -> Result<Found, StartError> {
    let (snap_dir, log_dir) = version_dirs(config);
    let start = Instant::now();
    let options = storage_options(config, hash_key);
    huge_pages::suit_directory(&snap_dir);
    let mut storage = Storage::new(RealDisk, snap_dir, log_dir, options);
    let mut recovered = storage.recover().map_err(|error| StartError::Data(error.to_string()))?;
    if let Some((path, length_bytes)) = &recovered.torn_tail {
        tracing::warn!(
            "{} ended in a write that was never acknowledged; it was cut to {length_bytes} bytes",
            path.display()
        );
    }
    let marker = config.data_log_dir.join("initialize");
    // Java: FileTxnSnapLog.restore.
    let may_vote = !recovered.fresh
        || config.ensemble.as_ref().is_none_or(|own| own.db_autocreate)
        || marker.exists();
    // What a member changed alone would set it apart from the others.
    let is_changed = config.ensemble.is_none() && put_right(config, &mut recovered.tree);
    let mut txns_logged = recovered.txns_replayed;
    if may_vote && (recovered.snapshot.is_none() || is_changed) {
        // Without a snapshot the next start would refuse the logs; and no log tells of the rest.
        storage
            .write_snapshot(&recovered.tree)
            .map_err(|error| StartError::Directory(format!("cannot write a snapshot: {error}")))?;
        txns_logged = 0;
    }
    remove_marker(&marker)?;
    huge_pages::suit_tree(&recovered.tree);
    tracing::info!(
        "{} znodes and {} sessions up to {} recovered in {} ms ({} transactions replayed)",
        recovered.tree.node_count(),
        recovered.tree.session_count(),
        recovered.tree.last_zxid(),
        start.elapsed().as_millis(),
        recovered.txns_replayed
    );
    let Recovered { tree, tail: history, .. } = recovered;
    Ok(Found { data: replica::Found { tree, history, txns_logged }, storage, may_vote })
}

/// Changes what was left in a form that nobody uses; whether there was any.
fn put_right(config: &Config, tree: &mut Tree) -> bool {
    // Before they are taken for ephemerals without a session.
    let adopted = if config.adopts_ttls_of_353 { tree.adopt_ttls_of_353() } else { 0 };
    if adopted > 0 {
        tracing::warn!("stored {adopted} znodes with a time to live of release 3.5.3 anew");
    }
    let orphans = tree.remove_orphans();
    if orphans > 0 {
        tracing::warn!("removed {orphans} ephemeral znodes whose sessions are gone");
    }
    adopted > 0 || orphans > 0
}

/// The mark of a directory that may be empty is used up by the first load, whatever it found.
fn remove_marker(marker: &Path) -> Result<(), StartError> {
    match std::fs::remove_file(marker) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StartError::Directory(format!("cannot remove {}: {error}", marker.display())))
        }
        _ => Ok(()),
    }
}
