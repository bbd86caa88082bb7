//! How fast the client itself is: `speed servers get|set window bytes warm-up operations`.
//!
//! Prints operations a second and microseconds of CPU an operation, as the programs for other
//! clients in `interop/clientspeed` do, which compares them.

use std::collections::VecDeque;
use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, bail};
use ostler_client::{Client, CreateOptions, Error, Reply, Stat};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // In a task, as in a service: the thread that waits for the runtime is not one of its own.
    tokio::spawn(measure()).await?
}

async fn measure() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [servers, op, window, bytes, warm_up, count] = &arguments[..] else {
        bail!("usage: speed servers get|set window bytes warm-up operations");
    };
    let is_get = op == "get";
    let window = window.parse()?;
    let data = vec![0; bytes.parse()?];
    let client = Client::connect(servers).await?;
    match client.create("/speed", &data, &CreateOptions::persistent()).await {
        Err(Error::NodeExists) => drop(client.set("/speed", &data, None).await?),
        outcome => drop(outcome?),
    }
    run(&client, is_get, window, &data, warm_up.parse()?).await?;
    let count: u32 = count.parse()?;
    let (cpu_s, start) = (cpu_s()?, Instant::now());
    run(&client, is_get, window, &data, count).await?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_us = (self::cpu_s()? - cpu_s) * 1e6 / f64::from(count);
    writeln!(std::io::stdout(), "{:.0} {cpu_us:.2}", f64::from(count) / seconds)?;
    client.close().await?;
    Ok(())
}

/// Keeps so many operations on their way.
async fn run(
    client: &Client,
    is_get: bool,
    window: usize,
    data: &[u8],
    count: u32,
) -> ostler_client::Result<()> {
    if is_get {
        drive(window, count, || client.get("/speed")).await
    } else {
        drive::<Stat>(window, count, || client.set("/speed", data, None)).await
    }
}

async fn drive<T>(
    window: usize,
    count: u32,
    mut start: impl FnMut() -> Reply<T>,
) -> ostler_client::Result<()> {
    let mut replies: VecDeque<Reply<T>> = VecDeque::with_capacity(window);
    for _ in 0..count {
        if replies.len() == window
            && let Some(oldest) = replies.pop_front()
        {
            oldest.await?;
        }
        replies.push_back(start());
    }
    for reply in replies {
        reply.await?;
    }
    Ok(())
}

/// User and system time of this process, in seconds; Linux counts hundredths.
fn cpu_s() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("a name in parentheses")?;
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}
