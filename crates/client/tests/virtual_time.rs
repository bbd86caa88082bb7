//! Clients in a world of their own: a virtual clock, scripted network and server, no tokio runtime.
//!
//! What a simulator does with the crate, in small. One seed makes one history.

#[path = "virtual_time/server.rs"]
mod server;
#[path = "virtual_time/world.rs"]
mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ostler_client::{Client, CreateOptions, Error, Retry};
use world::World;

/// Two counts in one znode, one for each client, so that each can see whether its own last write
/// was done.
fn counts(data: &[u8]) -> [u32; 2] {
    let text = std::str::from_utf8(data).expect("a text");
    let (a, b) = text.split_once(',').expect("two counts");
    [a, b].map(|count| count.parse().expect("a number"))
}

async fn count(client: Client, own: usize, times: u32) {
    let retry = Retry::forever(Duration::from_millis(10));
    let create = || client.create("/n", "0,0", &CreateOptions::persistent());
    match retry.run(&client, create).await {
        Ok(_) | Err(Error::NodeExists) => {}
        Err(error) => panic!("{error}"),
    }
    loop {
        let (data, stat) = retry.run(&client, || client.get("/n")).await.expect("it is there");
        let mut counts = counts(&data);
        if counts[own] == times {
            return;
        }
        counts[own] += 1;
        let text = format!("{},{}", counts[0], counts[1]);
        match client.set("/n", text, Some(stat.version)).await {
            Ok(_) | Err(Error::BadVersion) => {}
            // It may have been done: the next read tells.
            Err(Error::ConnectionLoss) => client.runtime().sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Follows the counter with one-shot watches until both counts are complete.
async fn follow(client: Client, times: u32, seen: Arc<Mutex<Vec<[u32; 2]>>>) {
    let retry = Retry::forever(Duration::from_millis(10));
    loop {
        let Ok((data, _, watch)) = retry.run(&client, || client.get_and_watch("/n")).await else {
            client.runtime().sleep(Duration::from_millis(10)).await;
            continue;
        };
        let now = counts(&data);
        seen.lock().expect("one thread").push(now);
        if now == [times; 2] {
            return;
        }
        watch.await;
    }
}

/// A run of one seed: its trace, and what the follower saw.
fn history(seed: u64) -> (Vec<String>, Vec<[u32; 2]>) {
    const TIMES: u32 = 30;
    let mut world = World::new(seed);
    let builder = || Client::builder().session_timeout(Duration::from_secs(4));
    for own in 0..2 {
        world.spawn(count(world.client(builder()), own, TIMES));
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    world.spawn(follow(world.client(builder()), TIMES, Arc::clone(&seen)));
    for _ in 0..20 {
        let end = world.now() + Duration::from_millis(100 + world.draw(300));
        world.run(end);
        let client = usize::try_from(world.draw(3)).expect("a small number");
        world.cut(client);
    }
    world.run(Duration::from_secs(60));
    assert_eq!(counts(world.server.data("/n")), [TIMES; 2], "seed {seed}");
    let seen = seen.lock().expect("one thread").clone();
    assert_eq!(seen.last(), Some(&[TIMES; 2]), "seed {seed}: a watch was lost");
    for pair in seen.windows(2) {
        let forward = pair[0][0] <= pair[1][0] && pair[0][1] <= pair[1][1];
        assert!(forward, "seed {seed}: {pair:?} goes back");
    }
    let cuts = world.trace.iter().filter(|line| line.ends_with("cut")).count();
    assert_eq!(cuts, 20, "seed {seed}: not all cuts have come");
    (world.trace, seen)
}

#[test]
fn nothing_is_lost_and_nothing_goes_back() {
    for seed in 1..=50 {
        history(seed);
    }
}

#[test]
fn one_seed_makes_one_history() {
    assert_eq!(history(7), history(7));
    assert_ne!(history(7).0, history(8).0);
}
