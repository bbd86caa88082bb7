//! One simulated server: a machine with a disk and clocks, and the process on it, if it runs.
//!
//! The process is the driver of the core, as the server crate is: every thread is a queue and a
//! turn, and every hand-over between two threads is an event of its own.

pub(crate) mod alarm;
mod log_thread;
mod peers;
mod process;
mod shard_thread;

use std::sync::Arc;

use ostler_disk::disk::create_directories;
use ostler_disk::memory_disk::{Faults, MemoryDisk, Survival};
use ostler_disk::storage::{Storage, StorageOptions};
use ostler_node::clock::{Clock, Time};
use ostler_node::limits::Settings;
use ostler_node::status::ReplicaReport;
use ostler_tree::Tree;
use ostler_wire::ids::{Sid, WallMs, Zxid};
use ostler_wire::vote::ServerState;

use crate::net::{Cargo, End, Place, Port, WireId};
use crate::queue::{Event, Turn};
use crate::world::Outside;
use log_thread::directory;
use process::{Ending, Process};

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Death {
    /// The machine goes on and tells everybody.
    Process,
    /// The machine loses power.
    Power,
}

/// The clocks of a machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// How much too fast the monotonic clock is.
    pub(crate) drift_ppm: i64,
    /// How far the wall clock is off.
    pub(crate) wall_offset_ms: i64,
}

/// A machine.
pub(crate) struct Server {
    pub(crate) index: usize,
    pub(crate) sid: Sid,
    pub(crate) disk: MemoryDisk,
    /// How often it was started.
    starts: u64,
    process: Option<Process>,
    has_power: bool,
    paused_until: Option<Time>,
    /// What happened while it was paused.
    deferred: Vec<Event>,
    pub(crate) clocks: Clocks,
    settings: Arc<Settings>,
    /// How long it stays down when it ends by itself.
    pub(crate) restart_after_ms: u64,
    /// Whether its disk was replaced and nothing has been written to it yet.
    is_wiped: bool,
}

impl Server {
    pub(crate) fn new(outside: &mut Outside, index: usize) -> Self {
        let disk = new_disk();
        let mut tree = Tree::fresh(outside.options.seed);
        if outside.options.start != Zxid::ZERO {
            tree.set_last_zxid(outside.options.start);
            prefill(&disk, &tree);
        }
        outside.witness.begins(&tree);
        let ppm = outside.options.drift_ppm;
        let drift = outside.clocks.between((0, 2 * ppm)).cast_signed() - ppm.cast_signed();
        let sid = Sid(i64::try_from(index + 1).expect("few servers"));
        let server_id = u8::try_from(index + 1).expect("few servers");
        Self {
            index,
            sid,
            disk,
            starts: 0,
            process: None,
            has_power: true,
            paused_until: None,
            deferred: Vec::new(),
            clocks: Clocks { drift_ppm: drift, wall_offset_ms: 0 },
            settings: Arc::new(Settings { server_id, ..outside.options.settings.clone() }),
            restart_after_ms: 0,
            is_wiped: false,
        }
    }

    /// What its clocks show.
    pub(crate) fn clock(&self, now: Time) -> Clock {
        clock(&self.clocks, now)
    }

    /// Starts the process, if it does not run.
    pub(crate) fn start(&mut self, outside: &mut Outside) {
        if self.process.is_some() {
            return;
        }
        self.starts += 1;
        self.has_power = true;
        self.paused_until = None;
        self.deferred.clear();
        outside.note(self.index, format_args!("starts"));
        let process = Process::start(outside, self);
        self.process = Some(process);
        self.settle(outside);
    }

    /// Ends the process at once.
    pub(crate) fn die(&mut self, outside: &mut Outside, death: Death) {
        let place = Place::Server(self.index);
        if let Some(mut process) = self.process.take() {
            outside.note(self.index, format_args!("dies: {death:?}"));
            process.die(outside, &self.disk);
        }
        self.paused_until = None;
        self.deferred.clear();
        match death {
            Death::Process => outside.net.reset_all(&mut outside.queue, place),
            Death::Power => {
                self.has_power = false;
                outside.net.abandon_all(place);
                let survival = *outside.disks.pick(&Survival::ALL);
                self.disk = self.disk.crash(survival, outside.disks.next());
            }
        }
    }

    /// The next operations of the disk fail.
    pub(crate) fn fail_disk(&self, outside: &mut Outside) {
        if self.process.is_some() {
            let at = self.disk.operations() + outside.disks.below(4);
            let fail_at = Some((at, std::io::ErrorKind::Other));
            self.disk.set_faults(Faults { fail_at, ..Faults::default() });
        }
    }

    /// An empty disk in place of the present one.
    pub(crate) fn wipe(&mut self) {
        assert!(self.process.is_none(), "only idle servers lose their disks");
        self.is_wiped = true;
        self.disk = new_disk();
    }

    /// The process does nothing until then.
    pub(crate) fn pause(&mut self, outside: &mut Outside, until: Time) {
        if self.process.is_some() {
            self.paused_until = Some(until);
            outside.queue.at(until, Event::Resume(self.index));
        }
    }

    /// It goes on, if it is time.
    pub(crate) fn resume(&mut self, outside: &mut Outside) {
        if self.paused_until.is_some_and(|until| until <= outside.queue.now()) {
            self.paused_until = None;
            for event in std::mem::take(&mut self.deferred) {
                outside.queue.after(outside.threads.below(100), event);
            }
        }
    }

    /// The disk takes so many times as long as usual.
    pub(crate) fn slow_disk(&mut self, slowness: u64) {
        if let Some(process) = &mut self.process {
            process.log.slowness = slowness;
        }
    }

    /// Asks the process to end.
    pub(crate) fn terminate(&mut self, outside: &mut Outside) {
        if let Some(process) = &mut self.process {
            process.terminate(outside);
        }
        self.settle(outside);
    }

    /// A thread takes its turn.
    pub(crate) fn turn(&mut self, outside: &mut Outside, start: u64, turn: Turn) {
        if start != self.starts || self.process.is_none() {
            return;
        }
        if self.paused_until.is_some() {
            return self.deferred.push(Event::Turn(self.index, start, turn));
        }
        let clocks = self.clocks;
        if let Some(process) = &mut self.process {
            process.turn(outside, &clocks, &self.disk, turn);
        }
        self.settle(outside);
    }

    /// Something has come by a wire.
    pub(crate) fn arrival(&mut self, outside: &mut Outside, wire: WireId, end: End, port: Port) {
        if self.paused_until.is_some() {
            return self.deferred.push(Event::Arrival(wire, end));
        }
        let Some(cargo) = outside.net.take(&mut outside.queue, wire, end) else { return };
        let is_open = outside.net.is_open(wire, end);
        let Some(process) = &mut self.process else {
            match cargo {
                Cargo::Dial if self.has_power => {
                    outside.net.let_go(&mut outside.queue, wire, end, Cargo::Refused);
                }
                Cargo::Bytes(_) if self.has_power => {
                    outside.net.answer_reset(&mut outside.queue, wire, end);
                }
                _ => {}
            }
            return;
        };
        match cargo {
            Cargo::Dial => process.accept(outside, wire, port),
            // Held by an earlier process, or by nobody any more.
            Cargo::Bytes(_) if !is_open => {
                outside.net.answer_reset(&mut outside.queue, wire, end);
            }
            cargo => process.arrive(outside, (wire, end, cargo), port),
        }
        self.settle(outside);
    }

    /// A dial of this server took too long.
    pub(crate) fn dial_timed_out(&mut self, outside: &mut Outside, wire: WireId) {
        if let Some(process) = &mut self.process {
            process.gone(outside, wire);
        }
        self.settle(outside);
    }

    /// A client has taken what was on its way.
    pub(crate) fn drained(&mut self, outside: &mut Outside, wire: WireId) {
        if let Some(process) = &mut self.process {
            process.drained(outside, wire);
        }
    }

    /// Whether it leads, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        let standing = self.process.as_ref().and_then(|process| process.replica.standing());
        standing.is_some_and(|standing| standing.state == ServerState::Leading)
    }

    /// What the replica says of itself.
    pub(crate) fn report(&self, now: Time) -> Option<ReplicaReport> {
        Some(self.process.as_ref()?.replica.report(self.clock(now)))
    }

    /// Ends the process if it wants to end.
    fn settle(&mut self, outside: &mut Outside) {
        let ending = self.process.as_ref().and_then(|process| process.ending.clone());
        let Some(ending) = ending else { return };
        outside.note(self.index, format_args!("ends: {ending:?}"));
        self.die(outside, Death::Process);
        if let Ending::Disk(_) = ending {
            // What a failed sync leaves is known after a new start of the machine only.
            self.disk = self.disk.crash(Survival::Prefix, outside.disks.next());
        }
        outside.queue.after(1_000 * (1 + self.restart_after_ms), Event::Start(self.index));
    }
}

fn new_disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    create_directories(&disk, &directory()).expect("a new disk takes everything");
    disk
}

/// Puts a tree on a disk as if a server had left it there.
fn prefill(disk: &MemoryDisk, tree: &Tree) {
    let options = StorageOptions::default();
    let mut storage = Storage::new(disk.clone(), directory(), directory(), options);
    storage.write_snapshot(tree).expect("a new disk takes everything");
    let epoch = tree.last_zxid().epoch();
    storage.write_accepted_epoch(epoch).expect("a new disk takes everything");
    storage.write_current_epoch(epoch).expect("a new disk takes everything");
}

/// What the clocks of a machine show. All begin alike and then run at their own speed.
pub(crate) fn clock(clocks: &Clocks, now: Time) -> Clock {
    let passed = scaled(now.0, speed(clocks), MILLION);
    let wall = WALL_START_MS + (passed / 1_000).cast_signed() + clocks.wall_offset_ms;
    Clock { now: Time(CLOCK_START.0 + passed), wall: WallMs(wall) }
}

/// When a machine's clock will have come to `at`.
pub(crate) fn world_time(clocks: &Clocks, at: Time) -> Time {
    let passed = at.0.saturating_sub(CLOCK_START.0);
    // One more, since both ways are rounded down.
    Time(scaled(passed, MILLION, speed(clocks)) + 1)
}

fn speed(clocks: &Clocks) -> u64 {
    MILLION.checked_add_signed(clocks.drift_ppm).expect("a small drift")
}

fn scaled(value: u64, by: u64, of: u64) -> u64 {
    let product = u128::from(value) * u128::from(by) / u128::from(of);
    u64::try_from(product).expect("clocks of simulations show small numbers")
}

const MILLION: u64 = 1_000_000;
const CLOCK_START: Time = Time(1_000_000_000);
const WALL_START_MS: i64 = 1_700_000_000_000;
