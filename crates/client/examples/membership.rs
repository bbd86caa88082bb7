//! Who is there: processes that join a group and see each other come and go.
//!
//! ```text
//! cargo run --example membership -- localhost:2181 /workers join worker-1 10.0.0.1:4000
//! cargo run --example membership -- localhost:2181 /workers watch
//! cargo run --example membership -- localhost:2181 /workers list
//! ```
//!
//! `join` (the last word, the member's data, may be left out) and `watch` print who comes and goes
//! until Ctrl-C.

#![allow(clippy::print_stdout)]

use anyhow::{Context as _, Result, bail};
use ostler_client::Client;
use ostler_client::recipes::{Group, GroupEvent};

const USAGE: &str = "usage: membership servers path (join id [data] | watch | list)";

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [servers, path, rest @ ..] = &words[..] else { bail!(USAGE) };
    let client = Client::connect(servers).await?;
    let group = Group::new(&client, path);
    match rest {
        ["list"] => {
            group.ready().await?;
            for (id, data) in group.members() {
                println!("{id} {}", String::from_utf8_lossy(&data));
            }
        }
        ["watch"] => watch(&group).await?,
        ["join", id] => join(&group, id, "").await?,
        ["join", id, data] => join(&group, id, data).await?,
        _ => bail!(USAGE),
    }
    client.close().await?;
    Ok(())
}

async fn join(group: &Group, id: &str, data: &str) -> Result<()> {
    let member = group.join(id, data)?;
    member.joined().await?;
    watch(group).await?;
    member.leave().await?;
    Ok(())
}

/// Prints what happens until Ctrl-C.
async fn watch(group: &Group) -> Result<()> {
    let mut events = group.events();
    loop {
        let event = tokio::select! {
            event = events.next() => event.context("the client was closed")?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match event {
            GroupEvent::Joined { id, data } => {
                println!("{id} is here with {:?}", String::from_utf8_lossy(&data));
            }
            GroupEvent::Changed { id, data } => {
                println!("{id} has {:?}", String::from_utf8_lossy(&data));
            }
            GroupEvent::Left { id } => println!("{id} has left"),
            GroupEvent::Current => println!("these are all"),
            GroupEvent::Stale => println!("connection lost"),
        }
    }
}
