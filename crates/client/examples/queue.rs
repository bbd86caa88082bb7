//! Queues between processes.
//!
//! ```text
//! cargo run --example queue -- localhost:2181 /jobs put one two three
//! cargo run --example queue -- localhost:2181 /jobs take 3
//! cargo run --example queue -- --locking localhost:2181 /work put a b
//! cargo run --example queue -- --locking localhost:2181 /work work sh -c 'echo doing "$1"' sh
//! ```
//!
//! `take` prints so many items, one a line, and waits for them; `--wait SECONDS` ends the waiting.
//! `work` runs a command for each item, which stands behind its words, and removes the item when
//! the command succeeds: an item whose worker is killed or fails is done by another one.
//!
//! Options before the servers: `--priority N` (a queue by priority), `--delay SECONDS` (items can
//! be taken after so long), `--locking` (with `--priority N` as its priority).

#![allow(clippy::print_stdout)]

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ostler_client::Client;
use ostler_client::recipes::{DelayQueue, LockingQueue, PriorityQueue, Queue};
use ostler_client::runtime::{Either, race};
use tokio::process::Command;

const USAGE: &str = "usage: queue [--priority N] [--delay SECONDS] [--locking] [--wait SECONDS] \
     servers path (put item… | take [N] | work command… | len)";

#[derive(Default)]
struct Options {
    priority: Option<u16>,
    delay: Option<Duration>,
    is_locking: bool,
    wait: Option<Duration>,
}

enum Kind {
    Fifo(Queue),
    Priority(PriorityQueue, u16),
    Delay(DelayQueue, Duration),
    Locking(LockingQueue, u16),
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1).peekable();
    let mut options = Options::default();
    while let Some(word) = words.next_if(|word| word.starts_with("--")) {
        let seconds = |word: Option<String>| {
            let seconds = word.and_then(|word| word.parse().ok());
            seconds.map(Duration::from_secs_f64).context(USAGE)
        };
        match word.as_str() {
            "--priority" => {
                let priority = words.next().and_then(|word| word.parse().ok());
                options.priority = Some(priority.context(USAGE)?);
            }
            "--delay" => options.delay = Some(seconds(words.next())?),
            "--wait" => options.wait = Some(seconds(words.next())?),
            "--locking" => options.is_locking = true,
            _ => bail!(USAGE),
        }
    }
    let (servers, path) = (words.next().context(USAGE)?, words.next().context(USAGE)?);
    let action = words.next().context(USAGE)?;
    let rest: Vec<String> = words.collect();
    let client = Client::connect(&servers).await?;
    let queue = Kind::new(&client, &path, &options);
    match action.as_str() {
        "put" => {
            for item in &rest {
                queue.put(item).await?;
            }
        }
        "take" => {
            let count = rest.first().map_or(Ok(1), |word| word.parse::<u64>()).context(USAGE)?;
            for _ in 0..count {
                let Some(item) = queue.take(options.wait).await? else { break };
                println!("{}", String::from_utf8_lossy(&item));
            }
        }
        "work" => match &queue {
            Kind::Locking(queue, _) => work(queue, options.wait, &rest).await?,
            _ => bail!("work needs --locking: the others give each item away before it is done"),
        },
        "len" => println!("{}", queue.len().await?),
        _ => bail!(USAGE),
    }
    client.close().await?;
    Ok(())
}

impl Kind {
    fn new(client: &Client, path: &str, options: &Options) -> Self {
        match (options.is_locking, options.priority, options.delay) {
            (true, priority, _) => {
                Self::Locking(LockingQueue::new(client, path), priority.unwrap_or(100))
            }
            (false, _, Some(delay)) => Self::Delay(DelayQueue::new(client, path), delay),
            (false, Some(priority), None) => {
                Self::Priority(PriorityQueue::new(client, path), priority)
            }
            (false, None, None) => Self::Fifo(Queue::new(client, path)),
        }
    }

    async fn put(&self, item: &str) -> ostler_client::Result<()> {
        match self {
            Self::Fifo(queue) => queue.put(item).await,
            Self::Priority(queue, priority) => queue.put(*priority, item).await,
            Self::Delay(queue, delay) => queue.put_after(*delay, item).await,
            Self::Locking(queue, priority) => queue.put_with(*priority, item).await,
        }
    }

    async fn take(&self, wait: Option<Duration>) -> ostler_client::Result<Option<Vec<u8>>> {
        let wait = wait.unwrap_or(Duration::MAX);
        match self {
            Self::Fifo(queue) => queue.take_within(wait).await,
            Self::Priority(queue, _) => queue.take_within(wait).await,
            Self::Delay(queue, _) => queue.take_within(wait).await,
            Self::Locking(queue, _) => {
                let Some(item) = queue.take_within(wait).await? else { return Ok(None) };
                let data = item.data().to_vec();
                item.complete().await?;
                Ok(Some(data))
            }
        }
    }

    async fn len(&self) -> ostler_client::Result<usize> {
        match self {
            Self::Fifo(queue) => queue.len().await,
            Self::Priority(queue, _) => queue.len().await,
            Self::Delay(queue, _) => queue.len().await,
            Self::Locking(queue, _) => queue.len().await,
        }
    }
}

/// Runs a command for each item until none has come for so long.
async fn work(queue: &LockingQueue, wait: Option<Duration>, command: &[String]) -> Result<()> {
    let [program, words @ ..] = command else { bail!("no command is given") };
    while let Some(item) = queue.take_within(wait.unwrap_or(Duration::MAX)).await? {
        let text = String::from_utf8_lossy(item.data()).into_owned();
        let mut command = Command::new(program);
        command.args(words).arg(&text).kill_on_drop(true);
        // Whoever writes to something that others write to passes this on.
        command.env("FENCING", item.fencing().0.to_string());
        let mut child = command.spawn().context("the command does not start")?;
        match race(child.wait(), item.lost()).await {
            Either::Left(exit) => {
                if !exit?.success() {
                    item.release().await?;
                    bail!("the command failed, and {text:?} is given back");
                }
                item.complete().await?;
            }
            Either::Right(()) => bail!("the session was lost; {text:?} is somebody else's now"),
        }
    }
    Ok(())
}
