//! Running seeds: one, many, twice; and making the plan of one that fails shorter.

use std::cell::RefCell;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::options::{Options, Plant};
use crate::world::{Stats, World, describe};

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// What was found.
    pub message: String,
    /// What happened last.
    pub tail: Vec<String>,
}

/// Runs one seed; every line of its trace goes to `out`.
///
/// # Errors
/// What a check found, or what the core asserts.
pub fn run(options: &Options, out: Option<Box<dyn Write>>) -> Result<Stats, Box<Failure>> {
    watch_panics();
    let seed = options.seed;
    SEED.with(|running| *running.borrow_mut() = seed);
    let mut world = World::new(options.clone(), out);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    outcome.map_err(|_| {
        let message = PANIC.with(RefCell::take);
        let tail = world.outside.trace.tail().map(str::to_owned).collect();
        // A world that broke in the middle may not come apart cleanly.
        std::mem::forget(world);
        Box::new(Failure { seed, message, tail })
    })
}

/// Runs one seed twice and holds the two traces against each other.
///
/// # Errors
/// As [`run`], and when the same seed did not mean the same run.
pub fn run_twice(options: &Options) -> Result<Stats, Box<Failure>> {
    let first = run(options, None)?;
    let second = run(options, None)?;
    if first.trace_hash == second.trace_hash {
        return Ok(first);
    }
    let message = "two runs of the same seed differ".to_owned();
    Err(Box::new(Failure { seed: options.seed, message, tail: Vec::new() }))
}

/// Leaves faults out of a failing plan as long as it fails; the options with the rest.
#[must_use]
pub fn shrink(options: &Options) -> Options {
    let mut least = options.clone();
    let mut size = least.faults.len();
    while size > 0 {
        let mut at = 0;
        while at < least.faults.len() {
            let mut fewer = least.clone();
            let end = (at + size).min(fewer.faults.len());
            fewer.faults.drain(at..end);
            if run(&fewer, None).is_err() {
                least = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    least
}

/// The plan of faults as a text.
#[must_use]
pub fn plan(options: &Options) -> String {
    let Options { voters, observers, clients, .. } = options;
    let plan = describe(&options.faults);
    format!("{voters} voters, {observers} observers, {clients} clients\n{plan}")
}

/// What a seed draws, with a planted bug or without.
#[must_use]
pub fn options(seed: u64, plant: Option<Plant>) -> Options {
    Options { plant, ..Options::draw(seed) }
}

thread_local! {
    static SEED: RefCell<u64> = const { RefCell::new(0) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
    static WATCHING: RefCell<bool> = const { RefCell::new(false) };
}

/// Keeps what a panic in a run says instead of printing it.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !WATCHING.with(|watching| *watching.borrow()) {
                return before(info);
            }
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let message = format!("{} ({place})", text.unwrap_or("a panic"));
            if cfg!(panic = "abort") {
                // Nobody will catch it.
                let seed = SEED.with(|running| *running.borrow());
                let advice = "build with --profile sim to go on, or to shrink its plan";
                let _ = writeln!(std::io::stderr(), "seed {seed} failed: {message}; {advice}");
            }
            PANIC.with(|kept| *kept.borrow_mut() = message);
        }));
    });
    WATCHING.with(|watching| *watching.borrow_mut() = true);
}
