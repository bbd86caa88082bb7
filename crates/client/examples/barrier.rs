//! Starts a command on several machines at the same time, and ends when it has ended on all.
//!
//! ```text
//! cargo run --example barrier -- localhost:2181 /round-1 3 sh -c 'date; sleep 1'
//! cargo run --example barrier -- --gate localhost:2181 /maintenance sh -c 'echo open again'
//! ```
//!
//! With `--gate` it waits instead until a node is gone. `--times N` does it over and over, below
//! the path in `1`, `2` and so on: who comes early for the next round must not be taken for a
//! latecomer of this one.

use anyhow::{Context as _, Result, bail};
use ostler_client::Client;
use ostler_client::recipes::{Barrier, DoubleBarrier};
use tokio::process::Command;

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (mut is_gate, mut times) = (false, 1);
    let servers = loop {
        let word =
            words.next().context("usage: barrier [option…] servers path members command…")?;
        match word.as_str() {
            "--gate" => is_gate = true,
            "--times" => times = words.next().context("--times needs a number")?.parse()?,
            _ => break word,
        }
    };
    let path = words.next().context("no path is given")?;
    let members = match is_gate {
        true => 0,
        false => words.next().context("how many members there are is not given")?.parse()?,
    };
    let command: Vec<_> = words.collect();
    let client = Client::connect(&servers).await?;
    for round in 1..=times {
        if is_gate {
            Barrier::new(&client, &path).wait().await?;
            run(&command).await?;
        } else {
            let path = if times == 1 { path.clone() } else { format!("{path}/{round}") };
            let inside = DoubleBarrier::new(&client, path, members).enter().await?;
            run(&command).await?;
            inside.leave().await?;
        }
    }
    client.close().await?;
    Ok(())
}

async fn run(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command is given")?;
    let status = Command::new(program).args(arguments).status().await?;
    if !status.success() {
        bail!("the command failed: {status}");
    }
    Ok(())
}
