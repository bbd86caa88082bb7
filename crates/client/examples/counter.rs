//! Counts together with others, and shows the number change.
//!
//! ```text
//! cargo run --example counter -- localhost:2181 /visits add 1
//! cargo run --example counter -- --int localhost:2181 /visits watch
//! ```
//!
//! Options before the servers: `--int` (four bytes, as Curator's SharedCount), `--text` (digits, as
//! kazoo's Counter), `--times N`.

// A program is there to be read from.
#![allow(clippy::print_stdout)]

use anyhow::{Context as _, Result, bail};
use ostler_client::Client;
use ostler_client::recipes::{Counter, Form, SharedCount};

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (mut form, mut times) = (Form::Long, 1);
    let servers = loop {
        let word = words.next().context("usage: counter [option…] servers path add N | watch")?;
        match word.as_str() {
            "--int" => form = Form::Int,
            "--text" => form = Form::Text,
            "--times" => times = words.next().context("--times needs a number")?.parse()?,
            _ => break word,
        }
    };
    let path = words.next().context("no path is given")?;
    let client = Client::connect(&servers).await?;
    match words.next().as_deref() {
        Some("add") => {
            let amount = words.next().map_or(Ok(1), |word| word.parse())?;
            let counter = Counter::new(&client, path).form(form);
            for _ in 0..times {
                println!("{}", counter.add(amount).await?);
            }
        }
        Some("watch") => {
            let mut count = SharedCount::open(&client, path, 0).await?;
            println!("{}", count.count()?.0);
            for _ in 0..times {
                println!("{}", count.changed().await?);
            }
        }
        _ => bail!("what to do: add N, or watch"),
    }
    client.close().await?;
    Ok(())
}
