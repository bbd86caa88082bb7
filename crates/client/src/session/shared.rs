//! The machine, its lock, and who holds on to it.
//!
//! Callers and the driver share the machine ([`Shared`]). Callers hold it through a [`Handle`]: when
//! the last of those is gone nobody can want anything any more, and the session is closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// What callers and the driver share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    /// Tells the driver that a caller did something.
    pub(crate) wake: Notify,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) launch: Launch,
    pub(crate) chroot: Chroot,
}

impl Shared {
    pub(crate) fn new(core: Core, runtime: Arc<dyn Runtime>, launch: Launch) -> Self {
        let chroot = core.chroot.clone();
        Self { core: Mutex::new(core), wake: Notify::new(), runtime, launch, chroot }
    }

    /// The machine. A panic elsewhere while it was held left it as consistent as any other moment.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
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
        let now = self.shared.runtime.now();
        let receiver = self.shared.core().call(now, request, purpose);
        self.shared.wake.notify_one();
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
