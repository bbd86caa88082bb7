//! One client process: its tasks, its timers and its randomness, on the simulator's clock.
//!
//! It is the [`Runtime`] that client and recipes run on here. A turn runs whatever is ready, one
//! task at a time and in an order drawn from the seed, until nothing is. Who woke whom first is
//! forgotten on purpose: only the draw decides, so a run means the same every time.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ostler_client::runtime::{Runtime, Sleep, Task};
use ostler_node::clock::Time;

use crate::random::Random;

/// The tasks of one process.
pub(crate) struct Executor {
    shared: Arc<Shared>,
    tasks: BTreeMap<u64, Task>,
    order: Random,
}

impl Executor {
    pub(crate) fn new(seed: u64, process: &str) -> Self {
        let state = State {
            now: Duration::ZERO,
            ready: BTreeSet::new(),
            spawned: Vec::new(),
            timers: BTreeMap::new(),
            next: 0,
            random: Random::new(seed, &format!("{process} random")),
        };
        Self {
            shared: Arc::new(Shared { state: Mutex::new(state) }),
            tasks: BTreeMap::new(),
            order: Random::new(seed, &format!("{process} order")),
        }
    }

    pub(crate) fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(Machine { shared: Arc::clone(&self.shared) })
    }

    /// Moves its clock on.
    pub(crate) fn tell_time(&self, now: Time) {
        let due: Vec<Waker> = {
            let mut state = self.shared.state();
            state.now = Duration::from_micros(now.0);
            let now = state.now;
            let later = state.timers.split_off(&(now + Duration::from_nanos(1), 0));
            std::mem::replace(&mut state.timers, later).into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Runs one task that is ready; false when there is none.
    pub(crate) fn step(&mut self) -> bool {
        let spawned = std::mem::take(&mut self.shared.state().spawned);
        self.tasks.extend(spawned);
        let Some(id) = self.draw() else { return false };
        let Some(task) = self.tasks.get_mut(&id) else { return true };
        let waker = Waker::from(Arc::new(TaskWaker { id, shared: Arc::clone(&self.shared) }));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks.remove(&id);
        }
        true
    }

    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        let state = self.shared.state();
        let ((at, _), _) = state.timers.first_key_value()?;
        // Rounded up: an alarm must not come too early.
        Some(Time(u64::try_from(at.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)))
    }

    fn draw(&mut self) -> Option<u64> {
        let mut state = self.shared.state();
        if state.ready.is_empty() {
            return None;
        }
        let index = self.order.index(state.ready.len());
        let id = *state.ready.iter().nth(index)?;
        state.ready.remove(&id);
        Some(id)
    }
}

struct Shared {
    state: Mutex<State>,
}

impl Shared {
    /// Never held while something is dropped or woken that may come back here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct State {
    now: Duration,
    ready: BTreeSet<u64>,
    spawned: Vec<(u64, Task)>,
    /// By the time at which they are due, and by number.
    timers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
    random: Random,
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// The process as its tasks see it.
struct Machine {
    shared: Arc<Shared>,
}

impl Runtime for Machine {
    fn now(&self) -> Duration {
        self.shared.state().now
    }

    fn sleep(&self, time: Duration) -> Sleep {
        let at = self.now().saturating_add(time);
        Box::pin(Timer { at, number: None, shared: Arc::clone(&self.shared) })
    }

    fn spawn(&self, task: Task) {
        let mut state = self.shared.state();
        let id = state.number();
        state.spawned.push((id, task));
        state.ready.insert(id);
    }

    fn random(&self) -> u64 {
        self.shared.state().random.next()
    }
}

struct TaskWaker {
    id: u64,
    shared: Arc<Shared>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.shared.state().ready.insert(self.id);
    }
}

/// A sleep.
struct Timer {
    at: Duration,
    number: Option<u64>,
    shared: Arc<Shared>,
}

impl Timer {
    fn unset(&mut self) {
        if let Some(number) = self.number.take() {
            let old = self.shared.state().timers.remove(&(self.at, number));
            drop(old);
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.unset();
        let waker = context.waker().clone();
        let mut state = self.shared.state();
        if state.now >= self.at {
            return Poll::Ready(());
        }
        let number = state.number();
        state.timers.insert((self.at, number), waker);
        drop(state);
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.unset();
    }
}

impl Executor {
    /// Drops all tasks; what they leave behind, such as a lock to be given back, still runs.
    pub(crate) fn drop_tasks(&mut self) {
        self.tasks.clear();
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.tasks.clear();
        // What dropped tasks have spawned holds on to this process.
        loop {
            let spawned = std::mem::take(&mut self.shared.state().spawned);
            if spawned.is_empty() {
                return;
            }
        }
    }
}
