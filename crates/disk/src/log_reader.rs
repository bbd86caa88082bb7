//! Reading one log file, record by record.
//!
//! The reader checks frames: length, trailer, checksum. It does not know transactions beyond the
//! zxid, and has no opinion on the order of records (see `replay`).

use std::io;
use std::path::{Path, PathBuf};

use ostler_wire::ids::Zxid;

use crate::disk::{Disk, DiskFile, read_full};
use crate::log_format::{
    self, BadRecord, FRAME_BYTES, FRAME_HEAD_BYTES, HEADER, HEADER_BYTES, TRAILER, Tail,
};

/// Why a log file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A record that was safe on disk once is not what was written.
    #[error(
        "{} is damaged at byte {offset}: {reason}. Transactions behind that byte were \
         acknowledged and would be lost by going on. Restore the file from a backup or from \
         another server; if losing them is acceptable, move this file and every later log out of \
         the directory, after a copy of the part before that byte",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the bad record begins, in bytes.
        offset: u64,
        /// What was found there.
        reason: String,
    },
    /// A sound record that is larger than the settings allow.
    #[error(
        "{} holds a record of {length} bytes at byte {offset}, more than the {max} that are \
         allowed. Raise jute.maxbuffer (with jute.maxbuffer.extrasize) and start again",
        path.display()
    )]
    RecordTooLarge {
        /// The file.
        path: PathBuf,
        /// Where the record begins, in bytes.
        offset: u64,
        /// Length of its body.
        length: u64,
        /// The limit.
        max: usize,
    },
}

/// One transaction as it stands in a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Offset of the record in its file, in bytes.
    pub offset: u64,
    /// The transaction's id.
    pub zxid: Zxid,
    /// Header, transaction and digest: what `TxnRecord::decode` takes.
    pub body: &'a [u8],
}

/// What comes next in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step<'a> {
    /// A good record.
    Record(Record<'a>),
    /// No more of them.
    End {
        /// Where the good part of the file ends; 0 if not even the header is good.
        offset: u64,
        /// What follows. Never [`Tail::Damaged`], which is a [`LogError::Damaged`].
        tail: Tail,
    },
}

/// A log file being read.
#[derive(Debug)]
pub struct LogReader<F> {
    path: PathBuf,
    file: F,
    len: u64,
    max_record_bytes: usize,
    position: u64,
    window: Vec<u8>,
    // Invariant: `window` holds the file's bytes from here on.
    window_at: u64,
    has_header: bool,
}

impl<F: DiskFile> LogReader<F> {
    /// Opens a file; `max_record_bytes` bounds the length of a record's body.
    pub fn open<D: Disk<File = F>>(
        disk: &D,
        path: &Path,
        max_record_bytes: usize,
    ) -> Result<Self, LogError> {
        let failed = |source| LogError::Read { path: path.to_owned(), source };
        let file = disk.open(path).map_err(failed)?;
        let len = file.len_bytes().map_err(failed)?;
        let mut header = [0; HEADER.len()];
        let filled = read_full(&file, &mut header, 0).map_err(failed)?;
        let has_header = filled == HEADER.len() && header.starts_with(b"ZKLG");
        Ok(Self {
            path: path.to_owned(),
            file,
            len,
            max_record_bytes,
            position: if has_header { HEADER_BYTES } else { 0 },
            window: Vec::new(),
            window_at: 0,
            has_header,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length of the file with its padding, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len
    }

    /// The next record, or the end; asked again after the end, it says the same again.
    #[allow(clippy::should_implement_trait)] // Records borrow from the reader.
    pub fn next(&mut self) -> Result<Step<'_>, LogError> {
        if !self.has_header {
            let tail = log_format::judge_headless(&self.file, self.len);
            return self.end(tail);
        }
        match self.next_frame()? {
            Ok(length) => {
                let offset = self.position;
                self.position += (FRAME_BYTES + length) as u64;
                let body = self.window_from(offset).get(FRAME_HEAD_BYTES..);
                let body = body.and_then(|rest| rest.get(..length)).unwrap_or_default();
                match body.get(12..20).and_then(|zxid| zxid.try_into().ok()) {
                    Some(zxid) => {
                        let zxid = Zxid(i64::from_be_bytes(zxid));
                        Ok(Step::Record(Record { offset, zxid, body }))
                    }
                    None => Err(LogError::Damaged {
                        path: self.path.clone(),
                        offset,
                        reason: "the record is too short for a transaction".to_owned(),
                    }),
                }
            }
            Err(bad) => {
                let tail = log_format::judge(&self.file, self.len, bad);
                self.end(tail)
            }
        }
    }

    /// Checks the frame at the position; its body's length, or what is wrong with it.
    fn next_frame(&mut self) -> Result<Result<usize, BadRecord>, LogError> {
        let at = self.position;
        let left = self.len.saturating_sub(at);
        let bad = |end, reason| Ok(Err(BadRecord { at, end, reason }));
        self.fill(FRAME_HEAD_BYTES)?;
        let Some(head) = self.window_from(at).first_chunk::<FRAME_HEAD_BYTES>() else {
            return bad(at + FRAME_HEAD_BYTES as u64, "the file ends inside a record's head");
        };
        let (sum, length) = log_format::split_head(head);
        let head_end = at + FRAME_HEAD_BYTES as u64;
        let length = match u64::try_from(length) {
            Ok(0) => return bad(head_end, "a record of no length with data behind it"),
            Ok(length) => length,
            Err(_) => return bad(head_end, "a record of negative length"),
        };
        let end = at + length + FRAME_BYTES as u64;
        let too_large = length > self.max_record_bytes as u64;
        if end - at > left {
            let end = if too_large { head_end } else { end };
            return bad(end, "a record that reaches beyond the end of the file");
        }
        // Bounded by the length of the file, which is on disk already.
        let length_bytes = usize::try_from(length).unwrap_or(usize::MAX);
        self.fill(length_bytes.saturating_add(FRAME_BYTES))?;
        let frame = self.window_from(at).get(FRAME_HEAD_BYTES..).unwrap_or_default();
        match frame.split_at_checked(length_bytes) {
            Some((body, [TRAILER, ..])) if log_format::checksum(body) == sum => {}
            Some((_, [TRAILER, ..])) => {
                let end = if too_large { head_end } else { end };
                return bad(end, "the checksum of a record is wrong");
            }
            _ => {
                let end = if too_large { head_end } else { end };
                return bad(end, "the byte that ends a record is not there");
            }
        }
        if too_large {
            let (path, max) = (self.path.clone(), self.max_record_bytes);
            return Err(LogError::RecordTooLarge { path, offset: at, length, max });
        }
        Ok(Ok(length_bytes))
    }

    /// Makes sure that `count` bytes from the position on are in the window, as far as there are.
    fn fill(&mut self, count: usize) -> Result<(), LogError> {
        let skip = usize::try_from(self.position - self.window_at).unwrap_or(usize::MAX);
        if self.window.len().saturating_sub(skip) >= count {
            return Ok(());
        }
        let left = usize::try_from(self.len - self.position).unwrap_or(usize::MAX);
        let wanted = count.max(WINDOW_BYTES).min(left);
        self.window.resize(wanted, 0);
        let filled = read_full(&self.file, &mut self.window, self.position)
            .map_err(|source| LogError::Read { path: self.path.clone(), source })?;
        self.window.truncate(filled);
        self.window_at = self.position;
        Ok(())
    }

    fn window_from(&self, offset: u64) -> &[u8] {
        let skip = usize::try_from(offset.saturating_sub(self.window_at)).unwrap_or(usize::MAX);
        self.window.get(skip..).unwrap_or_default()
    }

    fn end(&self, tail: io::Result<Tail>) -> Result<Step<'_>, LogError> {
        let (path, offset) = (self.path.clone(), self.position);
        match tail {
            Ok(Tail::Damaged(reason)) => Err(LogError::Damaged { path, offset, reason }),
            Ok(tail) => Ok(Step::End { offset, tail }),
            Err(source) => Err(LogError::Read { path, source }),
        }
    }
}

/// How much is read at once.
const WINDOW_BYTES: usize = 1 << 20;
