//! Signals: Ctrl-C breaks off a command at a terminal, everything else ends the program cleanly.
//!
//! While the line editor waits for a key Ctrl-C is a key like any other and does not come by here.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ostler_client::runtime::race;
use rustix::termios::{self, OptionalActions, Termios};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::console::Console;
use super::session::Present;
use crate::process::ignores_signal;

/// The ear for signals.
pub(super) struct Signals {
    interrupt: Arc<Notify>,
}

/// How long to wait for the session to close.
const CLOSE_TIME: Duration = Duration::from_secs(2);

impl Signals {
    /// Listens on the runtime. Without a terminal, Ctrl-C ends the program as SIGTERM does: the
    /// session is closed, and the exit code is 128 and the number of the signal.
    pub(super) fn listen(
        runtime: &Runtime,
        is_interactive: bool,
        present: Present,
        console: Arc<Console>,
    ) -> Self {
        let interrupt = Arc::new(Notify::new());
        let _entered = runtime.enter();
        let modes = termios::tcgetattr(std::io::stdin()).ok().filter(|_| is_interactive);
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            if ignores_signal(kind.as_raw_value()) {
                continue;
            }
            // Without the ear a signal does what it does to every program.
            let Ok(mut ear) = signal(kind) else { continue };
            let interrupt = Arc::clone(&interrupt);
            let (present, console, modes) =
                (Arc::clone(&present), Arc::clone(&console), modes.clone());
            runtime.spawn(async move {
                if is_interactive && kind == SignalKind::interrupt() {
                    while ear.recv().await.is_some() {
                        interrupt.notify_waiters();
                    }
                } else {
                    leave(ear, kind, &present, &console, modes.as_ref()).await;
                }
            });
        }
        Self { interrupt }
    }

    /// Is ready when Ctrl-C is pressed from now on.
    pub(super) async fn interrupted(&self) {
        self.interrupt.notified().await;
    }
}

async fn leave(
    mut ear: Signal,
    kind: SignalKind,
    present: &Present,
    console: &Console,
    modes: Option<&Termios>,
) {
    if ear.recv().await.is_none() {
        return;
    }
    console.set_prints_events(false);
    let client = present.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(client) = client {
        race(client.close(), tokio::time::sleep(CLOSE_TIME)).await;
    }
    console.flush();
    if let Some(modes) = modes {
        // The line editor has the terminal in another mode.
        let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Now, modes);
    }
    std::process::exit(128 + kind.as_raw_value());
}
