//! What one peer may have waiting in the replica's mailbox before it is no longer read from.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Counts the bytes of one connection that the replica has not taken yet.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting_bytes: Mutex<usize>,
    bell: Condvar,
    max_bytes: usize,
}

/// Bytes on their way through a gate; they have passed when this is dropped.
#[derive(Debug)]
pub(crate) struct Freight {
    gate: Gate,
    bytes: usize,
}

impl Gate {
    /// A gate for so many bytes at once.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self(Arc::new(Shared { waiting_bytes: Mutex::new(0), bell: Condvar::new(), max_bytes }))
    }

    /// Waits until there is room and takes it. What alone is more than the gate lets through passes
    /// when nothing else is on its way.
    pub(crate) fn enter(&self, bytes: usize) -> Freight {
        let shared = &self.0;
        let waiting = shared.waiting_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |waiting: &mut usize| *waiting > 0 && *waiting + bytes > shared.max_bytes;
        let mut waiting =
            shared.bell.wait_while(waiting, full).unwrap_or_else(PoisonError::into_inner);
        *waiting += bytes;
        Freight { gate: self.clone(), bytes }
    }
}

impl Drop for Freight {
    fn drop(&mut self) {
        let shared = &self.gate.0;
        *shared.waiting_bytes.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        shared.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_too_much_waiting_goes_on_when_it_is_taken() {
        let gate = Gate::new(10);
        let large = gate.enter(100);
        let (sender, receiver) = std::sync::mpsc::channel();
        let reader = std::thread::spawn({
            let gate = gate.clone();
            move || sender.send(gate.enter(10)).expect("the test waits")
        });
        assert!(receiver.try_recv().is_err(), "there is no room");
        drop(large);
        let freight = receiver.recv().expect("there is room");
        assert_eq!(*gate.0.waiting_bytes.lock().expect("nobody panicked"), 10);
        drop(freight);
        reader.join().expect("nobody panicked");
    }
}
