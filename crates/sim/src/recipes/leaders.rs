//! Tasks that lead: latch and election.

use ostler_client::recipes::{Election, LeaderLatch, Leadership};
use ostler_client::runtime::race;
use ostler_client::{Client, Result};

use super::actor::Actor;
use super::ledger::Phase;

const LATCH: &str = "/leaders/latch";

pub(crate) async fn latch(actor: Actor) {
    actor.rounds("latch", |client| latch_round(&actor, client)).await;
}

async fn latch_round(actor: &Actor, client: Client) -> Result<bool> {
    let mut latch = LeaderLatch::join(&client, LATCH, actor.index.to_string());
    let mut is_done = false;
    // Once elected it may be deposed and lead again, with the same token.
    for _ in 0..=actor.below(3) {
        let fencing = latch.lead().await?;
        let holding = actor.holds(&client, LATCH, fencing);
        let longest_ms = if actor.one_in(4) { 10_000 } else { 500 };
        race(latch.deposed(), actor.pause(0, longest_ms)).await;
        drop(holding);
        is_done = latch.is_leader();
        if let Leadership::Over(error) = latch.leadership() {
            return Err(error);
        }
    }
    if actor.one_in(3) {
        drop(latch);
    } else {
        latch.withdraw().await?;
    }
    Ok(is_done)
}

const ELECTION: &str = "/leaders/election";

pub(crate) async fn election(actor: Actor) {
    let mut terms = 0;
    while terms < 2 {
        let is_healed = actor.phase() >= Phase::Healed;
        let client = actor.client().await;
        let election = Election::new(&client, ELECTION, actor.index.to_string());
        let lead = election.run_until_finished(|client, term| {
            let actor = actor.clone();
            async move {
                let holding = actor.holds(&client, ELECTION, term.fencing);
                actor.pause(0, if actor.one_in(8) { 10_000 } else { 500 }).await;
                drop(holding);
            }
        });
        // It outlives its sessions, so there is nothing that could go wrong.
        let outcome = lead.await;
        let is_closed = matches!(outcome, Err(ostler_client::Error::SessionExpired));
        assert!(outcome.is_ok() || is_closed, "c{} election: {outcome:?}", actor.index);
        terms += u64::from(is_healed && outcome.is_ok());
        actor.pause(1, 300).await;
    }
    actor.ledger.reached(actor.index, "election", Phase::Healed).await;
}
