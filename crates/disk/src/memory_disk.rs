//! A simulated disk that keeps the crash contract of [`crate::disk`] and not a bit more.
//!
//! It holds every file twice: the image that is safe, and the changes since its last sync. While
//! the power is on, readers see both. [`MemoryDisk::crash`] makes the disk that a machine would
//! find after a power failure: which of the changes survived is drawn from a seed, sector by
//! sector. Faults are set by the number of the operation at which they strike, so a test can run
//! one workload again and again and let the power fail after its every step.
//!
//! # In a simulator
//!
//! - A machine that loses power: [`MemoryDisk::crash`] gives the disk that it finds when it comes
//!   back; whatever still has the old one writes into nothing that anybody reads.
//! - A process that is killed: drop what it had and go on with the same disk. What it wrote is
//!   there, what it did not sync is still at risk.
//! - A disk that fails, or power that fails in the middle of something: [`Faults`] with
//!   [`MemoryDisk::operations`] and as many more as are still to succeed.
//!
//! Nothing here depends on anything but the calls made and the seeds given. A clone is the same
//! disk. Crashes cost by what the files hold beside zeros, so lengths set in advance are free.
//!
//! Not for serving: contents live in memory.

mod image;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, SECTOR_BYTES};
use image::Image;

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    reads_beside: bool,
}

/// An open file of a [`MemoryDisk`].
#[derive(Clone, Debug)]
pub struct MemoryFile {
    state: Arc<Mutex<State>>,
    inode: usize,
    is_writable: bool,
}

/// What goes wrong, and when. Operations that change or sync something are counted from 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The operation during which the power fails; it and every later one return an error.
    pub power_off_at: Option<u64>,
    /// One operation that fails with this error: a write after a part of it, a sync without any
    /// promise about the file from then on.
    pub fail_at: Option<(u64, io::ErrorKind)>,
    /// Whether reads give less than was asked for and are interrupted now and then.
    pub short_reads: bool,
}

/// How much of what was not synced survives a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// All of it.
    Everything,
    /// What came before some moment.
    Prefix,
    /// Each sector, length and name on its own.
    Torn,
}

impl Survival {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Everything, Self::Prefix, Self::Torn];
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations that change or sync something were begun since the disk was made.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// The same disk, but one whose readers may use a thread of their own: not for simulators.
    #[must_use]
    pub fn with_readers_beside(&self) -> Self {
        Self { state: Arc::clone(&self.state), reads_beside: true }
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// The disk as it is found after a power failure at this moment, without faults.
    #[must_use]
    pub fn crash(&self, survival: Survival, seed: u64) -> Self {
        let mut state = self.lock().clone();
        let random = &mut Random(seed);
        for inode in &mut state.inodes {
            inode.crash(survival, random);
        }
        let mut names = std::mem::take(&mut state.durable_names);
        let changes = std::mem::take(&mut state.changes);
        let kept = random.below(changes.len() as u64 + 1);
        for (index, change) in (0..).zip(&changes) {
            let survives = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Prefix => index < kept,
                Survival::Torn => random.below(2) == 0,
            };
            if survives {
                change.apply(&mut names);
            }
        }
        names.retain_reachable();
        state.forget_inodes_without(&names);
        state.names = names.clone();
        state.durable_names = names;
        state.faults = Faults::default();
        state.operations = 0;
        Self { state: Arc::new(Mutex::new(state)), reads_beside: false }
    }

    /// What a file holds, as a reader would see it.
    #[must_use]
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        let inode = state.names.files.get(path)?;
        state.inodes.get(*inode).map(|inode| inode.visible.to_vec())
    }

    /// Puts a file there as if it had always been, for tests that begin with given files.
    pub fn put(&self, path: &Path, contents: &[u8]) {
        let mut state = self.lock();
        let inode = state.inodes.len();
        let mut image = Image::default();
        image.write(contents, 0);
        state.inodes.push(Inode { durable: image.clone(), visible: image, ..Inode::default() });
        let parent = path.parent().map(Path::to_owned).unwrap_or_default();
        let state = &mut *state;
        for names in [&mut state.names, &mut state.durable_names] {
            names.add_directories(&parent);
            names.files.insert(path.to_owned(), inode);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_as(&self, path: &Path, is_writable: bool) -> io::Result<MemoryFile> {
        let state = self.lock();
        state.check_power()?;
        let inode = *state.names.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(MemoryFile { state: Arc::clone(&self.state), inode, is_writable })
    }

    fn change(&self, change: NameChange) -> io::Result<()> {
        let mut state = self.lock();
        let outcome = state.begin()?;
        if outcome != Outcome::Fails {
            change.apply(&mut state.names);
            state.changes.push(change);
        }
        outcome.into_result(&state)
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn open(&self, path: &Path) -> io::Result<MemoryFile> {
        self.open_as(path, false)
    }

    fn open_writable(&self, path: &Path) -> io::Result<MemoryFile> {
        self.open_as(path, true)
    }

    fn create(&self, path: &Path) -> io::Result<MemoryFile> {
        if self.exists(path)? {
            let mut file = self.open_writable(path)?;
            file.set_len(0)?;
            return Ok(file);
        }
        let inode = {
            let mut state = self.lock();
            let parent = path.parent().unwrap_or_else(|| Path::new(""));
            if !state.names.directories.contains(parent) {
                return Err(io::ErrorKind::NotFound.into());
            }
            state.inodes.push(Inode::default());
            state.inodes.len() - 1
        };
        self.change(NameChange::Link { path: path.to_owned(), inode })?;
        self.open_writable(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.check_power()?;
        if !state.names.directories.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = state.names.files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.lock();
        state.check_power()?;
        Ok(state.names.files.contains_key(path) || state.names.directories.contains(path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.open(path)?;
        self.change(NameChange::Unlink { path: path.to_owned() })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.open(from)?.inode;
        self.change(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(NameChange::MakeDirectory { path: dir.to_owned() })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let outcome = state.begin()?;
        if outcome == Outcome::Succeeds {
            let (safe, pending) =
                state.changes.drain(..).partition(|change| change.directory() == Some(dir));
            let safe: Vec<NameChange> = safe;
            state.changes = pending;
            safe.iter().for_each(|change| change.apply(&mut state.durable_names));
        }
        outcome.into_result(&state)
    }

    fn reads_beside(&self) -> bool {
        self.reads_beside
    }
}

impl MemoryFile {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, make: impl FnOnce(Outcome) -> Change) -> io::Result<()> {
        if !self.is_writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut state = self.lock();
        let outcome = state.begin()?;
        let change = make(outcome);
        if let Some(inode) = state.inodes.get_mut(self.inode) {
            change.apply(&mut inode.visible);
            inode.pending.push(change);
        }
        outcome.into_result(&state)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        let outcome = state.begin()?;
        if let Some(inode) = state.inodes.get_mut(self.inode) {
            match outcome {
                Outcome::Succeeds if !inode.is_doubtful => inode.sync(),
                Outcome::Fails => inode.is_doubtful = true,
                Outcome::Succeeds | Outcome::PowerFails => {}
            }
        }
        outcome.into_result(&state)
    }
}

impl DiskFile for MemoryFile {
    fn len_bytes(&self) -> io::Result<u64> {
        let state = self.lock();
        state.check_power()?;
        Ok(state.inodes.get(self.inode).map_or(0, |inode| inode.visible.len_bytes()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.lock();
        state.check_power()?;
        let mut wanted = buffer.len();
        if state.faults.short_reads && wanted > 0 {
            if state.random.below(8) == 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let most = state.random.below(wanted as u64) + 1;
            wanted = usize::try_from(most).unwrap_or(wanted);
        }
        let Some(inode) = state.inodes.get(self.inode) else { return Ok(0) };
        let left = inode.visible.len_bytes().saturating_sub(offset);
        let count = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
        inode.visible.read(buffer.get_mut(..count).unwrap_or_default(), offset);
        Ok(count)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(|outcome| {
            // What fails fails half-way: the worst that a write can do.
            let kept = if outcome == Outcome::Fails { bytes.len() / 2 } else { bytes.len() };
            Change::Write { bytes: bytes.get(..kept).unwrap_or_default().to_vec(), offset }
        })
    }

    fn set_len(&mut self, len_bytes: u64) -> io::Result<()> {
        self.change(|_| Change::SetLen(len_bytes))
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.sync()
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: Names,
    // Invariant: `durable_names` with all `changes` applied is `names`.
    durable_names: Names,
    changes: Vec<NameChange>,
    faults: Faults,
    operations: u64,
    random: Random,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Succeeds,
    Fails,
    PowerFails,
}

impl State {
    fn check_power(&self) -> io::Result<()> {
        match self.faults.power_off_at {
            Some(at) if self.operations > at => Err(io::Error::other("the power is off")),
            _ => Ok(()),
        }
    }

    /// Counts an operation and tells how it ends.
    fn begin(&mut self) -> io::Result<Outcome> {
        self.check_power()?;
        let number = self.operations;
        self.operations += 1;
        Ok(match self.faults {
            Faults { power_off_at: Some(at), .. } if at == number => Outcome::PowerFails,
            Faults { fail_at: Some((at, _)), .. } if at == number => Outcome::Fails,
            _ => Outcome::Succeeds,
        })
    }
}

impl State {
    /// Gives up the contents of files that have no name, and that nobody has opened: handles are
    /// those of another disk.
    fn forget_inodes_without(&mut self, names: &Names) {
        let named: BTreeSet<usize> = names.files.values().copied().collect();
        for (index, inode) in self.inodes.iter_mut().enumerate() {
            if !named.contains(&index) {
                *inode = Inode::default();
            }
        }
    }
}

impl Outcome {
    fn into_result(self, state: &State) -> io::Result<()> {
        match (self, state.faults.fail_at) {
            (Self::Succeeds, _) => Ok(()),
            (Self::Fails, Some((_, kind))) => Err(kind.into()),
            (Self::Fails | Self::PowerFails, _) => Err(io::Error::other("the power fails")),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Image,
    // Invariant: `durable` with all `pending` applied is `visible`.
    pending: Vec<Change>,
    visible: Image,
    // After a failed sync no later one helps.
    is_doubtful: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Write { bytes: Vec<u8>, offset: u64 },
    SetLen(u64),
}

impl Change {
    fn apply(&self, to: &mut Image) {
        match self {
            Self::Write { bytes, offset } => to.write(bytes, *offset),
            Self::SetLen(len) => to.set_len(*len),
        }
    }
}

impl Inode {
    fn sync(&mut self) {
        let resized = self.pending.iter().any(|change| matches!(change, Change::SetLen(_)));
        if resized {
            self.durable = self.visible.clone();
        }
        for change in self.pending.drain(..) {
            if let (Change::Write { bytes, offset }, false) = (change, resized) {
                self.durable.adopt(&self.visible, offset..offset + bytes.len() as u64);
            }
        }
        self.durable.set_len(self.visible.len_bytes());
    }

    fn crash(&mut self, survival: Survival, random: &mut Random) {
        let count = self.pending.len();
        let survivor = match survival {
            _ if count == 0 => return,
            Survival::Nothing => self.state_after(0),
            Survival::Everything => self.state_after(count),
            Survival::Prefix => self.state_after(random.below_usize(count + 1)),
            Survival::Torn => self.torn(random),
        };
        *self = Self { durable: survivor.clone(), visible: survivor, ..Self::default() };
    }

    fn state_after(&self, count: usize) -> Image {
        let mut image = self.durable.clone();
        self.pending.iter().take(count).for_each(|change| change.apply(&mut image));
        image
    }

    /// Every sector and the length as of some moment of their own.
    fn torn(&self, random: &mut Random) -> Image {
        let moments: Vec<_> = (0..=self.pending.len()).map(|at| self.state_after(at)).collect();
        let len = random.pick(&moments).map_or(0, Image::len_bytes);
        // A disk with larger sectors keeps or drops several of them together.
        let together = if random.below(2) == 0 { 1 } else { 8 };
        let mut bytes = vec![0; SECTOR_BYTES * together];
        let mut survivor = Image::default();
        survivor.set_len(len);
        for at in (0..len).step_by(bytes.len()) {
            if let Some(moment) = random.pick(&moments) {
                moment.read(&mut bytes, at);
                survivor.write(&bytes, at);
            }
        }
        survivor.set_len(len);
        survivor
    }
}

#[derive(Clone, Debug)]
struct Names {
    files: BTreeMap<PathBuf, usize>,
    directories: BTreeSet<PathBuf>,
}

impl Default for Names {
    fn default() -> Self {
        let roots = [PathBuf::from("/"), PathBuf::new()];
        Self { files: BTreeMap::new(), directories: roots.into() }
    }
}

impl Names {
    fn add_directories(&mut self, dir: &Path) {
        self.directories.extend(dir.ancestors().map(Path::to_owned));
    }

    /// Forgets what stands in directories that are not there.
    fn retain_reachable(&mut self) {
        let there = self.directories.clone();
        let reachable = |path: &Path| path.ancestors().skip(1).all(|dir| there.contains(dir));
        self.directories.retain(|dir| reachable(dir));
        self.files.retain(|path, _| reachable(path));
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Link { path: PathBuf, inode: usize },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, inode: usize },
    MakeDirectory { path: PathBuf },
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link { path, inode } => {
                names.files.insert(path.clone(), *inode);
            }
            Self::Unlink { path } => {
                names.files.remove(path);
            }
            Self::Rename { from, to, inode } => {
                names.files.remove(from);
                names.files.insert(to.clone(), *inode);
            }
            Self::MakeDirectory { path } => {
                names.directories.insert(path.clone());
            }
        }
    }

    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Link { path, .. } | Self::Unlink { path } | Self::MakeDirectory { path } => {
                path.parent()
            }
            Self::Rename { to, .. } => to.parent(),
        }
    }
}

/// A small generator (splitmix64): the same seed, the same crash.
#[derive(Clone, Debug, Default)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn below_usize(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        // The first and the last are the states that crashes leave most often.
        let index = match self.below(4) {
            0 => 0,
            1 => from.len().saturating_sub(1),
            _ => self.below_usize(from.len()),
        };
        from.get(index)
    }
}
