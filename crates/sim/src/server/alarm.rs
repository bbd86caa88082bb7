//! When a thread takes its next turn.

use ostler_node::clock::Time;

use crate::queue::{Event, Queue};

/// The next turn of one thread; of several that were asked for the first counts.
#[derive(Default)]
pub(crate) struct Alarm(Option<Time>);

impl Alarm {
    /// Asks for a turn.
    pub(crate) fn set(&mut self, queue: &mut Queue, at: Time, event: Event) {
        let at = at.max(queue.now());
        if self.0.is_none_or(|due| at < due) {
            self.0 = Some(at);
            queue.at(at, event);
        }
    }

    /// Whether a turn is due now; those that were asked for and overtaken are not.
    pub(crate) fn rings(&mut self, now: Time) -> bool {
        self.0.take_if(|due| *due <= now).is_some()
    }
}
