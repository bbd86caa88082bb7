//! One thread: what it waits for, and whom it serves when something has come.
//!
//! On a large machine each shard has a thread, and the replica has one. On a small one a shard and
//! the replica share theirs: what they say to each other then goes from hand to hand within a turn,
//! without mailboxes, bells or another thread that has to wake up.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use ostler_node::clock::Clock;

use crate::loops::replica::ReplicaLoop;
use crate::loops::shard::ShardLoop;
use crate::loops::spin::{CROWDED, Spin};
use crate::mail::{Bell, Clocks};
use crate::peers::links::is_link;

/// A thread with whoever works on it.
pub(crate) struct Driver {
    pub(crate) poll: Poll,
    /// The bell of every mailbox on this thread.
    pub(crate) bell: Arc<Bell>,
    pub(crate) clocks: Clocks,
    pub(crate) spin: Spin,
    pub(crate) shard: Option<ShardLoop>,
    pub(crate) replica: Option<ReplicaLoop>,
}

impl Driver {
    /// Runs until the server ends.
    pub(crate) fn run(mut self) -> io::Result<()> {
        if let Some(shard) = &mut self.shard {
            shard.begin()?;
        }
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut at = self.clocks.read();
        loop {
            self.turn(at);
            if self.shard.is_none() && self.replica.is_none() {
                return Ok(());
            }
            self.wait(at, &mut events)?;
            at = self.clocks.read();
            self.note_events(&events);
        }
    }

    /// Waits until there is something to do, and not at all if there is.
    fn wait(&mut self, at: Clock, events: &mut Events) -> io::Result<()> {
        let polled = if self.is_busy() {
            self.poll.poll(events, Some(Duration::ZERO))
        } else if self.look_again(events) {
            Ok(())
        } else {
            self.bell.will_sleep();
            let wait = if self.is_busy() { Some(Duration::ZERO) } else { self.patience(at) };
            let polled = self.poll.poll(events, wait);
            self.bell.is_awake();
            polled
        };
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    /// Looks for a moment whether something comes, if that has paid lately.
    fn look_again(&mut self, events: &mut Events) -> bool {
        if !self.spin.is_worth_it(events.iter().count()) {
            return false;
        }
        let start = Instant::now();
        let mut now = start;
        loop {
            std::thread::yield_now();
            let left_at = std::mem::replace(&mut now, Instant::now());
            if now - left_at >= CROWDED {
                self.spin.give_up();
                return false;
            }
            // What an error means shows when the thread goes to sleep.
            let polled = self.poll.poll(events, Some(Duration::ZERO));
            if (polled.is_ok() && !events.is_empty()) || self.is_busy() {
                self.spin.gained();
                return true;
            }
            if now - start >= self.spin.longest {
                self.spin.lost();
                return false;
            }
        }
    }

    fn is_busy(&mut self) -> bool {
        self.shard.as_mut().is_some_and(ShardLoop::is_busy)
            || self.replica.as_mut().is_some_and(ReplicaLoop::is_busy)
    }

    /// How long it can wait when nothing happens; `None` is for ever.
    fn patience(&self, at: Clock) -> Option<Duration> {
        let shard = self.shard.as_ref().and_then(|shard| shard.patience(at.now));
        let replica = self.replica.as_ref().and_then(|replica| replica.patience(at.now));
        shard.into_iter().chain(replica).min()
    }

    fn note_events(&mut self, events: &Events) {
        for event in events {
            if event.token() == WAKE {
                continue;
            }
            if is_link(event.token()) {
                if let Some(replica) = &mut self.replica {
                    replica.note_link(event);
                }
            } else if let Some(shard) = &mut self.shard {
                shard.note_event(event);
            }
        }
    }

    /// Everybody does what there is to do. The shard writes last, so that the log has begun by
    /// then and a connection is written to once.
    fn turn(&mut self, at: Clock) {
        self.shard.take_if(|shard| shard.is_over());
        if let Some(shard) = &mut self.shard {
            shard.take_in(at);
        }
        if let Some(replica) = &mut self.replica {
            if let Some(shard) = &mut self.shard {
                replica.hear_shard(at, shard.messages());
            }
            let is_alone = self.shard.as_ref().is_some_and(ShardLoop::is_idle);
            if !replica.turn(at, is_alone) {
                self.replica = None;
            }
        } else if let Some(shard) = &mut self.shard {
            shard.post();
        }
        if let Some(shard) = &mut self.shard {
            shard.carry_out(at);
        }
    }
}

/// The bell.
pub(crate) const WAKE: Token = Token(0);

/// What is told of at a time; the rest is told of next time.
const EVENTS_MAX: usize = 1024;
