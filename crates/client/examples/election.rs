//! Runs a command on one machine at a time: that of the elected leader. When it fails or is cut
//! off, another candidate's command starts.
//!
//! ```text
//! cargo run --example election -- localhost:2181 /leader host-1 sh -c 'echo leading; sleep 60'
//! ```
//!
//! Options before the servers: `--latch` (a leader latch instead of an election; nodes named as
//! Curator's LeaderLatch names them), `--kazoo` (an election with kazoo's candidates), `--times N`.

use anyhow::{Context as _, Result, bail};
use ostler_client::recipes::{Election, Layout, LeaderLatch};
use ostler_client::runtime::{Either, race};
use ostler_client::{Client, Zxid};
use tokio::process::Command;

#[tokio::main]
async fn main() -> Result<()> {
    let wanted = Wanted::parse(std::env::args().skip(1))?;
    let client = Client::connect(&wanted.servers).await?;
    for _ in 0..wanted.times {
        if wanted.is_latch {
            wanted.with_latch(&client).await?;
        } else {
            wanted.with_election(&client).await?;
        }
    }
    client.close().await?;
    Ok(())
}

/// The command line.
struct Wanted {
    is_latch: bool,
    layout: Layout,
    times: u32,
    servers: String,
    path: String,
    id: String,
    command: Vec<String>,
}

impl Wanted {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let (mut is_latch, mut layout, mut times) = (false, Layout::Curator, 1);
        let servers = loop {
            let word =
                words.next().context("usage: election [option…] servers path id command…")?;
            match word.as_str() {
                "--latch" => is_latch = true,
                "--kazoo" => layout = Layout::Kazoo,
                "--times" => {
                    times = words.next().context("--times needs a number")?.parse()?;
                }
                _ => break word,
            }
        };
        let path = words.next().context("no path is given")?;
        let id = words.next().context("no id is given")?;
        let command: Vec<_> = words.collect();
        if command.is_empty() {
            bail!("no command is given");
        }
        Ok(Self { is_latch, layout, times, servers, path, id, command })
    }

    /// The usual way: the recipe runs the task, and stops it when the leadership is lost.
    async fn with_election(&self, client: &Client) -> Result<()> {
        let election = Election::new(client, &self.path, self.id.as_str()).layout(self.layout);
        election.run_until_finished(|_, term| self.lead(term.fencing)).await?
    }

    /// By hand: for those who react to changes instead of running one task.
    async fn with_latch(&self, client: &Client) -> Result<()> {
        let mut latch = LeaderLatch::join(client, &self.path, self.id.as_str());
        loop {
            let fencing = latch.lead().await?;
            match race(self.lead(fencing), latch.deposed()).await {
                Either::Left(done) => {
                    latch.withdraw().await?;
                    return done;
                }
                Either::Right(()) => eprintln!("{} leads no more", self.id),
            }
        }
    }

    /// What the leader does. When the future is dropped the command is killed.
    async fn lead(&self, fencing: Zxid) -> Result<()> {
        eprintln!("{} leads, with token {}", self.id, fencing.0);
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).kill_on_drop(true).env("FENCING", fencing.0.to_string());
        let status = command.status().await.context("the command does not start")?;
        if !status.success() {
            bail!("the command failed: {status}");
        }
        Ok(())
    }
}
