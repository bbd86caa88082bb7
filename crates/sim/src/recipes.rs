//! The client library and its recipes in the simulator: processes that lock, elect, cache, count
//! and queue, over the simulated network and against the simulated servers.
//!
//! ```text
//!  tasks (locks, leaders, caches, …) ─► recipes ─► Client ─► Session ─► net ─► servers
//!    │            executor: one a process, virtual time, order from the seed        │
//!    └──► ledger: who believed and saw what, when ─► verdict ◄── witness: what was so
//! ```
//!
//! Each process runs a few tasks of those that the seed has drawn, all on one session. They go
//! through the phases together: faults strike; all is healed, and everybody gets something done in
//! bounded time; what waits is worked off; nobody changes anything, and all see the same.
//!
//! Held against the servers' truth:
//! - nobody believes to hold what another one believes to hold, when both sessions are alive; who
//!   has lost a session is told in bounded time; writes under a lock come in the order of their
//!   fencing tokens, from whoever is first in line, and lose nothing;
//! - caches show nothing that was not so, nothing older than before, and the truth in the end;
//! - counters have what was acknowledged, and no more than that and what nobody knows of;
//! - queues give each item at most once, or at least once, as they promise; barriers let all go.
//!
//! Reading order: `executor`, `process`, `mishaps`; `ledger`, `actor`; `locks`, `leaders`,
//! `caches`, `counts`, `queues`, `barriers`; `planted`; `verdict`.

mod executor;
mod process;

mod mishaps;

mod actor;
mod ledger;

mod barriers;
mod caches;
mod counts;
mod leaders;
mod locks;
mod queues;

mod planted;

mod verdict;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ostler_client::Client;
use ostler_client::recipes::Sessions;
use ostler_client::runtime::Task;
use ostler_node::clock::{Span, Time};

use self::actor::Actor;
use self::ledger::{Ledger, Phase};
use self::mishaps::{Kind, Mishap};
use self::process::Process;
use crate::net::{End, Place, WireId};
use crate::options::{Options, Plant};
use crate::queue::Event;
use crate::random::Random;
use crate::world::Outside;

/// What a seed draws for a run with recipes, with a planted bug or without.
#[must_use]
pub fn options(seed: u64, plant: Option<Plant>) -> Options {
    let drawn = Options::draw(seed);
    let random = &mut Random::new(seed, "recipes");
    let count = 1 + random.index(3);
    let mut recipes: Vec<usize> = (0..count).map(|_| random.index(TASKS.len())).collect();
    if matches!(plant, Some(Plant::WrongPredecessor | Plant::LossIgnored)) {
        recipes = vec![0];
    }
    recipes.sort_unstable();
    recipes.dedup();
    Options { plant, recipes, ..drawn }
}

type Work = fn(Actor) -> Task;

/// All tasks there are.
const TASKS: &[(&str, Work)] = &[
    ("mutex", |actor| Box::pin(locks::mutex(actor))),
    ("rw-lock", |actor| Box::pin(locks::rw_lock(actor))),
    ("semaphore", |actor| Box::pin(locks::semaphore(actor))),
    ("multi-lock", |actor| Box::pin(locks::multi_lock(actor))),
    ("latch", |actor| Box::pin(leaders::latch(actor))),
    ("election", |actor| Box::pin(leaders::election(actor))),
    ("tree-cache", |actor| Box::pin(caches::tree(actor))),
    ("node-cache", |actor| Box::pin(caches::node(actor))),
    ("group", |actor| Box::pin(caches::group(actor))),
    ("counter", |actor| Box::pin(counts::plain(actor))),
    ("exact", |actor| Box::pin(counts::exact(actor))),
    ("shared-count", |actor| Box::pin(counts::shared(actor))),
    ("queue", |actor| Box::pin(queues::plain(actor))),
    ("locking", |actor| Box::pin(queues::locking(actor))),
    ("priority", |actor| Box::pin(queues::priority(actor))),
    ("gate", |actor| Box::pin(barriers::gate(actor))),
    ("room", |actor| Box::pin(barriers::room(actor))),
];

/// All processes of a run.
pub(crate) struct Company {
    ledger: Ledger,
    processes: Vec<Option<Process>>,
    /// How often each was started.
    starts: Vec<u64>,
    /// Until when those that do not run stay down.
    down_until: Vec<Time>,
    mishaps: Vec<Mishap>,
    is_healed: bool,
    /// Transactions when nobody changed anything any more.
    quiet: usize,
}

impl Company {
    pub(crate) fn new(options: &Options) -> Self {
        let actors = options.clients;
        let mishaps = match options.faults.is_empty() {
            true => Vec::new(),
            false => mishaps::draw(options.seed, actors, options.faulty_ms),
        };
        Self {
            ledger: Ledger::new(),
            processes: (0..actors).map(|_| None).collect(),
            starts: vec![0; actors],
            down_until: vec![Time(0); actors],
            mishaps,
            is_healed: false,
            quiet: 0,
        }
    }

    /// Puts into the queue what begins by itself.
    pub(crate) fn begin(&self, outside: &mut Outside) {
        for actor in 0..self.processes.len() {
            let lag = outside.workload.below(500_000);
            outside.queue.after(lag, Event::Client(actor));
        }
        for (index, mishap) in self.mishaps.iter().enumerate() {
            outside.queue.at(Time::from_millis(mishap.at_ms), Event::Mishap(index));
        }
    }

    fn start(&mut self, outside: &mut Outside, index: usize) {
        let start = self.starts[index];
        self.starts[index] += 1;
        outside.trace.note(outside.queue.now(), format_args!("c{index}"), format_args!("starts"));
        let process = Process::new(outside, index, start);
        let Options { seed, clients, .. } = outside.options;
        let tick_ms = outside.options.settings.tick_time_ms;
        let ticks = *outside.workload.pick(&[5, 6, 10, TIMEOUT_TICKS_MAX]);
        let builder = Client::builder()
            .session_timeout(Duration::from_millis(ticks * tick_ms))
            .connect_timeout(Duration::from_secs(5));
        let client = process.connect(builder, outside.options.servers());
        let actor = Actor {
            index,
            start,
            actors: clients,
            sessions: Sessions::new(&client),
            runtime: process.executor.runtime(),
            ledger: self.ledger.clone(),
            random: Arc::new(Mutex::new(Random::new(seed, &format!("actor {index} {start}")))),
            plant: outside.options.plant,
        };
        for recipe in &outside.options.recipes {
            let (name, work) = TASKS[*recipe];
            self.ledger.book().reached.insert((index, name.to_owned()), None);
            actor.runtime.spawn(work(actor.clone()));
        }
        self.processes[index] = Some(process);
    }

    /// A process takes its turn; one that does not run is started.
    pub(crate) fn wake(&mut self, outside: &mut Outside, index: usize) {
        let now = outside.queue.now();
        if self.processes[index].is_none() {
            if now < self.down_until[index] {
                return;
            }
            self.start(outside, index);
        }
        if let Some(process) = &mut self.processes[index] {
            process.turn(outside);
        }
        self.look(outside);
    }

    /// Something has come by a wire.
    pub(crate) fn arrive(&mut self, outside: &mut Outside, wire: WireId, index: usize) {
        match &mut self.processes[index] {
            Some(process) => process.arrive(outside, wire),
            // A machine without the process that it was meant for.
            None => drop(outside.net.take(&mut outside.queue, wire, End::Dialler)),
        }
    }

    /// A dial took too long.
    pub(crate) fn dial_timed_out(&mut self, outside: &mut Outside, wire: WireId, index: usize) {
        if let Some(process) = &mut self.processes[index] {
            process.dial_timed_out(outside, wire);
        }
    }

    /// A mishap of the plan begins.
    pub(crate) fn strike(&mut self, outside: &mut Outside, index: usize) {
        if self.is_healed {
            return;
        }
        let mishap = self.mishaps[index];
        let now = outside.queue.now();
        outside.trace.note(now, "!", format_args!("{mishap}"));
        outside.stats.faults += 1;
        let Mishap { actor, kind, lasts_ms, .. } = mishap;
        let until = now + Span::from_millis(lasts_ms);
        let place = Place::Client(actor);
        match kind {
            Kind::Pause => {
                if let Some(process) = &mut self.processes[actor] {
                    process.pause(outside, until);
                }
            }
            Kind::Death => {
                // What it holds is dropped, and says nothing to anybody.
                self.processes[actor] = None;
                self.down_until[actor] = until;
                outside.net.reset_all(&mut outside.queue, place);
                outside.queue.at(until, Event::Client(actor));
                self.look(outside);
            }
            Kind::Break => {
                for (wire, _) in outside.net.ends_of(place) {
                    outside.net.break_wire(&mut outside.queue, wire);
                }
            }
            Kind::Cut => {
                for server in (0..outside.options.servers()).map(Place::Server) {
                    outside.net.block(place, server);
                    outside.net.block(server, place);
                }
                outside.queue.at(until, Event::MishapEnd(actor));
            }
        }
    }

    /// It ends.
    pub(crate) fn relent(&mut self, outside: &mut Outside, actor: usize) {
        if !self.is_healed {
            outside.net.unblock_all(&mut outside.queue);
        }
        if let Some(process) = &mut self.processes[actor] {
            process.resume(outside);
        }
    }

    /// Everything is well from now on.
    pub(crate) fn heal(&mut self, outside: &mut Outside) {
        self.is_healed = true;
        self.down_until.fill(Time(0));
        let now = outside.queue.now();
        for process in self.processes.iter_mut().flatten() {
            if process.is_paused() {
                process.pause(outside, now);
                process.resume(outside);
            }
        }
        self.enter(outside, Phase::Healed);
    }

    /// Everybody goes on with this phase.
    pub(crate) fn enter(&mut self, outside: &mut Outside, phase: Phase) {
        outside.trace.note(outside.queue.now(), "!", format_args!("{phase:?}"));
        self.quiet = outside.witness.committed.len();
        self.ledger.enter(phase);
        for index in 0..self.processes.len() {
            outside.queue.after(1 + outside.threads.below(1_000), Event::Client(index));
        }
    }

    /// The phases after the faults, in their order.
    pub(crate) const PHASES: [Phase; 3] = [Phase::Healed, Phase::Settled, Phase::Quiet];

    /// Who has not done its part of a phase.
    pub(crate) fn lagging(&self, phase: Phase) -> Vec<(usize, String)> {
        let book = self.ledger.book();
        let lags = book.reached.iter().filter(|((_, task), reached)| {
            reached.is_none_or(|reached| reached < part(task, phase))
        });
        lags.map(|(who, _)| who.clone()).collect()
    }

    /// Everybody leaves, in good order.
    pub(crate) fn leave(&mut self, outside: &mut Outside) {
        for process in self.processes.iter_mut().flatten() {
            process.executor.drop_tasks();
        }
        for index in 0..self.processes.len() {
            outside.queue.after(1, Event::Client(index));
        }
    }

    /// Holds everything against the truth once all is over.
    pub(crate) fn judge(&self, outside: &Outside) {
        verdict::judge(&self.ledger, &outside.witness, self.quiet);
    }

    /// What was done in a run.
    pub(crate) fn deeds(&self) -> u64 {
        self.ledger.book().deeds
    }

    /// Reads what the last turn has written.
    fn look(&self, outside: &mut Outside) {
        let lines = std::mem::take(&mut self.ledger.book().lines);
        let now = outside.queue.now();
        for (index, line) in lines {
            outside.trace.note(now, format_args!("c{index}"), format_args!("{line}"));
        }
        let is_paused =
            |index: usize| self.processes[index].as_ref().is_some_and(Process::is_paused);
        verdict::inspect(&self.ledger, outside, &is_paused);
    }
}

/// What a task has to have done for a phase to be over.
fn part(task: &str, phase: Phase) -> Phase {
    match task {
        "queue" | "locking" | "priority" | "gate" | "room" => phase.min(Phase::Settled),
        "tree-cache" | "node-cache" | "group" if phase == Phase::Quiet => Phase::Quiet,
        _ => Phase::Healed,
    }
}

/// The longest session timeout that somebody asks for.
const TIMEOUT_TICKS_MAX: u64 = 20;
