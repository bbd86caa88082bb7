//! Which watches this client has left on the server, and who waits for each.
//!
//! Servers know watches by connection, not by caller: however many callers watch a path, the server
//! keeps one watch and sends one event. Paths are the server's, with the chroot in front.
//!
//! Invariant: a path is in the table while somebody watches it, while a request that leaves a watch
//! there is under way, or while the server is believed to keep one.

use std::collections::BTreeMap;

use ostler_wire::ids::Zxid;
use ostler_wire::jute::Text;
use ostler_wire::reply::EventType;
use ostler_wire::request::WatchLists;
use tokio::sync::{mpsc, oneshot};

use crate::event::{Event, EventKind, WatchKind};
use crate::path::Chroot;

/// What servers tell apart on one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Table {
    Data,
    Child,
    Persistent,
    Recursive,
}

impl Table {
    const ALL: [Self; 4] = [Self::Data, Self::Child, Self::Persistent, Self::Recursive];

    /// How removeWatches calls it.
    pub(crate) fn kind(self) -> WatchKind {
        match self {
            Self::Data => WatchKind::Data,
            Self::Child => WatchKind::Children,
            Self::Persistent => WatchKind::Persistent,
            Self::Recursive => WatchKind::PersistentRecursive,
        }
    }

    fn is_of(self, kind: WatchKind) -> bool {
        kind == WatchKind::Any || kind == self.kind()
    }
}

/// Somebody who waits.
pub(crate) enum Subscriber {
    Once(oneshot::Sender<Event>),
    Many(mpsc::UnboundedSender<Event>),
}

impl Subscriber {
    fn is_closed(&self) -> bool {
        match self {
            Self::Once(sender) => sender.is_closed(),
            Self::Many(sender) => sender.is_closed(),
        }
    }

    /// Tells it, and whoever is gone does not hear it.
    fn tell_last(self, event: Event) {
        match self {
            Self::Once(sender) => drop(sender.send(event)),
            Self::Many(sender) => drop(sender.send(event)),
        }
    }
}

/// All watches of one path on one of the server's tables.
#[derive(Default)]
struct Watched {
    subscribers: Vec<Entry>,
    /// Requests under way that will leave a watch here.
    coming: u32,
    /// Whether the server has one.
    on_server: bool,
}

struct Entry {
    subscriber: Subscriber,
    /// Left on a znode that did not exist.
    on_missing: bool,
}

impl Watched {
    fn prune(&mut self) {
        self.subscribers.retain(|entry| !entry.subscriber.is_closed());
    }

    fn is_idle(&self) -> bool {
        self.subscribers.is_empty() && self.coming == 0
    }
}

/// The registry of one session.
#[derive(Default)]
pub(crate) struct Watches {
    tables: [BTreeMap<String, Watched>; 4],
}

/// Bytes of paths that one request puts back at most, as other clients do it: servers limit frames.
const CHUNK_BYTES: usize = 128 * 1024;

impl Watches {
    fn table(&mut self, table: Table) -> &mut BTreeMap<String, Watched> {
        &mut self.tables[table as usize]
    }

    /// A request that will leave a watch is about to be queued.
    pub(crate) fn expect(&mut self, path: &str, table: Table) {
        let table = self.table(table);
        if let Some(watched) = table.get_mut(path) {
            watched.coming += 1;
        } else {
            table.insert(path.to_owned(), Watched { coming: 1, ..Watched::default() });
        }
    }

    /// It has left one. True if the server is to be told that nobody wants it any more.
    pub(crate) fn arrive(
        &mut self,
        path: &str,
        table: Table,
        subscriber: Subscriber,
        on_missing: bool,
    ) -> bool {
        let watched = self.table(table).get_mut(path).expect("it was expected");
        watched.coming -= 1;
        watched.on_server = true;
        watched.subscribers.push(Entry { subscriber, on_missing });
        self.release(path, table)
    }

    /// It has left none. True if the server is to be told that nobody wants the one of before.
    pub(crate) fn fail(&mut self, path: &str, table: Table) -> bool {
        let watched = self.table(table).get_mut(path).expect("it was expected");
        watched.coming -= 1;
        self.release(path, table)
    }

    /// Somebody may have stopped to wait. True if the server is to be told that nobody waits.
    pub(crate) fn release(&mut self, path: &str, table: Table) -> bool {
        let table = self.table(table);
        let Some(watched) = table.get_mut(path) else { return false };
        watched.prune();
        if !watched.is_idle() {
            return false;
        }
        let on_server = watched.on_server;
        table.remove(path);
        on_server
    }

    /// Hands an event of the server to all who wait for it.
    pub(crate) fn fire(&mut self, event_type: EventType, path: &str, zxid: Zxid, chroot: &Chroot) {
        let event = Event { kind: event_type.into(), path: chroot.inward(path), zxid };
        let once: &[Table] = match event_type {
            EventType::NodeCreated | EventType::NodeDataChanged => &[Table::Data],
            EventType::NodeChildrenChanged => &[Table::Child],
            EventType::NodeDeleted => &[Table::Data, Table::Child],
        };
        for table in once {
            let table = self.table(*table);
            let Some(watched) = table.get_mut(path) else { continue };
            watched.on_server = false;
            for entry in watched.subscribers.drain(..) {
                entry.subscriber.tell_last(event.clone());
            }
            if watched.is_idle() {
                table.remove(path);
            }
        }
        self.tell(Table::Persistent, path, &event);
        if event_type == EventType::NodeChildrenChanged {
            return;
        }
        let mut above = Some(path);
        while let Some(path) = above {
            self.tell(Table::Recursive, path, &event);
            above = match path.rsplit_once('/') {
                Some(("", "")) | None => None,
                Some(("", _)) => Some("/"),
                Some((parent, _)) => Some(parent),
            };
        }
    }

    fn tell(&mut self, table: Table, path: &str, event: &Event) {
        let Some(watched) = self.table(table).get(path) else { return };
        for entry in &watched.subscribers {
            if let Subscriber::Many(sender) = &entry.subscriber {
                // Whoever is gone takes itself out.
                drop(sender.send(event.clone()));
            }
        }
    }

    /// Takes away what `remove_watches` asks for; false if there was nothing.
    pub(crate) fn remove(&mut self, path: &str, kind: WatchKind, chroot: &Chroot) -> bool {
        let mut found = false;
        for table in Table::ALL.into_iter().filter(|table| table.is_of(kind)) {
            let table = self.table(table);
            let Some(watched) = table.get_mut(path) else { continue };
            watched.on_server = false;
            watched.prune();
            found |= !watched.subscribers.is_empty();
            for entry in watched.subscribers.drain(..) {
                entry.subscriber.tell_last(farewell(EventKind::Removed, path, chroot));
            }
            if watched.is_idle() {
                table.remove(path);
            }
        }
        found
    }

    /// The server has forgotten all of them with the connection.
    pub(crate) fn disconnected(&mut self) {
        for table in &mut self.tables {
            table.retain(|_, watched| {
                watched.on_server = false;
                watched.prune();
                !watched.is_idle()
            });
        }
    }

    /// Everybody hears why nothing will come any more.
    pub(crate) fn end(&mut self, kind: EventKind, chroot: &Chroot) {
        for table in &mut self.tables {
            table.retain(|path, watched| {
                for entry in watched.subscribers.drain(..) {
                    entry.subscriber.tell_last(farewell(kind, path, chroot));
                }
                watched.on_server = false;
                watched.coming > 0
            });
        }
    }

    /// The lists that put all watches back on a new connection, cut to what a frame can carry.
    ///
    /// From now on the server is believed to have them.
    pub(crate) fn lists(&mut self, relative_zxid: Zxid) -> Vec<WatchLists<'_>> {
        let mut lists = Vec::new();
        let mut list = WatchLists { relative_zxid, ..WatchLists::default() };
        let mut bytes = 0;
        for (table, watched) in Table::ALL.into_iter().zip(&mut self.tables) {
            for (path, watched) in watched {
                if watched.subscribers.is_empty() {
                    continue;
                }
                watched.on_server = true;
                if bytes + path.len() > CHUNK_BYTES && bytes > 0 {
                    lists.push(core::mem::take(&mut list));
                    list.relative_zxid = relative_zxid;
                    bytes = 0;
                }
                bytes += path.len() + LENGTH_BYTES;
                let on_missing = |entry: &Entry| entry.on_missing;
                let path = || Text::Borrowed(path.as_str());
                match table {
                    Table::Data => {
                        if watched.subscribers.iter().any(on_missing) {
                            list.exist.push(path());
                        }
                        if !watched.subscribers.iter().all(on_missing) {
                            list.data.push(path());
                        }
                    }
                    Table::Child => list.child.push(path()),
                    Table::Persistent => list.persistent.push(path()),
                    Table::Recursive => list.recursive.push(path()),
                }
            }
        }
        if bytes > 0 {
            lists.push(list);
        }
        lists
    }
}

/// In front of each path.
const LENGTH_BYTES: usize = 4;

fn farewell(kind: EventKind, path: &str, chroot: &Chroot) -> Event {
    Event { kind, path: chroot.inward(path), zxid: Zxid::NONE }
}
