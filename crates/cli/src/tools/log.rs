//! Showing, repairing and cutting a transaction log.
//!
//! One record is in memory at a time, however long the log is. The log itself is never changed:
//! what is repaired or cut is a new file beside it, which is there only when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ostler_disk::log_frames::{FileHeader, Frame, FrameError, Frames, checksum_of, write_frame};
use ostler_wire::jute::DecodeError;
use ostler_wire::txn::TxnRecord;

use super::java_text::Dates;
use super::screen::{Refusal, Screen};
use super::txn_text::text_of;

/// How a log is repaired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repair {
    /// Corrects every checksum without asking.
    pub(crate) yes: bool,
    /// Prints the other records too.
    pub(crate) verbose: bool,
}

/// Prints every record.
// Java: TxnLogToolkit.dump.
pub(crate) fn dump(screen: &mut Screen<'_>, path: &Path) -> Result<(), Refusal> {
    let (header, mut frames) = open(path)?;
    put_title(screen.out, &header)?;
    let dates = Dates::local();
    let mut count = 0_u64;
    while let Some(frame) = next(path, &mut frames)? {
        let line = line_of(path, &dates, frame)?;
        if checksum_of(frame.body) != frame.checksum {
            write!(screen.out, "CRC ERROR - {line}")?;
        }
        screen.out.write_all(line.as_bytes())?;
        require_end(path, frame)?;
        count += 1;
    }
    writeln!(screen.out, "EOF reached after {count} txns.")?;
    Ok(())
}

/// Writes `<file>.fixed`, a copy with checksums that fit.
pub(crate) fn repair(screen: &mut Screen<'_>, path: &Path, how: Repair) -> Result<(), Refusal> {
    require_readable(path)?;
    let to = with_suffix(path, ".fixed");
    if to.exists() {
        let to = to.display();
        return Err(Refusal::new(1, format!("Recovery file {to} already exists or not writable")));
    }
    let (header, mut frames) = open(path)?;
    put_title(screen.out, &header)?;
    let mut copy = Copy::create(&to, &header)?;
    let dates = Dates::local();
    let (mut count, mut fixed) = (0_u64, 0_u64);
    while let Some(frame) = next(path, &mut frames)? {
        let line = line_of(path, &dates, frame)?;
        let right = checksum_of(frame.body);
        let mut checksum = frame.checksum;
        if checksum != right {
            let kind = if how.yes { "FIXED" } else { "ERROR" };
            write!(screen.out, "CRC {kind} - {line}")?;
            if how.yes || wants_fix(screen)? {
                checksum = right;
                fixed += 1;
            }
        }
        if how.verbose {
            screen.out.write_all(line.as_bytes())?;
        }
        require_end(path, frame)?;
        copy.append(checksum, frame.body)?;
        count += 1;
    }
    copy.finish(true)?;
    writeln!(screen.out, "EOF reached after {count} txns.")?;
    let to = to.display();
    writeln!(screen.out, "Recovery file {to} has been written with {fixed} fixed CRC error(s)")?;
    Ok(())
}

/// Writes `<file>.chopped<zxid>`, which ends with that transaction.
///
/// A failure is told on standard output; the refusal that follows says nothing more.
// Java: TxnLogToolkit.chop.
pub(crate) fn chop(screen: &mut Screen<'_>, path: &Path, zxid: i64) -> Result<(), Refusal> {
    require_readable(path)?;
    let why = match chop_or_fail(screen, path, zxid) {
        Ok(true) => return Ok(()),
        Ok(false) => format!("Failed to chop {}", path.file_name().unwrap_or_default().display()),
        Err(refusal) => refusal.message,
    };
    writeln!(screen.out, "Got exception: {why}")?;
    Err(Refusal::new(1, ""))
}

/// Java: LogChopper.chop.
fn chop_or_fail(screen: &mut Screen<'_>, path: &Path, zxid: i64) -> Result<bool, Refusal> {
    let (header, mut frames) = open(path)?;
    let mut copy = Copy::create(&with_suffix(path, &format!(".chopped{zxid}")), &header)?;
    put_title(screen.out, &header)?;
    let (mut count, mut is_found, mut last) = (0_u64, false, None);
    while let Some(frame) = next(path, &mut frames)? {
        let right = checksum_of(frame.body);
        if right != frame.checksum {
            let message = format!("CRC doesn't match {} vs {right}", frame.checksum);
            return Err(Refusal::new(1, message));
        }
        let record = TxnRecord::decode(frame.body)
            .map_err(|error| undecodable(path, frame.offset, &error))?;
        if frame.is_ended != Some(true) {
            writeln!(screen.out, "Last transaction was partial.")?;
            return Err(Refusal::new(1, "Last transaction was partial."));
        }
        let at = record.header.zxid.0;
        is_found |= at == zxid;
        tell_gap(screen, last, at)?;
        last = Some(at);
        if at > zxid {
            if count == 0 || !is_found {
                writeln!(screen.out, "This log does not contain zxid {zxid:x}")?;
                return Ok(false);
            }
            copy.finish(false)?;
            writeln!(screen.out, "Chopping at {zxid:x} new log has {count} records")?;
            return Ok(true);
        }
        copy.append(frame.checksum, frame.body)?;
        count += 1;
    }
    writeln!(screen.out, "EOF reached after {count} txns.")?;
    Ok(false)
}

fn tell_gap(screen: &mut Screen<'_>, last: Option<i64>, at: i64) -> io::Result<()> {
    let Some(last) = last.filter(|last| *last != -1 && at != last.wrapping_add(1)) else {
        return Ok(());
    };
    if at >> 32 == last >> 32 {
        writeln!(screen.out, "There is intra-epoch gap between {last:x} and {at:x}")
    } else if at & 0xffff_ffff != 1 {
        writeln!(screen.out, "There is inter-epoch gap between {last:x} and {at:x}")
    } else {
        Ok(())
    }
}

/// Asks until there is an answer.
fn wants_fix(screen: &mut Screen<'_>) -> Result<bool, Refusal> {
    loop {
        write!(screen.out, "Would you like to fix it (Yes/No/Abort) ? ")?;
        screen.out.flush()?;
        let mut line = String::new();
        if screen.input.read_line(&mut line)? == 0 {
            return Err(Refusal::new(1, "Nobody answers. Use -y to fix all without asking."));
        }
        for word in line.split_whitespace() {
            match word.chars().next().map(|first| first.to_ascii_uppercase()) {
                Some('Y') => return Ok(true),
                Some('N') => return Ok(false),
                Some('A') => return Err(Refusal::new(0, "Recovery aborted.")),
                _ => {}
            }
        }
    }
}

/// Opens a log and reads what stands in front of its records.
fn open(path: &Path) -> Result<(FileHeader, Frames<File>), Refusal> {
    require_readable(path)?;
    let file = File::open(path).map_err(|error| told(path, &error))?;
    Frames::open(file).map_err(|error| match error {
        FrameError::NoHeader => {
            let name = path.file_name().unwrap_or_default().display();
            Refusal::new(2, format!("Invalid magic number for {name}"))
        }
        other => told(path, &other),
    })
}

fn put_title(out: &mut dyn Write, header: &FileHeader) -> io::Result<()> {
    let FileHeader { version, dbid, .. } = header;
    writeln!(
        out,
        "ZooKeeper Transactional Log File with dbid {dbid} txnlog format version {version}"
    )
}

fn next<'a>(path: &Path, frames: &'a mut Frames<File>) -> Result<Option<Frame<'a>>, Refusal> {
    frames.next().map_err(|error| told(path, &error))
}

fn line_of(path: &Path, dates: &Dates, frame: Frame<'_>) -> Result<String, Refusal> {
    text_of(dates, frame.body).map_err(|error| undecodable(path, frame.offset, &error))
}

fn require_readable(path: &Path) -> Result<(), Refusal> {
    match File::open(path) {
        Ok(_) => Ok(()),
        Err(_) => {
            let path = path.display();
            Err(Refusal::new(1, format!("File doesn't exist or not readable: {path}")))
        }
    }
}

fn require_end(path: &Path, frame: Frame<'_>) -> Result<(), Refusal> {
    match frame.is_ended {
        Some(true) => Ok(()),
        Some(false) => Err(Refusal::new(1, "Last transaction was partial.")),
        None => Err(told(path, &"it ends behind a record without the byte that ends one")),
    }
}

fn told(path: &Path, what: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(1, format!("{}: {what}", path.display()))
}

fn undecodable(path: &Path, offset: u64, error: &DecodeError) -> Refusal {
    told(path, &format!("the record at byte {offset} holds no transaction that is known: {error}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A new log. It has its name when it is whole; if it never is, nothing is left of it.
struct Copy {
    file: BufWriter<File>,
    to: PathBuf,
    unfinished: PathBuf,
    length_bytes: u64,
    padded_bytes: u64,
    is_finished: bool,
}

impl Copy {
    fn create(to: &Path, header: &FileHeader) -> Result<Self, Refusal> {
        let unfinished = with_suffix(to, ".tmp");
        let file = File::create(&unfinished).map_err(|error| told(&unfinished, &error))?;
        let mut copy = Self {
            file: BufWriter::with_capacity(256 << 10, file),
            to: to.to_owned(),
            unfinished,
            length_bytes: HEADER_BYTES,
            padded_bytes: HEADER_BYTES,
            is_finished: false,
        };
        header.write(&mut copy.file).map_err(|error| told(&copy.unfinished, &error))?;
        Ok(copy)
    }

    fn append(&mut self, checksum: i64, body: &[u8]) -> Result<(), Refusal> {
        self.pad();
        write_frame(&mut self.file, checksum, body)
            .map_err(|error| told(&self.unfinished, &error))?;
        self.length_bytes += (body.len() + FRAME_BYTES) as u64;
        Ok(())
    }

    /// Java: FilePadding.calculateFileSizeWithPadding, with its default size.
    fn pad(&mut self) {
        if self.length_bytes + 4096 < self.padded_bytes {
            return;
        }
        self.padded_bytes = if self.length_bytes > self.padded_bytes {
            (self.length_bytes + PADDING_BYTES) / PADDING_BYTES * PADDING_BYTES
        } else {
            self.padded_bytes + PADDING_BYTES
        };
    }

    /// Makes it durable and gives it its name; with the zeros behind the records that servers
    /// leave there, or without.
    fn finish(mut self, is_padded: bool) -> Result<(), Refusal> {
        let name = |copy: &mut Self| {
            copy.file.flush()?;
            if is_padded {
                copy.file.get_ref().set_len(copy.padded_bytes.max(copy.length_bytes))?;
            }
            copy.file.get_ref().sync_all()?;
            fs::rename(&copy.unfinished, &copy.to)
        };
        name(&mut self).map_err(|error| told(&self.to, &error))?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be removed has a name that nobody takes for a log.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

const HEADER_BYTES: u64 = 16;

/// Checksum, length and the byte behind the body.
const FRAME_BYTES: usize = 13;

/// `preAllocSize`.
const PADDING_BYTES: u64 = 64 << 20;
