//! Tasks that count: a counter, an exact one, and a shared count.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ostler_client::recipes::{Counter, SharedCount};
use ostler_client::runtime::race;
use ostler_client::{Client, Error, Result};
use ostler_wire::ids::SessionId;

use super::actor::{Actor, session_of};
use super::ledger::Ledger;

/// Where a counter is.
pub(crate) const PLAIN: &str = "/counters/plain";
/// Where another one is.
pub(crate) const EXACT: &str = "/counters/exact";
/// Where the shared count is.
pub(crate) const SHARED: &str = "/counters/shared";

/// An addition whose outcome is not known before [`Open::close`].
struct Open {
    ledger: Ledger,
    path: &'static str,
}

impl Open {
    fn new(ledger: &Ledger, path: &'static str) -> Self {
        ledger.book().sums.entry(path.to_owned()).or_default().unknown += 1;
        Self { ledger: ledger.clone(), path }
    }

    fn close(self, is_done: bool) {
        let mut book = self.ledger.book();
        book.deeds += 1;
        let sum = book.sums.entry(self.path.to_owned()).or_default();
        sum.unknown -= 1;
        sum.acknowledged += i64::from(is_done);
    }
}

pub(crate) async fn plain(actor: Actor) {
    actor.rounds("counter", |client| plain_round(&actor, client)).await;
}

async fn plain_round(actor: &Actor, client: Client) -> Result<bool> {
    let counter = Counter::new(&client, PLAIN);
    let open = Open::new(&actor.ledger, PLAIN);
    match counter.add(1).await {
        Ok(_) => {
            open.close(true);
            Ok(true)
        }
        Err(Error::ConnectionLoss) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) async fn exact(actor: Actor) {
    // The receipt belongs to a counter, so it is kept as long as its session.
    let kept: Mutex<BTreeMap<SessionId, Counter>> = Mutex::default();
    let counter_of = |client: &Client| {
        let mut kept = kept.lock().expect("nobody panics with it");
        let session = session_of(client);
        if session == SessionId::NONE {
            return Counter::new(client, EXACT).exact();
        }
        kept.entry(session).or_insert_with(|| Counter::new(client, EXACT).exact()).clone()
    };
    actor.rounds("exact", |client| exact_round(&actor, client.clone(), counter_of(&client))).await;
}

async fn exact_round(actor: &Actor, client: Client, counter: Counter) -> Result<bool> {
    let open = Open::new(&actor.ledger, EXACT);
    match counter.add(1).await {
        Ok(_) => {
            open.close(true);
            Ok(true)
        }
        // Only the end of its session makes it forget.
        Err(Error::ConnectionLoss) => {
            actor.ledger.book().told_lost.push(session_of(&client));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

pub(crate) async fn shared(actor: Actor) {
    let watcher = watch(&actor);
    let writer = actor.rounds("shared-count", |client| shared_round(&actor, client));
    // The watcher never ends.
    race(writer, watcher).await;
}

async fn shared_round(actor: &Actor, client: Client) -> Result<bool> {
    let count = SharedCount::open(&client, SHARED, 0).await?;
    let (value, seen) = count.count()?;
    let open = Open::new(&actor.ledger, SHARED);
    match count.try_set(&seen, value + 1).await {
        Ok(is_done) => {
            open.close(is_done);
            Ok(true)
        }
        Err(Error::ConnectionLoss) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sees the count change, and never fall.
async fn watch(actor: &Actor) {
    loop {
        let client = actor.client().await;
        let Ok(mut count) = SharedCount::open(&client, SHARED, 0).await else { continue };
        let mut last = count.count().expect("it is a number").0;
        while let Ok(next) = count.changed().await {
            assert!(next >= last, "c{} sees {SHARED} fall from {last} to {next}", actor.index);
            last = next;
        }
    }
}
