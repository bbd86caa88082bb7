//! The plan of faults: what strikes when, whom, and for how long.
//!
//! The plan is drawn before the run, so that a failing one can be made shorter by leaving faults
//! out. **The atlas**: nothing here destroys for good what a voter has synced; all else may strike
//! anybody, also everybody at once. One voter may lose its disk, once, and observers whenever.

use std::fmt;

use crate::random::Random;

/// Whom a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// This server.
    Server(usize),
    /// Who leads at that moment.
    Leader,
    /// Every server.
    All,
}

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The process dies; what it wrote is still there.
    Kill,
    /// The machine dies, and with it part of what was not synced.
    PowerLoss,
    /// The process is asked to end.
    Terminate,
    /// The next operation of the disk fails.
    DiskError,
    /// The process does nothing for a while and then goes on.
    Pause,
    /// The server is cut off from all others, and from clients too if `true`.
    Isolate(bool),
    /// The server is cut off from all others, and a little later it dies; its clients have gone on
    /// asking.
    Strand,
    /// The servers are in two halves.
    Split,
    /// What the server says is not heard, or it does not hear if `true`.
    Deaf(bool),
    /// All its connections break, each perhaps in the middle of a message.
    Break,
    /// Some of its connections carry nothing for a while.
    Stall,
    /// Its disk is slow.
    SlowDisk,
    /// The whole network is slow.
    SlowNet,
    /// Its wall clock jumps by so many milliseconds.
    WallJump(i64),
    /// The machine dies, and comes back with an empty disk.
    Wipe,
}

/// One fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// When it begins.
    pub at_ms: u64,
    /// How long it lasts; for those that die, how long they stay dead.
    pub lasts_ms: u64,
    /// Whom it strikes.
    pub target: Target,
    /// What it is.
    pub kind: FaultKind,
    /// What its details are drawn from.
    pub salt: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ms, lasts_ms, target, kind, .. } = self;
        write!(f, "at {at_ms} ms for {lasts_ms} ms: {kind:?} of {target:?}")
    }
}

/// Draws a plan.
pub(crate) fn draw(seed: u64, voters: usize, observers: usize, faulty_ms: u64) -> Vec<Fault> {
    let random = &mut Random::new(seed, "faults");
    if voters > 1 && random.one_in(4) {
        return draw_reigns(random, faulty_ms);
    }
    // Some seeds are calm, some know a few kinds of faults only.
    let density_ms = *random.pick(&[0, 300, 700, 1_500, 3_000]);
    if density_ms == 0 {
        return Vec::new();
    }
    let kinds: Vec<FaultKind> = KINDS.iter().copied().filter(|_| !random.one_in(3)).collect();
    if kinds.is_empty() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let mut has_wiped = false;
    let mut at_ms = 200 + random.below(1_000);
    while at_ms < faulty_ms {
        let mut kind = *random.pick(&kinds);
        let mut target = match random.below(10) {
            0..4 => Target::Leader,
            4 if matches!(kind, FaultKind::Kill | FaultKind::PowerLoss) => Target::All,
            _ => Target::Server(random.index(voters + observers)),
        };
        if let FaultKind::WallJump(by_ms) = &mut kind {
            *by_ms = *random.pick(&[-3_600_000, -5_000, -50, 50, 5_000, 3_600_000]);
        }
        if kind == FaultKind::Wipe {
            if voters > 1 && !has_wiped {
                // Any one, but only one: what it had others have.
                has_wiped = true;
                target = Target::Server(random.index(voters));
            } else if observers > 0 {
                target = Target::Server(voters + random.index(observers));
            } else {
                kind = FaultKind::Kill;
            }
        }
        let lasts_ms = match random.below(4) {
            // Long enough for the others to find another leader.
            _ if kind == FaultKind::Strand => random.between((1_500, 6_000)),
            0 => random.below(50),
            1 => random.below(500),
            2 => random.below(2_000),
            _ => random.below(5_000),
        };
        faults.push(Fault { at_ms, lasts_ms, target, kind, salt: random.next() });
        at_ms += 1 + random.below(2 * density_ms);
    }
    faults
}

/// A plan that cuts off one leader after the other for long enough that there is another, so that
/// the old one has proposed what the new one does not know.
fn draw_reigns(random: &mut Random, faulty_ms: u64) -> Vec<Fault> {
    const KINDS: &[FaultKind] =
        &[FaultKind::Strand, FaultKind::Isolate(false), FaultKind::Deaf(false)];
    let mut faults = Vec::new();
    let mut at_ms = 500 + random.below(1_000);
    while at_ms < faulty_ms {
        let kind = *random.pick(KINDS);
        let lasts_ms = random.between((1_000, 3_000));
        let salt = random.next();
        faults.push(Fault { at_ms, lasts_ms, target: Target::Leader, kind, salt });
        at_ms += random.between((1_000, 4_000));
    }
    faults
}

const KINDS: &[FaultKind] = &[
    FaultKind::Kill,
    FaultKind::PowerLoss,
    FaultKind::Terminate,
    FaultKind::DiskError,
    FaultKind::Pause,
    FaultKind::Isolate(false),
    FaultKind::Isolate(true),
    FaultKind::Strand,
    FaultKind::Strand,
    FaultKind::Split,
    FaultKind::Deaf(false),
    FaultKind::Deaf(true),
    FaultKind::Break,
    FaultKind::Stall,
    FaultKind::SlowDisk,
    FaultKind::SlowNet,
    FaultKind::WallJump(0),
    FaultKind::Wipe,
];
