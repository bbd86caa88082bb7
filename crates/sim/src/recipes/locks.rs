//! Tasks that hold locks: mutex, read-write lock, semaphore, several at once.

use ostler_client::recipes::{Guard, MultiLock, Mutex, RwLock, Semaphore};
use ostler_client::runtime::{Either, race};
use ostler_client::{Client, CreateOptions, Error, Result};

use super::actor::Actor;
use super::planted;
use crate::options::Plant;

/// The mutex that guards [`REGISTER`].
pub(crate) const MUTEX: &str = "/locks/mutex";
/// What its holders count with: `<fencing token> <value>`.
pub(crate) const REGISTER: &str = "/register";

pub(crate) async fn mutex(actor: Actor) {
    actor.rounds("mutex", |client| mutex_round(&actor, client)).await;
}

async fn mutex_round(actor: &Actor, client: Client) -> Result<bool> {
    if actor.plant == Some(Plant::WrongPredecessor) {
        return naive_round(actor, client).await;
    }
    let lock = Mutex::new(&client, MUTEX);
    let guard = match actor.below(6) {
        0 => lock.try_acquire().await?,
        1 => lock.acquire_within(actor.time(1, 2_000)).await?,
        _ => Some(lock.acquire().await?),
    };
    let Some(guard) = guard else { return Ok(false) };
    let holding = actor.holds(&client, MUTEX, guard.fencing());
    let lost = guard.lost();
    let work = async {
        actor.pause(0, 200).await;
        let result = count(&client, &guard).await;
        linger(actor).await;
        result
    };
    let outcome = if actor.plant == Some(Plant::LossIgnored) {
        let outcome = work.await;
        actor.pause(0, 20_000).await;
        Either::Left(outcome)
    } else {
        race(work, lost).await
    };
    drop(holding);
    match outcome {
        Either::Left(done) => {
            give_back(actor, guard).await?;
            done
        }
        Either::Right(()) => {
            actor.note(format_args!("is told that {MUTEX} is lost"));
            Ok(false)
        }
    }
}

/// Adds one to the register, as long as the lock's node is there. No more than that holds late
/// writes off: the value alone says which was the last.
async fn count(client: &Client, guard: &Guard) -> Result<bool> {
    loop {
        let (before, version) = match client.get(REGISTER).await {
            Ok((data, stat)) => (value_of(&data), stat.version),
            Err(Error::NoNode) => {
                match client.create(REGISTER, "0 0", &CreateOptions::persistent()).await {
                    Err(error) if !error.is_retryable() && error != Error::NodeExists => {
                        return Err(error);
                    }
                    _ => continue,
                }
            }
            Err(error) if error.is_retryable() => continue,
            Err(error) => return Err(error),
        };
        let data = format!("{} {}", guard.fencing().0, before + 1);
        let write = client.multi().check(guard.path(), None);
        match write.set(REGISTER, data.as_str(), Some(version)).send().await {
            Ok(_) => return Ok(true),
            // The lock's node is gone, and so it is kept out.
            Err(Error::Multi { index: 0, cause }) if *cause == Error::NoNode => return Ok(false),
            // An earlier try of its own was done and not answered.
            Err(Error::Multi { index: 1, cause }) if *cause == Error::BadVersion => {}
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error),
        }
    }
}

/// The second word of what the register holds.
pub(crate) fn value_of(data: &[u8]) -> i64 {
    let words = std::str::from_utf8(data).ok().and_then(|text| text.split_once(' '));
    words.and_then(|(_, value)| value.parse().ok()).expect("two numbers are in the register")
}

/// Holds it a little longer; now and then so long that the session may be over before.
async fn linger(actor: &Actor) {
    match actor.below(12) {
        0 => actor.pause(0, 10_000).await,
        1..4 => actor.pause(0, 2_000).await,
        _ => actor.pause(0, 300).await,
    }
}

async fn give_back(actor: &Actor, guard: Guard) -> Result<()> {
    if actor.one_in(3) {
        drop(guard);
        return Ok(());
    }
    guard.release().await
}

async fn naive_round(actor: &Actor, client: Client) -> Result<bool> {
    let lock = planted::lock(&client, MUTEX).await?;
    let holding = actor.holds(&client, MUTEX, lock.czxid);
    actor.pause(0, 200).await;
    drop(holding);
    lock.release(&client).await?;
    Ok(true)
}

const TABLE: &str = "/locks/table";
/// More than there are readers.
const ALL: u32 = 1_000;

pub(crate) async fn rw_lock(actor: Actor) {
    actor.rounds("rw-lock", |client| rw_lock_round(&actor, client)).await;
}

async fn rw_lock_round(actor: &Actor, client: Client) -> Result<bool> {
    let lock = RwLock::new(&client, TABLE);
    let (guard, weight) = match actor.below(8) {
        0 => (lock.try_write().await?, ALL),
        1 => (lock.try_read().await?, 1),
        2 => (lock.write_within(actor.time(1, 2_000)).await?, ALL),
        3..5 => (Some(lock.write().await?), ALL),
        _ => (Some(lock.read().await?), 1),
    };
    let Some(guard) = guard else { return Ok(false) };
    let holding = actor.holds_part(&client, TABLE, guard.fencing(), (weight, ALL));
    let outcome = race(linger(actor), guard.lost()).await;
    drop(holding);
    if outcome == Either::Right(()) {
        return Ok(false);
    }
    if weight < ALL || !actor.one_in(3) {
        give_back(actor, guard).await?;
        return Ok(true);
    }
    let guard = lock.downgrade(guard).await?;
    let holding = actor.holds_part(&client, TABLE, guard.fencing(), (1, ALL));
    let outcome = race(actor.pause(0, 400), guard.lost()).await;
    drop(holding);
    if outcome == Either::Right(()) {
        return Ok(false);
    }
    give_back(actor, guard).await?;
    Ok(true)
}

const SEMAPHORE: &str = "/locks/semaphore";
const LEASES: u32 = 2;

pub(crate) async fn semaphore(actor: Actor) {
    actor.rounds("semaphore", |client| semaphore_round(&actor, client)).await;
}

async fn semaphore_round(actor: &Actor, client: Client) -> Result<bool> {
    let semaphore = Semaphore::new(&client, SEMAPHORE, LEASES as usize);
    let guards = match actor.below(8) {
        0 => Vec::from_iter(semaphore.try_acquire().await?),
        1 => Vec::from_iter(semaphore.acquire_within(actor.time(1, 2_000)).await?),
        2 => semaphore.acquire_many(2).await?,
        _ => vec![semaphore.acquire().await?],
    };
    let holds = |guard: &Guard| actor.holds_part(&client, SEMAPHORE, guard.fencing(), (1, LEASES));
    let holdings: Vec<_> = guards.iter().map(holds).collect();
    let Some(first) = guards.first() else { return Ok(false) };
    let outcome = race(actor.pause(0, 500), first.lost()).await;
    drop(holdings);
    if outcome == Either::Right(()) {
        return Ok(false);
    }
    for guard in guards {
        give_back(actor, guard).await?;
    }
    Ok(true)
}

const FORKS: [&str; 3] = ["/locks/fork-0", "/locks/fork-1", "/locks/fork-2"];

pub(crate) async fn multi_lock(actor: Actor) {
    actor.rounds("multi-lock", |client| multi_lock_round(&actor, client)).await;
}

/// Philosophers: each wants two of three, named in any order.
async fn multi_lock_round(actor: &Actor, client: Client) -> Result<bool> {
    let left = usize::try_from(actor.below(3)).unwrap_or(0);
    let mut wanted = [FORKS[left], FORKS[(left + 1) % 3]];
    if actor.one_in(2) {
        wanted.reverse();
    }
    let lock = MultiLock::new(&client, wanted);
    let held = match actor.below(6) {
        0 => lock.try_acquire().await?,
        1 => lock.acquire_within(actor.time(1, 2_000)).await?,
        _ => Some(lock.acquire().await?),
    };
    let Some(held) = held else { return Ok(false) };
    let holds = |(path, fencing): (&str, _)| {
        let fork = path.rsplit_once('/').map_or("", |(fork, _)| fork);
        actor.holds(&client, fork, fencing)
    };
    let holdings: Vec<_> = held.fencing().map(holds).collect();
    let outcome = race(actor.pause(0, 300), held.lost()).await;
    drop(holdings);
    if outcome == Either::Right(()) {
        return Ok(false);
    }
    held.release().await?;
    Ok(true)
}
