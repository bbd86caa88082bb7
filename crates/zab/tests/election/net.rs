//! The election connections between servers: dialled by the rule of the larger id, in order,
//! delayed, cut, and silent. A message that is not sent yet is replaced by a newer one.

use std::collections::{BTreeMap, BTreeSet};

use ostler_wire::ids::Sid;
use ostler_wire::vote::Notification;
use ostler_zab::clock::Time;

/// What becomes of packets between two servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Path {
    #[default]
    Open,
    /// They are refused at once, and so are dials, after a while.
    Cut,
    /// They stay on the way until the path is open.
    Silent,
}

/// The connections of an ensemble.
#[derive(Debug, Default)]
pub(crate) struct Net {
    links: BTreeMap<(Sid, Sid), Link>,
    connections: u64,
    dialling: BTreeSet<(Sid, Sid)>,
    /// What waits for a connection, by sender and receiver.
    queued: BTreeMap<(Sid, Sid), Notification>,
}

#[derive(Debug, Default)]
struct Link {
    path: Path,
    /// The present connection.
    connection: Option<u64>,
    /// When the last message of the smaller and of the larger server arrives.
    last_arrival: [Time; 2],
    held: Vec<Message>,
}

/// A message on a connection.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) connection: u64,
    pub(crate) from: Sid,
    pub(crate) to: Sid,
    pub(crate) notification: Notification,
}

impl Net {
    pub(crate) fn path(&self, a: Sid, b: Sid) -> Path {
        self.links.get(&pair(a, b)).map_or(Path::Open, |link| link.path)
    }

    pub(crate) fn connection(&self, a: Sid, b: Sid) -> Option<u64> {
        self.links.get(&pair(a, b)).and_then(|link| link.connection)
    }

    /// Changes a path and returns what was held on it, in order.
    pub(crate) fn set_path(&mut self, a: Sid, b: Sid, path: Path) -> Vec<Message> {
        let link = self.links.entry(pair(a, b)).or_default();
        link.path = path;
        if path == Path::Silent { Vec::new() } else { std::mem::take(&mut link.held) }
    }

    /// Whether a dial has to be made; it is under way from then on.
    pub(crate) fn dial(&mut self, from: Sid, to: Sid) -> bool {
        self.connection(from, to).is_none() && self.dialling.insert((from, to))
    }

    pub(crate) fn dial_ended(&mut self, from: Sid, to: Sid) {
        self.dialling.remove(&(from, to));
    }

    /// Makes a new connection, in place of any other.
    pub(crate) fn connect(&mut self, a: Sid, b: Sid) {
        self.connections += 1;
        let link = self.links.entry(pair(a, b)).or_default();
        link.connection = Some(self.connections);
        link.held.clear();
    }

    /// Ends the connection; whether there was one.
    pub(crate) fn disconnect(&mut self, a: Sid, b: Sid) -> bool {
        let link = self.links.entry(pair(a, b)).or_default();
        link.held.clear();
        link.connection.take().is_some()
    }

    /// When a message sent now arrives, if it takes so long and stays behind those before it.
    pub(crate) fn arrival(&mut self, from: Sid, to: Sid, at: Time) -> Time {
        let link = self.links.entry(pair(from, to)).or_default();
        let last = &mut link.last_arrival[usize::from(from > to)];
        *last = at.max(*last);
        *last
    }

    pub(crate) fn hold(&mut self, message: Message) {
        self.links.entry(pair(message.from, message.to)).or_default().held.push(message);
    }

    pub(crate) fn enqueue(&mut self, from: Sid, to: Sid, notification: Notification) {
        self.queued.insert((from, to), notification);
    }

    pub(crate) fn dequeue(&mut self, from: Sid, to: Sid) -> Option<Notification> {
        self.queued.remove(&(from, to))
    }

    /// Everything that a server had to say is gone with it.
    pub(crate) fn forget(&mut self, server: Sid) {
        self.queued.retain(|(from, _), _| *from != server);
    }
}

fn pair(a: Sid, b: Sid) -> (Sid, Sid) {
    (a.min(b), a.max(b))
}
