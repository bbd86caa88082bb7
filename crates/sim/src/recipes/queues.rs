//! Tasks that put into queues and take out of them.

use ostler_client::recipes::{LockingQueue, PriorityQueue, Queue};
use ostler_client::runtime::{Either, race};
use ostler_client::{Client, Error, Result};

use super::actor::Actor;
use super::ledger::{Items, Ledger, Phase};

/// A queue that gives each item at most once.
pub(crate) const PLAIN: &str = "/queues/plain";
/// One that gives each item at least once.
pub(crate) const LOCKING: &str = "/queues/locking";
/// One with priorities, at most once.
pub(crate) const PRIORITY: &str = "/queues/priority";

fn items<T>(ledger: &Ledger, queue: &str, change: impl FnOnce(&mut Items) -> T) -> T {
    let mut book = ledger.book();
    book.deeds += 1;
    change(book.items.entry(queue.to_owned()).or_default())
}

/// An item that nobody else puts.
fn begin_put(actor: &Actor, queue: &str) -> String {
    let Actor { index, start, .. } = actor;
    items(&actor.ledger, queue, |items| {
        let item = format!("c{index}-{start}-{}", items.put.len());
        items.put.insert(item.clone(), false);
        item
    })
}

/// It is certainly in the queue, or nobody knows.
fn end_put(actor: &Actor, queue: &str, item: String, outcome: Result<()>) -> Result<bool> {
    match outcome {
        Ok(()) => {
            actor.note(format_args!("has put {item} into {queue}"));
            items(&actor.ledger, queue, |items| items.put.insert(item, true));
            Ok(true)
        }
        Err(Error::ConnectionLoss) => Ok(false),
        Err(error) => Err(error),
    }
}

fn begin_take(actor: &Actor, queue: &str) {
    items(&actor.ledger, queue, |items| items.takes_unknown += 1);
}

/// What was taken; whether there was something.
fn end_take(actor: &Actor, queue: &str, outcome: Result<Option<Vec<u8>>>) -> Result<bool> {
    let taken = match outcome {
        Ok(taken) => taken.map(|data| String::from_utf8(data).expect("as it was put")),
        Err(Error::ConnectionLoss) => return Ok(false),
        Err(error) => return Err(error),
    };
    let index = actor.index;
    let Some(item) = taken else {
        items(&actor.ledger, queue, |items| items.takes_unknown -= 1);
        return Ok(false);
    };
    actor.note(format_args!("has taken {item} from {queue}"));
    items(&actor.ledger, queue, |items| {
        items.takes_unknown -= 1;
        assert!(items.put.contains_key(&item), "c{index} takes {item}, which nobody put");
        assert!(items.taken.insert(item.clone()), "c{index} takes {item} once more from {queue}");
    });
    Ok(true)
}

/// A session on a server that knows of everything that was put by now.
async fn caught_up(actor: &Actor) -> Client {
    loop {
        let client = actor.client().await;
        if client.sync("/").await.is_ok() {
            return client;
        }
    }
}

pub(crate) async fn plain(actor: Actor) {
    actor.rounds("queue", |client| plain_round(&actor, client)).await;
    loop {
        let client = caught_up(&actor).await;
        begin_take(&actor, PLAIN);
        let taken = Queue::new(&client, PLAIN).try_take().await;
        if let Ok(None) = &taken {
            drop(end_take(&actor, PLAIN, taken));
            break;
        }
        drop(end_take(&actor, PLAIN, taken));
    }
    actor.ledger.reached(actor.index, "queue", Phase::Settled).await;
}

async fn plain_round(actor: &Actor, client: Client) -> Result<bool> {
    let queue = Queue::new(&client, PLAIN);
    if actor.one_in(2) {
        let item = begin_put(actor, PLAIN);
        let outcome = queue.put(&item).await;
        return end_put(actor, PLAIN, item, outcome);
    }
    begin_take(actor, PLAIN);
    let outcome = match actor.below(2) {
        0 => queue.try_take().await,
        _ => queue.take_within(actor.time(1, 1_000)).await,
    };
    end_take(actor, PLAIN, outcome)
}

pub(crate) async fn priority(actor: Actor) {
    actor.rounds("priority", |client| priority_round(&actor, client)).await;
    loop {
        let client = caught_up(&actor).await;
        begin_take(&actor, PRIORITY);
        let none = actor.time(1, 2);
        let taken = PriorityQueue::new(&client, PRIORITY).take_within(none).await;
        let is_empty = matches!(taken, Ok(None));
        drop(end_take(&actor, PRIORITY, taken));
        if is_empty {
            break;
        }
    }
    actor.ledger.reached(actor.index, "priority", Phase::Settled).await;
}

async fn priority_round(actor: &Actor, client: Client) -> Result<bool> {
    let queue = PriorityQueue::new(&client, PRIORITY);
    if actor.one_in(2) {
        let item = begin_put(actor, PRIORITY);
        let priority = u16::try_from(actor.below(3)).unwrap_or(0);
        let outcome = queue.put(priority, &item).await;
        return end_put(actor, PRIORITY, item, outcome);
    }
    begin_take(actor, PRIORITY);
    let outcome = queue.take_within(actor.time(1, 1_000)).await;
    end_take(actor, PRIORITY, outcome)
}

pub(crate) async fn locking(actor: Actor) {
    actor.rounds("locking", |client| locking_round(&actor, client)).await;
    loop {
        let client = caught_up(&actor).await;
        let queue = LockingQueue::new(&client, LOCKING);
        if matches!(queue.len().await, Ok(0)) {
            break;
        }
        drop(work(&actor, &client, &queue).await);
    }
    actor.ledger.reached(actor.index, "locking", Phase::Settled).await;
}

async fn locking_round(actor: &Actor, client: Client) -> Result<bool> {
    let queue = LockingQueue::new(&client, LOCKING);
    if actor.one_in(2) {
        let item = begin_put(actor, LOCKING);
        let outcome = queue.put(&item).await;
        return end_put(actor, LOCKING, item, outcome);
    }
    work(actor, &client, &queue).await
}

/// Takes an item and works on it, if there is one.
async fn work(actor: &Actor, client: &Client, queue: &LockingQueue) -> Result<bool> {
    let Some(item) = queue.take_within(actor.time(1, 1_000)).await? else { return Ok(false) };
    let name = String::from_utf8(item.data().to_vec()).expect("as it was put");
    let what = format!("{LOCKING}/{name}");
    let holding = actor.holds(client, &what, item.fencing());
    let outcome = race(actor.pause(0, 400), item.lost()).await;
    drop(holding);
    if outcome == Either::Right(()) {
        return Ok(false);
    }
    match actor.below(6) {
        0 => drop(item),
        1 => item.release().await?,
        _ => {
            // Whoever is not told may have done it all the same.
            begin_take(actor, LOCKING);
            item.complete().await?;
            end_take(actor, LOCKING, Ok(Some(name.into_bytes())))?;
        }
    }
    Ok(true)
}
