//! Configuration that changes while a program runs: each znode below a path is a setting.
//!
//! ```text
//! cargo run --example config -- localhost:2181 /app set colour blue
//! cargo run --example config -- localhost:2181 /app get colour
//! cargo run --example config -- localhost:2181 /app watch
//! ```
//!
//! `watch` prints all settings, then `--` and every change, over broken connections and lost
//! sessions; it ends with Ctrl-C. `--changes N` before the servers ends it after so many changes.

#![allow(clippy::print_stdout)]

use anyhow::{Context as _, Result, bail};
use ostler_client::recipes::{CacheEvent, CacheOptions, Node, TreeCache};
use ostler_client::{Client, CreateOptions, Error};

const USAGE: &str = "usage: config [--changes N] servers path (set name value | get name | watch)";

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mut servers = words.next().context(USAGE)?;
    let mut changes_max = u64::MAX;
    if servers == "--changes" {
        changes_max = words.next().and_then(|word| word.parse().ok()).context(USAGE)?;
        servers = words.next().context(USAGE)?;
    }
    let path = words.next().context(USAGE)?;
    let rest: Vec<String> = words.collect();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let client = Client::connect(&servers).await?;
    match rest[..] {
        ["set", name, value] => set(&client, &path, name, value).await?,
        ["get", name] => {
            let (value, _) = client.get(&format!("{path}/{name}")).await?;
            println!("{}", String::from_utf8_lossy(&value));
        }
        ["watch"] => watch(&client, &path, changes_max).await?,
        _ => bail!(USAGE),
    }
    client.close().await?;
    Ok(())
}

async fn set(client: &Client, path: &str, name: &str, value: &str) -> Result<()> {
    let setting = format!("{path}/{name}");
    let persistent = CreateOptions::persistent();
    loop {
        match client.set(&setting, value, None).await {
            Ok(_) => return Ok(()),
            Err(Error::NoNode) => {}
            Err(error) => return Err(error.into()),
        }
        let above = client.create(path, "", &persistent);
        let created = client.create(&setting, value, &persistent).await;
        match (above.await, created) {
            (_, Ok(_)) => return Ok(()),
            (Ok(_) | Err(Error::NodeExists), Err(Error::NodeExists)) => {}
            (Err(error), _) | (_, Err(error)) => return Err(error).context(setting),
        }
    }
}

async fn watch(client: &Client, path: &str, changes_max: u64) -> Result<()> {
    let cache = TreeCache::new(client, path, &CacheOptions::new());
    cache.ready().await?;
    let mut events = cache.events();
    let (mut is_loaded, mut changes) = (false, 0);
    let setting = |node: &Node| {
        let name = node.path.strip_prefix(path).unwrap_or_default().trim_start_matches('/');
        (!name.is_empty()).then(|| name.to_owned())
    };
    while changes < changes_max {
        let event = tokio::select! {
            event = events.next() => event.context("the client was closed")?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let told = match &event {
            CacheEvent::Created(node) | CacheEvent::Changed { new: node, .. } => setting(node)
                .map(|name| format!("{name} = {}", String::from_utf8_lossy(&node.data))),
            CacheEvent::Deleted(node) => setting(node).map(|name| format!("{name} is gone")),
            CacheEvent::Current if !is_loaded => {
                is_loaded = true;
                println!("--");
                None
            }
            CacheEvent::Current => Some("connected, and up to date again".to_owned()),
            CacheEvent::Stale => Some("connection lost, settings may be old".to_owned()),
        };
        if let Some(told) = told {
            println!("{told}");
            let is_change = !matches!(event, CacheEvent::Current | CacheEvent::Stale);
            changes += u64::from(is_loaded && is_change);
        }
    }
    Ok(())
}
