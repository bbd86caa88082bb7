//! The names of logs and snapshots, and finding them in a directory.
//!
//! `log.<zxid>` and `snapshot.<zxid>[.gz|.snappy]`; the zxid is lower-case hexadecimal without
//! padding: that of the first record in a log, the last one applied in a snapshot. Anything else
//! in the directory is somebody else's and never touched, except `snapshot.<zxid>*.tmp` and
//! `sent.snapshot.<zxid>*.tmp`, which a crash leaves behind while a snapshot is written that was
//! taken here or sent by a leader.

use std::io;
use std::path::{Path, PathBuf};

use ostler_wire::ids::Zxid;

use crate::compress::Compression;
use crate::disk::Disk;

/// A log or snapshot found in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedFile {
    /// The zxid in its name.
    pub zxid: Zxid,
    /// Its full path.
    pub path: PathBuf,
}

/// The name of the log whose first record is `first`.
#[must_use]
pub fn log_name(first: Zxid) -> String {
    format!("log.{:x}", first.0)
}

/// The name of the snapshot of the tree at `last`.
#[must_use]
pub fn snapshot_name(last: Zxid, compression: Compression) -> String {
    format!("snapshot.{:x}{}", last.0, compression.suffix())
}

/// The zxid of a log's name; `None` if it is not the name of a log.
#[must_use]
pub fn parse_log_name(name: &str) -> Option<Zxid> {
    parse_zxid(name.strip_prefix("log.")?)
}

/// The zxid and compression of a snapshot's name; `None` if it is not one, as `.tmp` is not.
#[must_use]
pub fn parse_snapshot_name(name: &str) -> Option<(Zxid, Compression)> {
    let rest = name.strip_prefix("snapshot.")?;
    let (zxid, compression) = match rest.split_once('.') {
        None => (rest, Compression::None),
        Some((zxid, "gz")) => (zxid, Compression::Gzip),
        Some((zxid, "snappy")) => (zxid, Compression::Snappy),
        Some(_) => return None,
    };
    Some((parse_zxid(zxid)?, compression))
}

/// Whether a crash left this while a snapshot was written.
#[must_use]
pub fn is_unfinished_snapshot(name: &str) -> bool {
    name.strip_suffix(".tmp")
        .is_some_and(|name| parse_snapshot_name(name.strip_prefix(SENT).unwrap_or(name)).is_some())
}

/// The logs of a directory, lowest zxid first.
pub fn logs<D: Disk>(disk: &D, dir: &Path) -> io::Result<Vec<NamedFile>> {
    find(disk, dir, parse_log_name)
}

/// The snapshots of a directory, lowest zxid first, good and bad ones alike.
pub fn snapshots<D: Disk>(disk: &D, dir: &Path) -> io::Result<Vec<NamedFile>> {
    find(disk, dir, |name| parse_snapshot_name(name).map(|(zxid, _)| zxid))
}

/// The names in a directory; none if there is no such directory.
pub(crate) fn list_if_present<D: Disk>(disk: &D, dir: &Path) -> io::Result<Vec<String>> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

fn find<D: Disk>(
    disk: &D,
    dir: &Path,
    parse: impl Fn(&str) -> Option<Zxid>,
) -> io::Result<Vec<NamedFile>> {
    let mut files: Vec<_> = list_if_present(disk, dir)?
        .into_iter()
        .filter_map(|name| Some(NamedFile { zxid: parse(&name)?, path: dir.join(name) }))
        .collect();
    files.sort_by(|a, b| (a.zxid, &a.path).cmp(&(b.zxid, &b.path)));
    Ok(files)
}

/// In front of the name of a snapshot that a leader sends, until it is whole. Apache's server looks
/// at no such file.
pub(crate) const SENT: &str = "sent.";

fn parse_zxid(hex: &str) -> Option<Zxid> {
    let digits = !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| i64::from_str_radix(hex, 16).ok().map(Zxid)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hex_without_padding() {
        assert_eq!(log_name(Zxid(0x1_0000_000a)), "log.10000000a");
        assert_eq!(snapshot_name(Zxid(0), Compression::None), "snapshot.0");
        assert_eq!(snapshot_name(Zxid(255), Compression::Snappy), "snapshot.ff.snappy");
        assert_eq!(parse_log_name("log.10000000a"), Some(Zxid(0x1_0000_000a)));
        assert_eq!(parse_snapshot_name("snapshot.ff.gz"), Some((Zxid(255), Compression::Gzip)));
    }

    #[test]
    fn other_names_are_nobodys() {
        for name in
            ["log", "log.", "log.x", "log.+1", "log.1.bak", "log.11112222333344445", "Log.1"]
        {
            assert_eq!(parse_log_name(name), None, "{name}");
        }
        for name in ["snapshot", "snapshot.1.tmp", "snapshot.1.gz.tmp", "snapshot.1.zip"] {
            assert_eq!(parse_snapshot_name(name), None, "{name}");
        }
        assert!(is_unfinished_snapshot("snapshot.1.tmp"));
        assert!(is_unfinished_snapshot("snapshot.1.gz.tmp"));
        assert!(is_unfinished_snapshot("sent.snapshot.1.tmp"));
        assert!(!is_unfinished_snapshot("sent.snapshot.1"));
        assert!(!is_unfinished_snapshot("currentEpoch.tmp"));
        assert!(!is_unfinished_snapshot("log.1.tmp"));
    }
}
