//! One client process: its executor, and the connections of its sessions over the network.
//!
//! It is to [`Session`] what the tokio driver of the client is, with wires in place of sockets.
//! Each turn tells the time, runs what is ready and sends what there is to be sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ostler_client::session::{Effect, Input, LinkId, Session};
use ostler_client::{Builder, Client};
use ostler_node::clock::Time;

use super::executor::Executor;
use super::planted::Swallow;
use crate::net::{Cargo, End, Place, Port, WireId};
use crate::options::Plant;
use crate::queue::Event;
use crate::world::Outside;

/// A process.
pub(crate) struct Process {
    index: usize,
    pub(crate) executor: Executor,
    launched: Arc<Mutex<Vec<Session>>>,
    driven: Vec<Driven>,
    /// When it takes a turn next.
    alarm: Option<Time>,
    paused_until: Option<Time>,
    /// Wires by which something came while it was paused.
    deferred: Vec<WireId>,
    swallow: Option<Swallow>,
}

/// A session and its connection.
struct Driven {
    session: Session,
    link: Option<Link>,
    is_over: bool,
}

struct Link {
    id: LinkId,
    wire: WireId,
    is_up: bool,
}

impl Process {
    pub(crate) fn new(outside: &Outside, index: usize, start: u64) -> Self {
        let seed = outside.options.seed;
        let swallow = outside.options.plant == Some(Plant::EventSwallowed);
        Self {
            index,
            executor: Executor::new(seed, &format!("process {index} {start}")),
            launched: Arc::default(),
            driven: Vec::new(),
            alarm: None,
            paused_until: None,
            deferred: Vec::new(),
            swallow: swallow.then(|| Swallow::new(seed)),
        }
    }

    /// A client of this process.
    pub(crate) fn connect(&self, builder: Builder, servers: usize) -> Client {
        let hosts: Vec<String> = (0..servers).map(|server| format!("s{server}")).collect();
        let launched = Arc::clone(&self.launched);
        let launch = move |session| launched.lock().expect("nobody panics with it").push(session);
        let client = builder.start_on(self.executor.runtime(), launch, &hosts.join(","));
        client.expect("a good connect string")
    }

    /// Something has come by a wire.
    pub(crate) fn arrive(&mut self, outside: &mut Outside, wire: WireId) {
        if self.paused_until.is_some() {
            return self.deferred.push(wire);
        }
        let Some(cargo) = outside.net.take(&mut outside.queue, wire, End::Dialler) else { return };
        self.hear(outside, wire, cargo);
        let at = outside.wake_time();
        self.set_alarm(outside, at);
    }

    fn hear(&mut self, outside: &mut Outside, wire: WireId, cargo: Cargo) {
        let now = outside.queue.now();
        if !matches!(cargo, Cargo::Bytes(_)) {
            outside.trace.note(now, format_args!("c{}", self.index), format_args!("< {cargo:?}"));
        }
        let now = elapsed(now);
        for Driven { session, link, .. } in &mut self.driven {
            let Some(Link { id, is_up, .. }) = link.as_mut().filter(|link| link.wire == wire)
            else {
                continue;
            };
            match cargo {
                Cargo::Accepted => {
                    *is_up = true;
                    session.handle(now, Input::Dialed(*id));
                }
                Cargo::Bytes(bytes) => {
                    let bytes = match &mut self.swallow {
                        Some(swallow) => swallow.pass(wire, bytes),
                        None => bytes,
                    };
                    session.handle(now, Input::Bytes(*id, &bytes));
                }
                Cargo::Refused | Cargo::Closed | Cargo::Reset => {
                    let (id, is_up) = (*id, *is_up);
                    *link = None;
                    session.handle(now, gone(id, is_up));
                }
                Cargo::Dial => unreachable!("nobody dials a client"),
            }
            return;
        }
    }

    /// A dial took too long.
    pub(crate) fn dial_timed_out(&mut self, outside: &mut Outside, wire: WireId) {
        // A process that does nothing learns of it as soon as it goes on.
        self.hear(outside, wire, Cargo::Reset);
        let at = outside.wake_time();
        self.set_alarm(outside, at);
    }

    /// Runs until there is nothing to do.
    pub(crate) fn turn(&mut self, outside: &mut Outside) {
        let now = outside.queue.now();
        if self.alarm.is_some_and(|alarm| alarm <= now) {
            self.alarm = None;
        }
        if self.paused_until.is_some() {
            return;
        }
        self.executor.tell_time(now);
        for spins in 0.. {
            assert!(spins < SPINS_MAX, "the tasks of c{} never rest", self.index);
            self.drive(outside);
            let mut steps = 0;
            while steps < STEPS_MAX && self.executor.step() {
                steps += 1;
            }
            if steps == 0 {
                break;
            }
        }
        let deadlines = self.driven.iter().filter_map(|one| one.session.next_deadline());
        let deadline = deadlines
            .min()
            .map(|at| Time(u64::try_from(at.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)));
        let next = [deadline, self.executor.next_timer()].into_iter().flatten().min();
        if let Some(at) = next {
            self.set_alarm(outside, at);
        }
    }

    /// Moves all its sessions on.
    fn drive(&mut self, outside: &mut Outside) {
        let launched = std::mem::take(&mut *self.launched.lock().expect("nobody panics with it"));
        self.driven.extend(launched.into_iter().map(|session| Driven {
            session,
            link: None,
            is_over: false,
        }));
        let now = elapsed(outside.queue.now());
        for one in &mut self.driven {
            one.session.handle(now, Input::Tick);
            for effect in one.session.take_effects() {
                one.carry_out(outside, self.index, effect);
            }
            one.transmit(outside, now);
        }
        self.driven.retain(|one| !one.is_over);
    }

    pub(crate) fn set_alarm(&mut self, outside: &mut Outside, at: Time) {
        if self.alarm.is_none_or(|alarm| at < alarm) {
            self.alarm = Some(at);
            outside.queue.at(at, Event::Client(self.index));
        }
    }

    /// Does nothing until then.
    pub(crate) fn pause(&mut self, outside: &mut Outside, until: Time) {
        self.paused_until = Some(until);
        outside.queue.at(until, Event::MishapEnd(self.index));
    }

    /// Goes on, if it is time.
    pub(crate) fn resume(&mut self, outside: &mut Outside) {
        if self.paused_until.is_none_or(|until| until > outside.queue.now()) {
            return;
        }
        self.paused_until = None;
        for wire in std::mem::take(&mut self.deferred) {
            outside.queue.after(outside.threads.below(100), Event::Arrival(wire, End::Dialler));
        }
        self.alarm = None;
        let at = outside.wake_time();
        self.set_alarm(outside, at);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }
}

impl Driven {
    fn carry_out(&mut self, outside: &mut Outside, index: usize, effect: Effect) {
        match effect {
            Effect::Dial(id, host) => {
                self.hang_up(outside);
                let server = host.name[1..].parse().expect("hosts are numbered");
                let (from, to) = (Place::Client(index), Place::Server(server));
                let wire = outside.net.dial(&mut outside.queue, from, to, Port::Clients);
                let now = outside.queue.now();
                outside.trace.note(now, format_args!("c{index}"), format_args!("dials s{server}"));
                self.link = Some(Link { id, wire, is_up: false });
            }
            Effect::HangUp(_) => self.hang_up(outside),
            // Nobody here takes a server without a quorum.
            Effect::Probe(_) => {}
            Effect::End => {
                self.hang_up(outside);
                self.is_over = true;
            }
        }
    }

    fn hang_up(&mut self, outside: &mut Outside) {
        if let Some(link) = self.link.take() {
            outside.net.close(&mut outside.queue, link.wire, End::Dialler);
        }
    }

    fn transmit(&self, outside: &mut Outside, now: Duration) {
        let Some(Link { id, wire, is_up: true }) = &self.link else { return };
        while self.session.has_bytes() {
            let mut bytes = Vec::new();
            self.session.transmit(now, *id, WRITE_BYTES, &mut bytes);
            outside.net.send(&mut outside.queue, *wire, End::Dialler, &bytes);
        }
    }
}

fn gone(id: LinkId, is_up: bool) -> Input<'static> {
    const WHY: &str = "the connection is gone";
    if is_up { Input::Closed(id, WHY) } else { Input::DialFailed(id, WHY) }
}

fn elapsed(now: Time) -> Duration {
    Duration::from_micros(now.0)
}

/// What is sent at once at most.
const WRITE_BYTES: usize = 4_096;
/// Steps after which the sessions have their turn too.
const STEPS_MAX: usize = 100;
const SPINS_MAX: usize = 10_000;
