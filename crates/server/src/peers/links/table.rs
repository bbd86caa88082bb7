//! All links, on the thread that drives the replica: what their sockets say goes to the replica at
//! once, and what the replica says to them.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use mio::event::Event;
use mio::{Registry, Token};
use ostler_node::clock::Time;
use ostler_node::replica::Input;
use ostler_zab::LinkId;

use super::link::{Link, ReadOn, WriteOn};
use super::{Connection, LinkMail, Links, Outgoing};

/// The links that there are.
#[derive(Debug)]
pub(crate) struct LinkTable {
    links: Links,
    registry: Registry,
    /// Numbers given so far; none is used twice.
    last: u64,
    open: BTreeMap<LinkId, Link>,
    /// Links that may have something to be read, each once.
    to_read: VecDeque<LinkId>,
    /// Links whose sockets may take more, each once.
    to_write: Vec<LinkId>,
}

/// Whether an event with this token is about a link.
pub(crate) fn is_link(token: Token) -> bool {
    token.0 & LINK_BIT != 0
}

impl LinkTable {
    /// A table whose sockets are waited for with this registry's poll.
    pub(crate) fn new(links: Links, registry: Registry) -> Self {
        Self {
            links,
            registry,
            last: 0,
            open: BTreeMap::new(),
            to_read: VecDeque::new(),
            to_write: Vec::new(),
        }
    }

    /// Remembers what a socket has said; [`Self::turn`] does something about it.
    pub(crate) fn note(&mut self, event: &Event) {
        let id = LinkId((event.token().0 & !LINK_BIT) as u64);
        let Some(link) = self.open.get_mut(&id) else { return };
        if event.is_writable() && link.is_stalled() {
            to_write(link, &mut self.to_write);
        }
        let has_ended = event.is_read_closed() || event.is_error();
        if has_ended {
            link.note_end();
        }
        if event.is_readable() || has_ended {
            to_read(link, &mut self.to_read);
        }
    }

    /// Whether there is something to do that no event will tell of: the thread must not sleep.
    pub(crate) fn is_busy(&self) -> bool {
        !self.to_read.is_empty() || !self.to_write.is_empty()
    }

    /// When [`Self::turn`] has something to do at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let stall_max = self.links.0.settings.stall_max;
        self.open.values().filter_map(|link| link.deadline(stall_max)).min()
    }

    /// Writes to who takes more, reads once from each link that has something, and closes those
    /// that have been borne with for long enough.
    pub(crate) fn turn(&mut self, now: Time, hear: &mut dyn FnMut(Input)) {
        self.write_all(now);
        if self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.keep_time(now);
        }
        for _ in 0..self.to_read.len() {
            let Some(id) = self.to_read.pop_front() else { return };
            let Some(link) = self.open.get_mut(&id) else { continue };
            link.is_to_read = false;
            match link.read(&self.links, hear) {
                Ok(ReadOn::Later) => {}
                Ok(ReadOn::More) => to_read(link, &mut self.to_read),
                Err(error) => self.end(id, &error, hear),
            }
        }
    }

    fn keep_time(&mut self, now: Time) {
        let stall_max = self.links.0.settings.stall_max;
        for link in self.open.values_mut() {
            if link.keep_time(now, stall_max) {
                to_read(link, &mut self.to_read);
            }
        }
    }

    /// Takes what another thread has brought.
    pub(crate) fn take(&mut self, now: Time, mail: LinkMail, hear: &mut dyn FnMut(Input)) {
        match mail {
            LinkMail::Connected(connection) => self.add(connection, hear),
            LinkMail::SnapshotWritten(id, written) => {
                let Some(link) = self.open.get_mut(&id) else { return };
                if link.snapshot_was_written(written) {
                    hear(Input::SnapshotSent(id));
                }
                self.write(now, id);
            }
            LinkMail::SnapshotRead(id, incoming, read) => {
                let Some(link) = self.open.get_mut(&id) else { return };
                match read {
                    Ok(tree) => {
                        hear(Input::Snapshot(id, *tree));
                        // The thread may have read what no event tells of again.
                        link.snapshot_was_read(incoming);
                        to_read(link, &mut self.to_read);
                    }
                    Err(error) => self.end(id, &error, hear),
                }
            }
            LinkMail::Stop => {
                for link in self.open.values_mut() {
                    link.queue(now, Outgoing::Close("the server ends"));
                    to_write(link, &mut self.to_write);
                }
                self.write_all(now);
            }
        }
    }

    /// Makes a connection a link.
    fn add(&mut self, connection: Connection, hear: &mut dyn FnMut(Input)) {
        let (remote, dialled) = (connection.remote, connection.dialled);
        self.last += 1;
        let id = LinkId(self.last);
        let token = token(id);
        let packet_bytes_max = self.links.0.settings.packet_bytes_max;
        let added = if self.links.is_stopping() {
            Err(io::Error::other("the server ends"))
        } else {
            Link::new(id, connection, &self.registry, token, packet_bytes_max)
        };
        match (added, dialled) {
            (Ok(link), dialled) => {
                self.open.insert(id, link);
                match dialled {
                    None => hear(Input::Accepted(id)),
                    Some(sid) => {
                        tracing::info!("connected to the leader {sid} at {remote}");
                        hear(Input::Dialled(sid, Some(id)));
                    }
                }
            }
            (Err(error), None) => {
                tracing::warn!("connection of a learner at {remote} lost: {error}");
            }
            (Err(error), Some(sid)) => {
                tracing::debug!("connection with the leader {sid} lost: {error}");
                hear(Input::Dialled(sid, None));
            }
        }
    }

    /// Sends what a turn of the replica has for its peers, with one write a link; order counts
    /// within each link.
    pub(crate) fn send(&mut self, now: Time, outgoing: Vec<(LinkId, Outgoing)>) {
        for (id, outgoing) in outgoing {
            // Else it is gone, and the replica has heard of it or is about to.
            let Some(link) = self.open.get_mut(&id) else { continue };
            link.queue(now, outgoing);
            to_write(link, &mut self.to_write);
        }
        self.write_all(now);
    }

    fn write_all(&mut self, now: Time) {
        for id in std::mem::take(&mut self.to_write) {
            self.write(now, id);
        }
    }

    fn write(&mut self, now: Time, id: LinkId) {
        let Some(link) = self.open.get_mut(&id) else { return };
        link.is_to_write = false;
        match link.write(now, &self.links) {
            WriteOn::Later => {}
            WriteOn::More => to_write(link, &mut self.to_write),
            // Its end is the last word that the replica hears of it.
            WriteOn::Shut => to_read(link, &mut self.to_read),
        }
    }

    fn end(&mut self, id: LinkId, error: &io::Error, hear: &mut dyn FnMut(Input)) {
        let Some(link) = self.open.remove(&id) else { return };
        if !link.is_closing() {
            tracing::info!("link {} with {} is gone: {error}", id.0, link.remote);
        }
        link.close(&self.registry);
        hear(Input::LinkDown(id));
    }
}

/// A thread may still use a socket: it ends when that is closed.
impl Drop for LinkTable {
    fn drop(&mut self) {
        for link in std::mem::take(&mut self.open).into_values() {
            link.close(&self.registry);
        }
    }
}

fn to_read(link: &mut Link, list: &mut VecDeque<LinkId>) {
    if !std::mem::replace(&mut link.is_to_read, true) {
        list.push_back(link.id);
    }
}

fn to_write(link: &mut Link, list: &mut Vec<LinkId>) {
    if !std::mem::replace(&mut link.is_to_write, true) {
        list.push(link.id);
    }
}

fn token(id: LinkId) -> Token {
    // Links are numbered from 1 on, and would take ages to come so far.
    Token(usize::try_from(id.0).unwrap_or(0) | LINK_BIT)
}

/// Set in the tokens of links, and in no other.
const LINK_BIT: usize = 1 << (usize::BITS - 2);
