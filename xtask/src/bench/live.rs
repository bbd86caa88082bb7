//! The processes that must not outlive the bench, and what happens to them when it is told to end.
//!
//! Servers and loads are entered when they start. SIGINT and SIGTERM kill all that are entered,
//! remove the directory of their data and end the bench; a failed row ends its own.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Process ids of the living.
static LIVE: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// What a shell calls the end by SIGINT.
const INTERRUPTED: i32 = 130;

/// How often a child is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

fn live() -> MutexGuard<'static, Vec<u32>> {
    // A list of numbers is whole whatever its holder died of.
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees to it that signals end everything; `dir` goes with the servers.
pub(super) fn end_with_signals(dir: PathBuf) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be waited for")?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            eprintln!("ending the servers");
            // Held until the end, so that nothing new is entered and missed.
            let living = live();
            for pid in living.iter() {
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            }
            let _ = std::fs::remove_dir_all(&dir);
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}

/// A child that is killed when it is dropped or the bench is told to end.
pub(super) struct Living(Child);

impl Living {
    /// Starts a process.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let mut living = live();
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        living.push(child.id());
        Ok(Self(child))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Waits for the end; an error when that takes longer than `patience`.
    pub(super) fn wait(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while self.ended()?.is_none() {
            if Instant::now() > deadline {
                bail!("process {} does not end within {} s", self.pid(), patience.as_secs());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        live().retain(|pid| *pid != self.0.id());
    }
}

/// Runs a command that prints little, and returns what it printed to standard output.
pub(super) fn output(command: &mut Command, patience: Duration) -> Result<Output> {
    let mut child = Living::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    child.wait(patience)?;
    let mut printed = Vec::new();
    if let Some(mut pipe) = child.0.stdout.take() {
        std::io::Read::read_to_end(&mut pipe, &mut printed)?;
    }
    let status = child.0.wait()?;
    Ok(Output { status, stdout: printed, stderr: Vec::new() })
}
