//! The log, on a disk that takes everything and keeps nothing.

use std::io;
use std::path::{Path, PathBuf};

use ostler_disk::disk::{Disk, DiskFile};
use ostler_disk::log::{Log, LogOptions};
use ostler_wire::ids::Zxid;
use ostler_wire::txn::{TxnDigest, TxnRecord};

use super::Round;
use crate::znodes::{child_path, header, set_data};

/// Records in a round: a few MiB, so that zeros ahead are written as often as in the long run.
pub(crate) const RECORDS: usize = 40_000;

/// Appends records of setData of 100 bytes and commits after every ten of them.
pub(crate) fn log() -> Round {
    let mut body = Vec::new();
    let digest = Some(TxnDigest { version: TxnDigest::VERSION, tree_digest: 1 });
    let path = child_path(1, 1);
    TxnRecord { header: header(Zxid(1)), txn: set_data(&path), digest }.encode(&mut body);
    let mut log = Log::new(Nowhere, PathBuf::from("/log"), LogOptions::default());
    let mut zxid = Zxid(0);
    Box::new(move || {
        for _ in 0..RECORDS / 10 {
            for _ in 0..10 {
                zxid = zxid.next();
                log.append(zxid, &body);
            }
            log.commit().expect("nothing fails here");
        }
    })
}

/// A disk without a file.
struct Nowhere;

/// A file with a length alone.
struct Length(u64);

impl Disk for Nowhere {
    type File = Length;

    fn open(&self, _: &Path) -> io::Result<Length> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn open_writable(&self, _: &Path) -> io::Result<Length> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn create(&self, _: &Path) -> io::Result<Length> {
        Ok(Length(0))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn exists(&self, _: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Length {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0)
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0 = self.0.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn set_len(&mut self, len_bytes: u64) -> io::Result<()> {
        self.0 = len_bytes;
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&mut self) -> io::Result<()> {
        Ok(())
    }
}
