//! The network: connections that carry bytes in order, late, in pieces of any size, until they
//! break.
//!
//! A wire is one TCP connection; a pipe is one direction of it, named by the end that it leads to.
//! Nothing is ever lost or reordered inside a pipe, but what cannot pass (a partition, a stall)
//! waits, and what waits when an end goes is gone. An end whose machine lost power leaves the other
//! in the belief that all is well, until that says something to a machine that knows nothing of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ostler_node::clock::Time;

use crate::queue::{Event, Queue};
use crate::random::Random;

/// A connection; numbers are not used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WireId(pub(crate) u64);

/// A machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Place {
    Server(usize),
    Client(usize),
}

/// What a server listens on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Port {
    Clients,
    Election,
    Quorum,
}

/// One end of a wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum End {
    Dialler,
    Acceptor,
}

impl End {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }

    fn index(self) -> usize {
        usize::from(self == Self::Acceptor)
    }
}

/// What travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cargo {
    /// The wish to connect.
    Dial,
    /// The connection is there.
    Accepted,
    /// Nobody listens.
    Refused,
    Bytes(Vec<u8>),
    /// The other end has closed, after all that it sent.
    Closed,
    /// The other end is gone.
    Reset,
}

/// How slow and how uneven it all is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NetOptions {
    /// Time from end to end in microseconds, least and most.
    pub(crate) latency: (u64, u64),
    /// Whether what is written at once arrives in pieces.
    pub(crate) pieces: bool,
    /// How long a dial may take.
    pub(crate) dial_timeout_ms: u64,
}

#[derive(Debug)]
struct Wire {
    places: [Place; 2],
    port: Port,
    pipes: [Pipe; 2],
    /// Which ends are still held by their machines.
    open: [bool; 2],
    answered: bool,
    stalled_until: Time,
}

/// What is on its way to one end.
#[derive(Debug, Default)]
struct Pipe {
    cargo: VecDeque<(Time, Cargo)>,
    last_at: Time,
    bytes: usize,
    /// Whether there is an event for it.
    armed: bool,
}

/// All wires.
pub(crate) struct Net {
    options: NetOptions,
    wires: BTreeMap<WireId, Wire>,
    next: u64,
    /// Nothing gets from the first to the second.
    blocked: BTreeSet<(Place, Place)>,
    /// Everything takes so many times as long.
    pub(crate) slowness: u64,
    random: Random,
    pub(crate) bytes_carried: u64,
}

impl Net {
    pub(crate) fn new(seed: u64, options: NetOptions) -> Self {
        Self {
            options,
            wires: BTreeMap::new(),
            next: 1,
            blocked: BTreeSet::new(),
            slowness: 1,
            random: Random::new(seed, "net"),
            bytes_carried: 0,
        }
    }

    /// Begins to connect; the dialler will hear `Accepted`, `Refused` or the timeout.
    pub(crate) fn dial(&mut self, queue: &mut Queue, from: Place, to: Place, port: Port) -> WireId {
        let id = WireId(self.next);
        self.next += 1;
        let wire = Wire {
            places: [from, to],
            port,
            pipes: [Pipe::default(), Pipe::default()],
            open: [true, true],
            answered: false,
            stalled_until: Time(0),
        };
        self.wires.insert(id, wire);
        self.push(queue, id, End::Acceptor, Cargo::Dial);
        queue.after(self.options.dial_timeout_ms * 1000, Event::DialTimeout(id));
        id
    }

    /// Sends bytes from one end to the other.
    pub(crate) fn send(&mut self, queue: &mut Queue, id: WireId, from: End, bytes: &[u8]) {
        if bytes.is_empty() || !self.is_open(id, from) {
            return;
        }
        self.bytes_carried += bytes.len() as u64;
        let mut rest = bytes;
        while self.options.pieces && rest.len() > 1 && self.random.one_in(3) {
            let (piece, behind) = rest.split_at(1 + self.random.index(rest.len() - 1));
            self.push(queue, id, from.other(), Cargo::Bytes(piece.to_vec()));
            rest = behind;
        }
        self.push(queue, id, from.other(), Cargo::Bytes(rest.to_vec()));
    }

    /// Says that the connection is there.
    pub(crate) fn accept(&mut self, queue: &mut Queue, id: WireId) {
        self.push(queue, id, End::Dialler, Cargo::Accepted);
    }

    /// Closes one end; the other gets all that was sent, then hears of it.
    pub(crate) fn close(&mut self, queue: &mut Queue, id: WireId, from: End) {
        self.let_go(queue, id, from, Cargo::Closed);
    }

    /// Lets go of an end and says so with this cargo.
    pub(crate) fn let_go(&mut self, queue: &mut Queue, id: WireId, from: End, cargo: Cargo) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        if std::mem::take(&mut wire.open[from.index()]) {
            wire.pipes[from.index()] = Pipe::default();
            self.push(queue, id, from.other(), cargo);
        }
    }

    /// A machine that knows nothing of this connection got something by it.
    pub(crate) fn answer_reset(&mut self, queue: &mut Queue, id: WireId, from: End) {
        self.push(queue, id, from.other(), Cargo::Reset);
    }

    /// The process at this place has died: its machine resets all its connections.
    pub(crate) fn reset_all(&mut self, queue: &mut Queue, place: Place) {
        for (id, end) in self.ends_of(place) {
            self.let_go(queue, id, end, Cargo::Reset);
        }
    }

    /// The machine at this place has lost power: nobody is told, and what it had not sent yet is
    /// lost.
    pub(crate) fn abandon_all(&mut self, place: Place) {
        for (id, end) in self.ends_of(place) {
            let Some(wire) = self.wires.get_mut(&id) else { continue };
            wire.open[end.index()] = false;
            wire.pipes[end.index()] = Pipe::default();
            wire.pipes[end.other().index()].lose_part(&mut self.random);
        }
    }

    /// Both ends hear that the connection broke; what was on its way is lost in part.
    pub(crate) fn break_wire(&mut self, queue: &mut Queue, id: WireId) {
        for end in [End::Dialler, End::Acceptor] {
            let Some(wire) = self.wires.get_mut(&id) else { return };
            wire.pipes[end.index()].lose_part(&mut self.random);
            self.push(queue, id, end, Cargo::Reset);
        }
    }

    /// What has come to this end, if anything has.
    pub(crate) fn take(&mut self, queue: &mut Queue, id: WireId, end: End) -> Option<Cargo> {
        let now = queue.now();
        let wire = self.wires.get_mut(&id)?;
        let from = wire.places[end.other().index()];
        let to = wire.places[end.index()];
        let pipe = &mut wire.pipes[end.index()];
        pipe.armed = false;
        let (at, _) = pipe.cargo.front()?;
        // Who frees the way sees to it that there is an event again.
        if self.blocked.contains(&(from, to)) {
            return None;
        }
        let at = wire.stalled_until.max(*at);
        if at > now {
            pipe.arm(queue, at, id, end);
            return None;
        }
        let (_, cargo) = pipe.cargo.pop_front()?;
        pipe.bytes -= cargo.bytes();
        if let Some((at, _)) = pipe.cargo.front() {
            pipe.arm(queue, *at, id, end);
        }
        if cargo == Cargo::Accepted || cargo == Cargo::Refused {
            wire.answered = true;
        }
        if matches!(cargo, Cargo::Closed | Cargo::Reset | Cargo::Refused) {
            wire.open[end.index()] = false;
        }
        if wire.open == [false, false] && wire.pipes.iter().all(|pipe| pipe.cargo.is_empty()) {
            self.wires.remove(&id);
        }
        Some(cargo)
    }

    /// Whether a dial was never answered; then it is over.
    pub(crate) fn dial_timed_out(&mut self, queue: &mut Queue, id: WireId) -> bool {
        let Some(wire) = self.wires.get(&id) else { return false };
        let timed_out = !wire.answered && wire.open[0];
        if timed_out {
            self.let_go(queue, id, End::Dialler, Cargo::Reset);
        }
        timed_out
    }

    /// Bytes on their way to this end.
    pub(crate) fn bytes_to(&self, id: WireId, end: End) -> usize {
        self.wires.get(&id).map_or(0, |wire| wire.pipes[end.index()].bytes)
    }

    pub(crate) fn is_open(&self, id: WireId, end: End) -> bool {
        self.wires.get(&id).is_some_and(|wire| wire.open[end.index()])
    }

    /// The machine at this end, and the port that was dialled.
    pub(crate) fn place(&self, id: WireId, end: End) -> Option<(Place, Port)> {
        self.wires.get(&id).map(|wire| (wire.places[end.index()], wire.port))
    }

    /// From now on nothing gets from one to the other.
    pub(crate) fn block(&mut self, from: Place, to: Place) {
        self.blocked.insert((from, to));
    }

    /// Everything gets everywhere again.
    pub(crate) fn unblock_all(&mut self, queue: &mut Queue) {
        self.blocked.clear();
        self.wake_all(queue);
    }

    /// Nothing moves on this wire for so long.
    pub(crate) fn stall(&mut self, id: WireId, until: Time) {
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.stalled_until = until;
        }
    }

    /// Nothing is stalled any more.
    pub(crate) fn unstall_all(&mut self, queue: &mut Queue) {
        self.wires.values_mut().for_each(|wire| wire.stalled_until = Time(0));
        self.wake_all(queue);
    }

    /// The wires that end at this place.
    pub(crate) fn ends_of(&self, place: Place) -> Vec<(WireId, End)> {
        let ends = [End::Dialler, End::Acceptor];
        let of = |(id, wire): (&WireId, &Wire)| {
            let here = ends.into_iter().find(|end| wire.places[end.index()] == place);
            here.map(|end| (*id, end))
        };
        self.wires.iter().filter_map(of).collect()
    }

    fn wake_all(&mut self, queue: &mut Queue) {
        for (id, wire) in &mut self.wires {
            for end in [End::Dialler, End::Acceptor] {
                let pipe = &mut wire.pipes[end.index()];
                if !pipe.cargo.is_empty() {
                    pipe.armed = false;
                    let at = Time(queue.now().0 + self.random.below(500));
                    pipe.arm(queue, at, *id, end);
                }
            }
        }
    }

    fn push(&mut self, queue: &mut Queue, id: WireId, to: End, cargo: Cargo) {
        let latency = self.random.between(self.options.latency) * self.slowness;
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let pipe = &mut wire.pipes[to.index()];
        let at = Time(queue.now().0 + latency).max(pipe.last_at);
        pipe.last_at = at;
        pipe.bytes += cargo.bytes();
        pipe.cargo.push_back((at, cargo));
        pipe.arm(queue, at, id, to);
    }
}

impl Pipe {
    /// Loses what comes behind some byte.
    fn lose_part(&mut self, random: &mut Random) {
        let kept = random.index(self.cargo.len() + 1);
        self.cargo.truncate(kept);
        if let Some((_, Cargo::Bytes(bytes))) = self.cargo.back_mut() {
            bytes.truncate(1 + random.index(bytes.len()));
        }
        self.bytes = self.cargo.iter().map(|(_, cargo)| cargo.bytes()).sum();
    }

    /// Sees to it that what comes next is looked at.
    fn arm(&mut self, queue: &mut Queue, at: Time, id: WireId, end: End) {
        if !std::mem::replace(&mut self.armed, true) {
            queue.at(at, Event::Arrival(id, end));
        }
    }
}

impl Cargo {
    fn bytes(&self) -> usize {
        if let Self::Bytes(bytes) = self { bytes.len() } else { 0 }
    }
}
