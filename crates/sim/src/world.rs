//! The world: servers, clients, the network, time, and the faults that strike them.
//!
//! A run has three parts. First the faults of the plan strike. Then all is healed: everybody must
//! get something done within bounded time. At last the clients leave, their sessions end, and all
//! servers must be alike. The clients ask at random, or are a company that uses recipes.

use std::io::Write;

use ostler_node::clock::{Span, Time};
use ostler_node::status::Mode;
use ostler_wire::ids::{Sid, Xid, Zxid};

use crate::check::History;
use crate::client::{Client, expiry_slack};
use crate::faults::{Fault, FaultKind, Target};
use crate::net::{Cargo, End, Net, Place, WireId};
use crate::options::Options;
use crate::queue::{Event, Queue};
use crate::random::Random;
use crate::recipes::Company;
use crate::server::{Death, Server};
use crate::trace::Trace;
use crate::witness::Witness;

/// Everything outside a server or a client.
pub(crate) struct Outside {
    pub(crate) options: Options,
    pub(crate) queue: Queue,
    pub(crate) net: Net,
    pub(crate) trace: Trace,
    pub(crate) witness: Witness,
    pub(crate) workload: Random,
    pub(crate) disks: Random,
    pub(crate) threads: Random,
    pub(crate) clocks: Random,
    pub(crate) stats: Stats,
    next_xid: i32,
}

/// What a run amounted to.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stats {
    /// Transactions that servers published, each counted.
    pub commits: u64,
    /// Transactions in history.
    pub txns: u64,
    /// Faults that struck.
    pub faults: u64,
    /// Epochs that had a leader.
    pub reigns: u64,
    /// Virtual time in microseconds.
    pub micros: u64,
    /// Snapshots that leaders sent.
    pub snapshots_sent: u64,
    /// Histories that were cut.
    pub truncations: u64,
    /// Those among them that were cut behind what clients could have seen.
    pub reloads: u64,
    /// Answers that clients got.
    pub answers: u64,
    /// What those who use recipes have done with them.
    pub deeds: u64,
    /// Of everything that happened.
    pub trace_hash: u64,
}

impl Outside {
    fn new(options: Options, out: Option<Box<dyn Write>>) -> Self {
        let seed = options.seed;
        let stream = |name| Random::new(seed, name);
        Self {
            queue: Queue::new(seed),
            net: Net::new(seed, options.net),
            trace: Trace::new(out),
            witness: Witness::new(options.servers(), (0..options.voters).collect()),
            workload: stream("workload"),
            disks: stream("disks"),
            threads: stream("threads"),
            clocks: stream("clocks"),
            stats: Stats::default(),
            next_xid: 1,
            options,
        }
    }

    /// Adds a line about a server to the trace.
    pub(crate) fn note(&mut self, server: usize, what: std::fmt::Arguments<'_>) {
        let now = self.queue.now();
        self.trace.note(now, format_args!("s{server}"), what);
    }

    /// Numbers of requests are not used twice, so that each names one.
    pub(crate) fn next_xid(&mut self) -> Xid {
        self.next_xid += 1;
        Xid(self.next_xid)
    }

    /// How long a thread takes to wake up, in microseconds.
    pub(crate) fn wake_delay(&mut self) -> u64 {
        let delay = self.threads.between(self.options.wake_micros);
        // Now and then the machine has something better to do.
        if self.threads.one_in(200) { delay * 20 } else { delay }
    }

    /// When a thread that is woken now runs.
    pub(crate) fn wake_time(&mut self) -> Time {
        Time(self.queue.now().0 + self.wake_delay())
    }
}

/// One run.
pub(crate) struct World {
    pub(crate) outside: Outside,
    servers: Vec<Server>,
    clients: Vec<Client>,
    /// Who uses recipes; then there are no other clients.
    company: Option<Company>,
    /// What the faults in progress keep apart or slow.
    is_healed: bool,
}

impl World {
    pub(crate) fn new(options: Options, out: Option<Box<dyn Write>>) -> Self {
        let mut outside = Outside::new(options, out);
        let servers: Vec<Server> =
            (0..outside.options.servers()).map(|index| Server::new(&mut outside, index)).collect();
        let tick_ms = outside.options.settings.tick_time_ms;
        let client = |index: usize, outside: &mut Outside| {
            let ticks = *outside.workload.pick(&[5, 6, 10, 20]);
            Client::new(index, i32::try_from(ticks * tick_ms).expect("a short timeout"))
        };
        let company = (!outside.options.recipes.is_empty()).then(|| Company::new(&outside.options));
        let clients = if company.is_some() { 0 } else { outside.options.clients };
        let clients = (0..clients).map(|index| client(index, &mut outside)).collect();
        Self { outside, servers, clients, company, is_healed: false }
    }

    /// Runs from beginning to end, with all checks.
    ///
    /// # Panics
    /// When a check fails.
    pub(crate) fn run(&mut self) -> Stats {
        let lags: Vec<u64> =
            self.servers.iter().map(|_| self.outside.threads.below(300_000)).collect();
        for (server, lag) in lags.into_iter().enumerate() {
            self.outside.queue.after(lag, Event::Start(server));
        }
        for client in 0..self.clients.len() {
            let lag = self.outside.workload.below(500_000);
            self.outside.queue.after(lag, Event::Client(client));
        }
        if let Some(company) = &self.company {
            company.begin(&mut self.outside);
        }
        let faults: Vec<Time> =
            self.outside.options.faults.iter().map(|f| Time::from_millis(f.at_ms)).collect();
        for (fault, at) in faults.into_iter().enumerate() {
            self.outside.queue.at(at, Event::Fault(fault));
        }
        self.pass(self.outside.options.faulty_ms);
        self.heal();
        self.expect_progress();
        self.expect_deeds();
        self.pass(self.outside.options.healed_ms);
        let quiet = self.end();
        if let Some(company) = &self.company {
            company.judge(&self.outside);
            return self.stats();
        }
        let history = History {
            witness: &self.outside.witness,
            clients: &self.clients,
            quiet,
            is_calm: self.outside.options.faults.is_empty(),
            drift_ppm: self.outside.options.drift_ppm,
        };
        history.check();
        self.stats()
    }

    fn stats(&self) -> Stats {
        let talks = self.clients.iter().flat_map(|client| &client.talks);
        let answers: usize = talks.map(|talk| talk.frames.len()).sum();
        Stats {
            txns: self.outside.witness.committed.len() as u64,
            reigns: self.outside.witness.reigns() as u64,
            micros: self.outside.queue.now().0,
            answers: answers as u64,
            deeds: self.company.as_ref().map_or(0, Company::deeds),
            trace_hash: self.outside.trace.hash(),
            ..self.outside.stats
        }
    }

    /// Lets so much time pass.
    fn pass(&mut self, millis: u64) {
        let until = self.outside.queue.now() + Span::from_millis(millis);
        while let Some(event) = self.outside.queue.next(until) {
            self.event(event);
        }
    }

    fn event(&mut self, event: Event) {
        let outside = &mut self.outside;
        match event {
            Event::Turn(server, start, turn) => self.servers[server].turn(outside, start, turn),
            Event::Arrival(wire, end) => self.arrival(wire, end),
            Event::DialTimeout(wire) => {
                let place = outside.net.place(wire, End::Dialler);
                if outside.net.dial_timed_out(&mut outside.queue, wire) {
                    match place {
                        Some((Place::Server(server), _)) => {
                            self.servers[server].dial_timed_out(outside, wire);
                        }
                        Some((Place::Client(client), _)) => match &mut self.company {
                            Some(company) => company.dial_timed_out(outside, wire, client),
                            None => self.clients[client].dial_timed_out(outside.queue.now(), wire),
                        },
                        None => {}
                    }
                }
            }
            Event::Client(client) => match &mut self.company {
                Some(company) => company.wake(outside, client),
                None => self.clients[client].wake(outside),
            },
            Event::Mishap(mishap) => {
                self.company.iter_mut().for_each(|company| company.strike(outside, mishap));
            }
            Event::MishapEnd(client) => {
                self.company.iter_mut().for_each(|company| company.relent(outside, client));
            }
            Event::Fault(fault) => {
                if !self.is_healed {
                    self.strike(fault);
                }
            }
            Event::FaultEnd(fault) => {
                if !self.is_healed {
                    self.relent(fault);
                }
            }
            Event::Stranded(server, with_machine) => {
                if !self.is_healed {
                    let death = if with_machine { Death::Power } else { Death::Process };
                    self.servers[server].die(outside, death);
                }
            }
            Event::Start(server) => self.servers[server].start(outside),
            Event::Resume(server) => self.servers[server].resume(outside),
            Event::Unstall => outside.net.unstall_all(&mut outside.queue),
        }
    }

    fn arrival(&mut self, wire: WireId, end: End) {
        let outside = &mut self.outside;
        match outside.net.place(wire, end) {
            Some((Place::Server(server), port)) => {
                self.servers[server].arrival(outside, wire, end, port);
            }
            Some((Place::Client(client), _)) => {
                let server = outside.net.place(wire, end.other());
                if let Some(company) = &mut self.company {
                    company.arrive(outside, wire, client);
                    if let Some((Place::Server(server), _)) = server {
                        self.servers[server].drained(outside, wire);
                    }
                    return;
                }
                let Some(cargo) = outside.net.take(&mut outside.queue, wire, end) else { return };
                let is_bytes = matches!(cargo, Cargo::Bytes(_));
                self.clients[client].arrive(outside, wire, cargo);
                if let (true, Some((Place::Server(server), _))) = (is_bytes, server) {
                    self.servers[server].drained(outside, wire);
                }
            }
            None => {}
        }
    }

    /// Who leads, as far as anybody believes.
    fn leader(&self) -> Option<usize> {
        self.servers.iter().find(|server| server.leads()).map(|server| server.index)
    }

    /// A fault begins.
    fn strike(&mut self, index: usize) {
        let fault = self.outside.options.faults[index];
        let targets: Vec<usize> = match fault.target {
            Target::Server(server) => vec![server],
            Target::All => (0..self.servers.len()).collect(),
            Target::Leader => self.leader().into_iter().collect(),
        };
        let now = self.outside.queue.now();
        self.outside.trace.note(now, "!", format_args!("{fault} is {targets:?}"));
        self.outside.stats.faults += 1;
        let random = &mut Random::new(fault.salt, "fault");
        for server in targets {
            self.strike_one(index, server, random);
        }
    }

    fn strike_one(&mut self, index: usize, server: usize, random: &mut Random) {
        let fault = self.outside.options.faults[index];
        let outside = &mut self.outside;
        let until = outside.queue.now() + Span::from_millis(fault.lasts_ms);
        let one = &mut self.servers[server];
        match fault.kind {
            FaultKind::Kill | FaultKind::PowerLoss | FaultKind::Wipe => {
                let death = match fault.kind {
                    FaultKind::Kill => Death::Process,
                    _ => Death::Power,
                };
                one.die(outside, death);
                if fault.kind == FaultKind::Wipe {
                    one.wipe();
                    outside.witness.wiped(server);
                }
                outside.queue.at(until, Event::Start(server));
            }
            FaultKind::Terminate => {
                one.restart_after_ms = fault.lasts_ms;
                one.terminate(outside);
            }
            FaultKind::DiskError => {
                one.restart_after_ms = fault.lasts_ms;
                one.fail_disk(outside);
            }
            FaultKind::Pause => one.pause(outside, until),
            FaultKind::SlowDisk => one.slow_disk(20),
            FaultKind::WallJump(by_ms) => one.clocks.wall_offset_ms += by_ms,
            _ => self.strike_net(fault, server, until, random),
        }
        self.outside.queue.at(until, Event::FaultEnd(index));
    }

    /// A fault of the network around a server begins.
    fn strike_net(&mut self, fault: Fault, server: usize, until: Time, random: &mut Random) {
        let outside = &mut self.outside;
        let servers = self.servers.len();
        match fault.kind {
            FaultKind::Isolate(also_clients) => {
                for other in 0..servers {
                    cut(&mut outside.net, Place::Server(server), Place::Server(other));
                }
                let clients = if also_clients { outside.options.clients } else { 0 };
                for client in 0..clients {
                    cut(&mut outside.net, Place::Server(server), Place::Client(client));
                }
            }
            FaultKind::Strand => {
                for other in 0..servers {
                    cut(&mut outside.net, Place::Server(server), Place::Server(other));
                }
                let dies_at = Time(outside.queue.now().0 + random.below(fault.lasts_ms * 300));
                outside.queue.at(dies_at, Event::Stranded(server, random.one_in(2)));
                outside.queue.at(until, Event::Start(server));
            }
            FaultKind::Split => split(&mut outside.net, servers, random),
            FaultKind::Deaf(is_deaf) => {
                let own = Place::Server(server);
                for other in (0..servers).filter(|other| *other != server).map(Place::Server) {
                    let (from, to) = if is_deaf { (other, own) } else { (own, other) };
                    outside.net.block(from, to);
                }
            }
            FaultKind::Break => {
                for (wire, _) in outside.net.ends_of(Place::Server(server)) {
                    if !random.one_in(3) {
                        outside.net.break_wire(&mut outside.queue, wire);
                    }
                }
            }
            FaultKind::Stall => {
                for (wire, _) in outside.net.ends_of(Place::Server(server)) {
                    if random.one_in(2) {
                        outside.net.stall(wire, until);
                    }
                }
                outside.queue.at(until, Event::Unstall);
            }
            FaultKind::SlowNet => outside.net.slowness = 20,
            other => unreachable!("{other:?} has nothing to do with the network"),
        }
    }

    /// A fault ends. Cuts end together: who is in several is free of all.
    fn relent(&mut self, index: usize) {
        let outside = &mut self.outside;
        let fault = outside.options.faults[index];
        match fault.kind {
            FaultKind::Isolate(_) | FaultKind::Strand | FaultKind::Split | FaultKind::Deaf(_) => {
                outside.net.unblock_all(&mut outside.queue);
            }
            FaultKind::SlowNet => outside.net.slowness = 1,
            FaultKind::SlowDisk => self.servers.iter_mut().for_each(|server| server.slow_disk(1)),
            _ => {}
        }
    }

    /// Everything is well from now on.
    fn heal(&mut self) {
        self.is_healed = true;
        let now = self.outside.queue.now();
        self.outside.trace.note(now, "!", format_args!("all is healed"));
        let outside = &mut self.outside;
        outside.net.slowness = 1;
        outside.net.unblock_all(&mut outside.queue);
        outside.net.unstall_all(&mut outside.queue);
        for server in &mut self.servers {
            server.slow_disk(1);
            server.disk.set_faults(ostler_disk::memory_disk::Faults::default());
            server.pause(outside, now);
            server.resume(outside);
            outside.queue.after(1_000, Event::Start(server.index));
        }
        if let Some(company) = &mut self.company {
            company.heal(outside);
        }
    }

    /// Everybody who uses recipes gets through the phases within bounded time.
    fn expect_deeds(&mut self) {
        for phase in Company::PHASES {
            let Some(company) = &mut self.company else { return };
            if phase > Company::PHASES[0] {
                company.enter(&mut self.outside, phase);
            }
            let deadline = self.outside.queue.now() + Span::from_millis(DEEDS_BOUND_MS);
            loop {
                let lagging = self.company.as_ref().map_or(Vec::new(), |it| it.lagging(phase));
                if lagging.is_empty() {
                    break;
                }
                let Some(event) = self.outside.queue.next(deadline) else {
                    panic!("{lagging:?} are not through with {phase:?}; {}", self.states());
                };
                self.event(event);
            }
            // Whatever is on its way arrives.
            self.pass(1_500);
        }
    }

    /// Every client gets a write done within bounded time.
    fn expect_progress(&mut self) {
        let healed_at = self.outside.queue.now();
        let options = &self.outside.options;
        let tick_ms = options.settings.tick_time_ms;
        let bound_ms = 20_000 + 4 * tick_ms * (options.init_limit + options.sync_limit);
        let deadline = healed_at + Span::from_millis(bound_ms);
        while self.clients.iter().any(|client| client.wrote_at <= healed_at) {
            let Some(event) = self.outside.queue.next(deadline) else {
                let stuck: Vec<usize> = (0..self.clients.len())
                    .filter(|client| self.clients[*client].wrote_at <= healed_at)
                    .collect();
                panic!("clients {stuck:?} got nothing written in {bound_ms} ms; {}", self.states());
            };
            self.event(event);
        }
    }

    /// Everybody falls silent, leaves, and is forgotten; then all servers must be alike. Returns
    /// the last transaction that those who stayed had to be told of.
    fn end(&mut self) -> Zxid {
        self.clients.iter_mut().for_each(|client| client.is_listening = true);
        self.pass(1_500);
        let quiet = self.outside.witness.last();
        self.pass(1_500);
        for client in &mut self.clients {
            client.leave(&mut self.outside);
        }
        if let Some(company) = &mut self.company {
            company.leave(&mut self.outside);
        }
        let tick_ms = self.outside.options.settings.tick_time_ms;
        let timeout_ms = i32::try_from(20 * tick_ms).expect("a short timeout");
        let slack = expiry_slack(timeout_ms, tick_ms);
        self.pass(slack.0 / 1_000 + 500);
        let last = self.outside.witness.last();
        self.pass(1_500);
        self.let_reaper_finish();
        let now = self.outside.queue.now();
        for server in &self.servers {
            let report = server.report(now).unwrap_or_else(|| panic!("s{} is down", server.index));
            let index = server.index;
            assert_ne!(report.mode, Mode::Down, "s{index} serves nobody; {}", self.states());
            self.outside.witness.shown(&report.tree);
            assert!(report.tree.last_zxid() >= last, "s{index} lags at {}", self.states());
            assert_eq!(report.tree.session_count(), 0, "sessions end at s{index}");
            assert_eq!(report.tree.ephemeral_count(), 0, "and their znodes with them");
            assert_eq!(report.in_flight, 0, "s{index} has something in flight");
        }
        quiet
    }

    /// The end of an empty container may be on its way at any moment.
    fn let_reaper_finish(&mut self) {
        for _ in 0..20 {
            let now = self.outside.queue.now();
            let mut reports = self.servers.iter().filter_map(|server| server.report(now));
            if reports.all(|report| report.in_flight == 0) {
                return;
            }
            self.pass(50);
        }
    }

    /// Where all servers stand, in a line.
    fn states(&self) -> String {
        let now = self.outside.queue.now();
        let state = |server: &Server| match server.report(now) {
            None => format!("s{} down", server.index),
            Some(report) => {
                let (zxid, mode) = (report.tree.last_zxid(), report.mode);
                let state = report.ensemble.map(|it| (it.state, it.leader.map(|Sid(sid)| sid)));
                format!("s{} {mode:?} {state:?} at {zxid}", server.index)
            }
        };
        self.servers.iter().map(state).collect::<Vec<_>>().join(", ")
    }
}

fn cut(net: &mut Net, one: Place, other: Place) {
    if one != other {
        net.block(one, other);
        net.block(other, one);
    }
}

/// Parts the servers in two.
fn split(net: &mut Net, servers: usize, random: &mut Random) {
    let halves: Vec<bool> = (0..servers).map(|_| random.one_in(2)).collect();
    for one in 0..servers {
        for other in one + 1..servers {
            if halves[one] != halves[other] {
                cut(net, Place::Server(one), Place::Server(other));
            }
        }
    }
}

/// How long all the deeds of a phase may take.
const DEEDS_BOUND_MS: u64 = 120_000;

/// A fault as the plan names it.
pub(crate) fn describe(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("  {fault}\n")).collect()
}
