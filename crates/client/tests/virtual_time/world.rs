//! A world without tokio's clock, tasks and sockets.
//!
//! One thread; a clock that jumps to whatever happens next; tasks that run until they wait; a
//! network whose delays come from a seed and whose connections are cut now and then.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ostler_client::runtime::{Runtime, Sleep, Task};
use ostler_client::session::{Effect, Input, LinkId, Session};
use ostler_client::{Builder, Client};

use super::server::Server;

/// What clients get as their runtime.
#[derive(Clone)]
pub(crate) struct VirtualRuntime(Arc<Mutex<Inner>>);

struct Inner {
    now: Duration,
    random: u64,
    sleeper: u64,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    spawned: Vec<Task>,
}

impl VirtualRuntime {
    fn new(seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let (sleepers, spawned) = (BTreeMap::new(), Vec::new());
        let now = Duration::ZERO;
        Self(Arc::new(Mutex::new(Inner { now, random, sleeper: 0, sleepers, spawned })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("one thread")
    }
}

impl Runtime for VirtualRuntime {
    fn now(&self) -> Duration {
        self.inner().now
    }

    fn sleep(&self, time: Duration) -> Sleep {
        let mut inner = self.inner();
        inner.sleeper += 1;
        let key = (inner.now + time, inner.sleeper);
        Box::pin(Sleeping { runtime: self.clone(), key })
    }

    fn spawn(&self, task: Task) {
        self.inner().spawned.push(task);
    }

    fn random(&self) -> u64 {
        let mut inner = self.inner();
        inner.random ^= inner.random << 13;
        inner.random ^= inner.random >> 7;
        inner.random ^= inner.random << 17;
        inner.random
    }
}

struct Sleeping {
    runtime: VirtualRuntime,
    key: (Duration, u64),
}

impl Future for Sleeping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.runtime.inner();
        if self.key.0 <= inner.now {
            return Poll::Ready(());
        }
        inner.sleepers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        self.runtime.inner().sleepers.remove(&self.key);
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Something on its way through the network, to or from a client.
enum Packet {
    Dialed,
    ToServer(Vec<u8>),
    ToClient(Vec<u8>),
    /// The connection breaks, for both.
    Cut,
}

pub(crate) struct World {
    pub(crate) runtime: VirtualRuntime,
    pub(crate) server: Server,
    /// Every packet that arrived, and when.
    pub(crate) trace: Vec<String>,
    launched: (Sender<Session>, Receiver<Session>),
    sessions: Vec<Session>,
    tasks: Vec<(Task, Arc<Flag>)>,
    network: BTreeMap<(Duration, u64), (usize, LinkId, Packet)>,
    packets: u64,
    /// Nothing of a connection overtakes what was sent before.
    latest: BTreeMap<(usize, LinkId), Duration>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            runtime: VirtualRuntime::new(seed),
            server: Server::default(),
            trace: Vec::new(),
            launched: channel(),
            sessions: Vec::new(),
            tasks: Vec::new(),
            network: BTreeMap::new(),
            packets: 0,
            latest: BTreeMap::new(),
        }
    }

    pub(crate) fn client(&self, builder: Builder) -> Client {
        let launched = self.launched.0.clone();
        let launch = move |session| launched.send(session).expect("the world is there");
        builder.start_on(Arc::new(self.runtime.clone()), launch, "server:2181").expect("it starts")
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(Box::pin(task));
    }

    pub(crate) fn now(&self) -> Duration {
        self.runtime.now()
    }

    /// A number from the seed.
    pub(crate) fn draw(&self, end: u64) -> u64 {
        self.runtime.random() % end
    }

    /// Cuts the newest connection of a client, if it has one.
    pub(crate) fn cut(&mut self, client: usize) {
        let last = self.latest.keys().rfind(|(of, _)| *of == client);
        if let Some((_, link)) = last.copied() {
            self.post(client, link, Packet::Cut);
        }
    }

    fn post(&mut self, client: usize, link: LinkId, packet: Packet) {
        let delay = Duration::from_micros(100 + self.draw(20_000));
        let latest = self.latest.entry((client, link)).or_default();
        *latest = (*latest).max(self.runtime.now() + delay);
        self.packets += 1;
        self.network.insert((*latest, self.packets), (client, link, packet));
    }

    /// Goes on until nothing will happen any more, or until the end of time.
    pub(crate) fn run(&mut self, end: Duration) {
        loop {
            while self.run_tasks() | self.drive() {}
            let deadlines = self.sessions.iter().filter_map(Session::next_deadline);
            let packet = self.network.keys().next().map(|(at, _)| *at);
            let sleeper = self.runtime.inner().sleepers.keys().next().map(|(at, _)| *at);
            let Some(next) = deadlines.chain(packet).chain(sleeper).min() else { return };
            if next > end {
                return;
            }
            let now = next.max(self.runtime.now());
            self.runtime.inner().now = now;
            self.wake_sleepers(now);
            self.deliver(now);
            self.sessions.iter().for_each(|session| session.handle(now, Input::Tick));
        }
    }

    fn wake_sleepers(&self, now: Duration) {
        let mut inner = self.runtime.inner();
        let later = inner.sleepers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut inner.sleepers, later);
        drop(inner);
        due.into_values().for_each(Waker::wake);
    }

    /// Lets all tasks run that can; whether any could.
    fn run_tasks(&mut self) -> bool {
        let spawned = std::mem::take(&mut self.runtime.inner().spawned);
        let flag = || Arc::new(Flag(AtomicBool::new(true)));
        self.tasks.extend(spawned.into_iter().map(|task| (task, flag())));
        let mut ran = false;
        self.tasks.retain_mut(|(task, flag)| {
            if !flag.0.swap(false, Ordering::SeqCst) {
                return true;
            }
            ran = true;
            let waker = Waker::from(Arc::clone(flag));
            task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        ran
    }

    /// Carries out what the sessions want; whether they wanted anything.
    fn drive(&mut self) -> bool {
        self.sessions.extend(self.launched.1.try_iter());
        let now = self.runtime.now();
        let mut did = false;
        for client in 0..self.sessions.len() {
            for effect in self.sessions[client].take_effects() {
                did = true;
                match effect {
                    Effect::Dial(link, _) => self.post(client, link, Packet::Dialed),
                    Effect::HangUp(link) => self.server.forget((client, link)),
                    Effect::Probe(_) | Effect::End => {}
                }
            }
            let link = self.latest.keys().rfind(|(of, _)| *of == client);
            let Some((_, link)) = link.copied() else { continue };
            let mut bytes = Vec::new();
            self.sessions[client].transmit(now, link, 64 * 1024, &mut bytes);
            if !bytes.is_empty() {
                did = true;
                self.post(client, link, Packet::ToServer(bytes));
            }
        }
        did
    }

    fn deliver(&mut self, now: Duration) {
        let later = self.network.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut self.network, later);
        for (client, link, packet) in due.into_values() {
            let id = (client, link);
            let session = &self.sessions[client];
            let what = match packet {
                Packet::Dialed => {
                    self.server.accept(id);
                    session.handle(now, Input::Dialed(link));
                    "dialed".to_owned()
                }
                Packet::ToServer(bytes) => {
                    for ((client, link), answer) in self.server.receive(id, &bytes) {
                        self.post(client, link, Packet::ToClient(answer));
                    }
                    format!("-> {}", bytes.len())
                }
                Packet::ToClient(bytes) => {
                    session.handle(now, Input::Bytes(link, &bytes));
                    format!("<- {}", bytes.len())
                }
                Packet::Cut => {
                    self.server.forget(id);
                    session.handle(now, Input::Closed(link, "cut"));
                    "cut".to_owned()
                }
            };
            self.trace.push(format!("{now:?} {client} {what}"));
        }
    }
}
