//! The session behind the shell: its states told as events, its watches followed.
//!
//! Every watch that a command leaves is followed by a task that prints what it brings. Apache's
//! shell has one watcher for everything, so an event that several watches bring is shown once.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ostler_client::runtime::{Either, race};
use ostler_client::{Client, Event, EventKind, OneshotWatch, State, Watch};
use ostler_wire::ids::Zxid;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::console::Console;

/// What kind of watch was left on a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Slot {
    /// By `get -w` and `stat -w`.
    Data,
    /// By `ls -w`.
    Children,
    /// By `addWatch -m PERSISTENT`.
    Persistent,
    /// By `addWatch`.
    Recursive,
}

/// A session and the tasks that tell of it.
pub(super) struct Link {
    client: Client,
    runtime: Handle,
    teller: Arc<Teller>,
    /// The last state that was told.
    told: watch::Receiver<State>,
    tasks: JoinSet<()>,
}

impl Link {
    /// Follows a client. To be called within the runtime.
    pub(super) fn new(client: Client, console: Arc<Console>) -> Self {
        let teller = Arc::new(Teller {
            console,
            seen: Mutex::default(),
            is_leaving_quietly: AtomicBool::new(false),
        });
        let (sender, told) = watch::channel(State::Connecting);
        let mut states = client.states();
        let mut tasks = JoinSet::new();
        let task_teller = Arc::clone(&teller);
        tasks.spawn(async move {
            while let Some(state) = states.next().await {
                task_teller.state(state);
                let _ = sender.send(state);
            }
        });
        Self { client, runtime: Handle::current(), teller, told, tasks }
    }

    /// The client, connected or not.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The state that was told last.
    pub(super) fn state(&self) -> State {
        *self.told.borrow()
    }

    /// Is ready as soon as there is a connection, or there will be none.
    pub(super) fn settled(&self) -> impl Future<Output = State> + use<> {
        let mut told = self.told.clone();
        async move {
            let is_settled = |state: &State| state.is_connected() || state.is_final();
            match told.wait_for(is_settled).await {
                Ok(state) => *state,
                Err(_) => State::Closed,
            }
        }
    }

    /// Prints what a watch for one event brings.
    pub(super) fn follow_once(&mut self, slot: Slot, path: &str, watch: OneshotWatch) {
        let key = (slot, path.to_string());
        self.teller.lock().left.insert(key.clone());
        let teller = Arc::clone(&self.teller);
        self.tasks.spawn_on(
            async move {
                let event = watch.await;
                teller.once(key, &event);
            },
            &self.runtime,
        );
    }

    /// Prints what a lasting watch brings. There is one of a kind for each path.
    pub(super) fn follow(&mut self, slot: Slot, path: &str, mut watch: Watch) {
        let key = (slot, path.to_string());
        if !self.teller.lock().left.insert(key.clone()) {
            return;
        }
        let teller = Arc::clone(&self.teller);
        self.tasks.spawn_on(
            async move {
                while let Some(event) = watch.next().await {
                    teller.lasting(&key, &event);
                }
            },
            &self.runtime,
        );
    }

    /// Closes the session and waits until everything that it brought is told.
    pub(super) async fn close(mut self) {
        // Whether the server hears of it or not, the session is over for us.
        let _ = within(CLOSE_TIME, self.client.close()).await;
        while let Some(Some(_)) = within(CLOSE_TIME, self.tasks.join_next()).await {}
    }

    /// As [`close`](Self::close), without telling of the close itself: the program ends anyway.
    pub(super) async fn close_quietly(self) {
        self.teller.is_leaving_quietly.store(true, Ordering::Relaxed);
        self.close().await;
    }
}

async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    match race(future, tokio::time::sleep(time)).await {
        Either::Left(output) => Some(output),
        Either::Right(()) => None,
    }
}

/// How long to wait for the answer to a close.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Tells of events, each once.
struct Teller {
    console: Arc<Console>,
    seen: Mutex<Seen>,
    is_leaving_quietly: AtomicBool,
}

#[derive(Default)]
struct Seen {
    /// Watches that were left and have not brought anything yet; lasting ones as long as they last.
    left: HashSet<(Slot, String)>,
    /// The last events.
    told: VecDeque<(EventKind, String, Zxid)>,
}

/// How many events are remembered: several watches bring the same one at almost the same time.
const TOLD_MAX: usize = 64;

impl Teller {
    fn state(&self, state: State) {
        let name = match state {
            State::Connecting => return,
            State::Closed if self.is_leaving_quietly.load(Ordering::Relaxed) => return,
            State::Connected => "SyncConnected",
            State::ConnectedReadOnly => "ConnectedReadOnly",
            State::Suspended => "Disconnected",
            State::Lost => "Expired",
            State::AuthFailed => "AuthFailed",
            State::Closed => "Closed",
        };
        self.console.event(&format!("WatchedEvent state:{name} type:None path:null zxid: -1"));
    }

    fn once(&self, key: (Slot, String), event: &Event) {
        let was_left = self.lock().left.remove(&key);
        // Without the number of a transaction only this tells whether another watch of the same
        // kind on the path has told it already.
        if was_left || event.zxid.0 > 0 {
            self.tell(key.0, event);
        }
    }

    fn lasting(&self, key: &(Slot, String), event: &Event) {
        if matches!(event.kind, EventKind::Removed | EventKind::SessionLost) {
            self.lock().left.remove(key);
        }
        self.tell(key.0, event);
    }

    fn tell(&self, slot: Slot, event: &Event) {
        let Some(name) = name(slot, event.kind) else { return };
        if event.kind != EventKind::Removed && event.zxid.0 > 0 && !self.is_new(event) {
            return;
        }
        self.console.event(&format!(
            "WatchedEvent state:SyncConnected type:{name} path:{} zxid: {}",
            event.path, event.zxid.0
        ));
    }

    fn is_new(&self, event: &Event) -> bool {
        let mut seen = self.lock();
        let event = (event.kind, event.path.clone(), event.zxid);
        if seen.told.contains(&event) {
            return false;
        }
        if seen.told.len() == TOLD_MAX {
            seen.told.pop_front();
        }
        seen.told.push_back(event);
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Java's name of what happened; `None` for what is told as a state.
fn name(slot: Slot, kind: EventKind) -> Option<&'static str> {
    Some(match kind {
        EventKind::Removed => match slot {
            Slot::Data => "DataWatchRemoved",
            Slot::Children => "ChildWatchRemoved",
            Slot::Persistent | Slot::Recursive => "PersistentWatchRemoved",
        },
        kind => event_name(kind)?,
    })
}

/// Java's name of what happened to a znode.
pub(super) fn event_name(kind: EventKind) -> Option<&'static str> {
    match kind {
        EventKind::Created => Some("NodeCreated"),
        EventKind::Deleted => Some("NodeDeleted"),
        EventKind::DataChanged => Some("NodeDataChanged"),
        EventKind::ChildrenChanged => Some("NodeChildrenChanged"),
        EventKind::Removed | EventKind::SessionLost => None,
    }
}

/// A state as it stands in the prompt.
pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Connecting | State::Suspended => "CONNECTING",
        State::Connected => "CONNECTED",
        State::ConnectedReadOnly => "CONNECTEDREADONLY",
        State::AuthFailed => "AUTH_FAILED",
        State::Lost | State::Closed => "CLOSED",
    }
}
