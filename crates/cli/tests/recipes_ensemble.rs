//! Locks, leaders and counters on an ensemble whose leader is killed under them.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::PATIENCE;
use common::ensemble::Ensemble;
use ostler_client::recipes::{Counter, LeaderLatch, Mutex, Semaphore};
use ostler_client::{Client, CreateOptions, Retry};

#[test]
fn nothing_is_lost_with_the_leader() {
    let mut ensemble = Ensemble::new("recipes", 3);
    ensemble.start_all();
    ensemble.wait_all_serving();
    let servers = ensemble.addresses().join(",");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads can be started");
    runtime.block_on(async {
        let run = run(&servers, &mut ensemble);
        tokio::time::timeout(2 * PATIENCE, run).await.expect("the test comes to an end");
    });
    runtime.shutdown_background();
    ensemble.assert_same_everywhere();
}

async fn run(servers: &str, ensemble: &mut Ensemble) {
    let first = connected(servers).await;
    first.create("/register", b"0", &CreateOptions::persistent()).await.unwrap();
    let mut latch = LeaderLatch::join(&first, "/leaders", "first");
    let token = latch.lead().await.unwrap();
    let leases = Semaphore::new(&first, "/leases", 1);
    let lease = leases.acquire().await.unwrap();

    let is_over = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for _ in 0..4 {
        let client = connected(servers).await;
        let (is_over, rounds) = (Arc::clone(&is_over), Arc::clone(&rounds));
        workers.push(tokio::spawn(async move {
            let mutex = Mutex::new(&client, "/lock");
            let counter = Counter::new(&client, "/counter").exact();
            while !is_over.load(Ordering::SeqCst) {
                let guard = mutex.acquire().await.unwrap();
                add_one_carelessly(&client).await;
                guard.release().await.unwrap();
                counter.add(1).await.unwrap();
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    for _ in 0..2 {
        after_rounds(&rounds, 20).await;
        let leader = ensemble.leader();
        ensemble.kill(leader);
        after_rounds(&rounds, 20).await;
        ensemble.start(leader);
        ensemble.wait_serving(leader);
    }
    is_over.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }

    let rounds = rounds.load(Ordering::SeqCst);
    first.sync("/register").await.unwrap();
    let (register, _) = first.get("/register").await.unwrap();
    assert_eq!(register, rounds.to_string().as_bytes());
    let count = Counter::new(&first, "/counter").value().await.unwrap();
    assert_eq!(usize::try_from(count), Ok(rounds));
    // Whoever is back before the session ends has lost nothing.
    assert_eq!(latch.lead().await, Ok(token));
    assert!(lease.is_held().await.unwrap());
    lease.release().await.unwrap();
    assert_eq!(leases.held().await, Ok(0));
    let (left, _) = first.children("/lock").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// Only exclusion keeps this from losing counts: it writes without a version. To write the same
/// once more after a broken connection does no harm while the lock is held.
async fn add_one_carelessly(client: &Client) {
    let retry = Retry::forever(Duration::from_millis(10));
    let (data, _) = retry.run(client, || client.get("/register")).await.unwrap();
    let count: usize = String::from_utf8(data).unwrap().parse().unwrap();
    let next = (count + 1).to_string();
    retry.run(client, || client.set("/register", next.as_str(), None)).await.unwrap();
}

/// Waits until so many more rounds are done.
async fn after_rounds(rounds: &AtomicUsize, more: usize) {
    let enough = rounds.load(Ordering::SeqCst) + more;
    while rounds.load(Ordering::SeqCst) < enough {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn connected(servers: &str) -> Client {
    let builder = Client::builder().session_timeout(Duration::from_secs(30));
    builder.connect(servers).await.expect("the servers serve")
}
