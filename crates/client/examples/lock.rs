//! Runs a command while holding a lock, as flock(1) does, but across machines.
//!
//! ```text
//! cargo run --example lock -- localhost:2181 /locks/report sh -c 'echo mine: $FENCING; sleep 5'
//! ```
//!
//! Options before the servers: `--read`, `--write` (a read-write lock), `--leases N` (a semaphore),
//! `--kazoo` (nodes named as kazoo names them), `--wait SECONDS`, `--times N`.
//! The exit status is the command's; 75 when the lock could not be had in time, 76 when it was lost
//! while the command ran, which is killed then.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ostler_client::Client;
use ostler_client::recipes::{Guard, Layout, Mutex, RwLock, Semaphore};
use ostler_client::runtime::{Either, race};
use tokio::process::Command;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let wanted = Wanted::parse(std::env::args().skip(1))?;
    // As long as others have to wait when this machine dies.
    let client = Client::builder().session_timeout(Duration::from_secs(10));
    let client = client.connect(&wanted.servers).await?;
    let mut status = ExitCode::SUCCESS;
    for _ in 0..wanted.times {
        let Some(guard) = wanted.acquire(&client).await? else {
            return Ok(ExitCode::from(75));
        };
        let mut command = Command::new(&wanted.command[0]);
        command.args(&wanted.command[1..]).kill_on_drop(true);
        // Whoever writes to something that others write to passes this on.
        command.env("FENCING", guard.fencing().0.to_string());
        let mut child = command.spawn().context("the command does not start")?;
        match race(child.wait(), guard.lost()).await {
            Either::Left(exit) => {
                let code = exit?.code().and_then(|code| u8::try_from(code).ok());
                status = ExitCode::from(code.unwrap_or(1));
                guard.release().await?;
            }
            Either::Right(()) => return Ok(ExitCode::from(76)),
        }
    }
    client.close().await?;
    Ok(status)
}

enum Kind {
    Mutex,
    Read,
    Write,
    Leases(usize),
}

/// The command line.
struct Wanted {
    kind: Kind,
    layout: Layout,
    wait: Option<Duration>,
    times: u32,
    servers: String,
    path: String,
    command: Vec<String>,
}

impl Wanted {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let (mut kind, mut layout, mut wait, mut times) = (Kind::Mutex, Layout::Curator, None, 1);
        let servers = loop {
            let word = words.next().context("usage: lock [option…] servers path command…")?;
            match word.as_str() {
                "--read" => kind = Kind::Read,
                "--write" => kind = Kind::Write,
                "--leases" => kind = Kind::Leases(number(words.next())?),
                "--kazoo" => layout = Layout::Kazoo,
                "--wait" => wait = Some(Duration::from_secs(number(words.next())?)),
                "--times" => times = number(words.next())?,
                _ => break word,
            }
        };
        let path = words.next().context("no path is given")?;
        let command: Vec<_> = words.skip_while(|word| word == "--").collect();
        if command.is_empty() {
            bail!("no command is given");
        }
        Ok(Self { kind, layout, wait, times, servers, path, command })
    }

    /// The lock, or nothing when the time to wait for it is over.
    async fn acquire(&self, client: &Client) -> Result<Option<Guard>> {
        let Self { path, layout, .. } = self;
        let mutex = Mutex::new(client, path).layout(*layout);
        let both = RwLock::new(client, path).layout(*layout);
        let guard = match (&self.kind, self.wait) {
            (Kind::Mutex, None) => Some(mutex.acquire().await?),
            (Kind::Mutex, Some(wait)) => mutex.acquire_within(wait).await?,
            (Kind::Read, None) => Some(both.read().await?),
            (Kind::Read, Some(wait)) => both.read_within(wait).await?,
            (Kind::Write, None) => Some(both.write().await?),
            (Kind::Write, Some(wait)) => both.write_within(wait).await?,
            (Kind::Leases(leases), wait) => {
                let semaphore = Semaphore::new(client, path, *leases).layout(*layout);
                match wait {
                    None => Some(semaphore.acquire().await?),
                    Some(wait) => semaphore.acquire_within(wait).await?,
                }
            }
        };
        Ok(guard)
    }
}

fn number<N: std::str::FromStr>(word: Option<String>) -> Result<N> {
    word.and_then(|word| word.parse().ok()).context("an option lacks its number")
}
