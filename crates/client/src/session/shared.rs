//! The machine, its lock, and who holds on to it.
//!
//! Callers and the driver share the machine ([`Shared`]). Callers hold it through a [`Handle`]:
//! when the last of those is gone nobody can want anything any more, and the session is closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use ostler_wire::request::Request;

use crate::error::Result;
use crate::path::Chroot;
use crate::reply::Answer;
use crate::runtime::Runtime;
use crate::session::Session;
use crate::session::core::Core;
use crate::session::queue::Purpose;
use crate::session::watches::Table;

/// Starts to drive a session.
pub(crate) type Launch = Arc<dyn Fn(Session) + Send + Sync>;

/// Puts bytes on the socket without waiting, and says how many.
pub(crate) type Shortcut = Box<dyn Fn(&[u8]) -> usize + Send>;

/// What callers and the driver share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    /// Lets a caller send a lone request itself, which saves waking the driver. Locked only while
    /// the machine is, or by the driver.
    shortcut: Mutex<Option<Shortcut>>,
    /// Tells the driver that a caller did something.
    pub(crate) wake: Notify,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) launch: Launch,
    pub(crate) chroot: Chroot,
}

impl Shared {
    pub(crate) fn new(core: Core, runtime: Arc<dyn Runtime>, launch: Launch) -> Self {
        let chroot = core.chroot.clone();
        Self {
            core: Mutex::new(core),
            shortcut: Mutex::new(None),
            wake: Notify::new(),
            runtime,
            launch,
            chroot,
        }
    }

    /// The machine. A panic elsewhere while it was held left it as consistent as any other moment.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the way to the present socket; none when there is none.
    pub(crate) fn set_shortcut(&self, shortcut: Option<Shortcut>) {
        *self.shortcut.lock().unwrap_or_else(PoisonError::into_inner) = shortcut;
    }

    /// Sends a lone request. False if the driver has to do something.
    fn send_lone(&self, core: &mut Core, now: Duration) -> bool {
        let shortcut = self.shortcut.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shortcut) = &*shortcut else { return false };
        let Some(bytes) = core.take_lone(now) else { return false };
        let count = shortcut(&bytes);
        core.put_back(&bytes[count..]);
        count == bytes.len()
    }
}

/// What clients and watches hold.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// Queues a request.
    pub(crate) fn call(
        &self,
        request: &Request<'_>,
        purpose: Purpose,
    ) -> Result<oneshot::Receiver<Answer>> {
        let shared = &self.shared;
        let now = shared.runtime.now();
        let mut core = shared.core();
        let receiver = core.call(now, request, purpose);
        let is_sent = receiver.is_ok() && shared.send_lone(&mut core, now);
        drop(core);
        if !is_sent {
            shared.wake.notify_one();
        }
        receiver
    }

    /// Somebody stopped to watch.
    pub(crate) fn release(&self, path: &str, table: Table) {
        self.shared.core().release(path, table);
        self.shared.wake.notify_one();
    }

    pub(crate) fn outward(&self, path: &str) -> String {
        self.shared.chroot.outward(path)
    }

    pub(crate) fn inward(&self, path: &str) -> String {
        self.shared.chroot.inward(path)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.shared.core().close(self.shared.runtime.now()));
        self.shared.wake.notify_one();
    }
}
