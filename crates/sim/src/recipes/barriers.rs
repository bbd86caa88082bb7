//! Tasks that wait for each other: a gate, and a room that all enter and leave together.

use ostler_client::recipes::{Barrier, DoubleBarrier};
use ostler_client::{Client, Error, Result};

use super::actor::Actor;
use super::ledger::Phase;

/// Shut by the first process, waited for by the others.
const GATE: &str = "/barriers/gate";

pub(crate) async fn gate(actor: Actor) {
    actor.rounds("gate", |client| gate_round(&actor, client)).await;
    // Whoever has left it shut because its session was lost opens it now.
    if actor.index == 0 {
        loop {
            let client = actor.client().await;
            if Barrier::new(&client, GATE).remove().await.is_ok() {
                break;
            }
        }
    }
    actor.ledger.reached(actor.index, "gate", Phase::Settled).await;
}

async fn gate_round(actor: &Actor, client: Client) -> Result<bool> {
    let gate = Barrier::new(&client, GATE);
    if actor.index == 0 {
        gate.set().await?;
        actor.pause(0, 1_000).await;
        gate.remove().await?;
        return Ok(true);
    }
    if actor.one_in(2) {
        return gate.wait_within(actor.time(1, 1_000)).await;
    }
    gate.wait().await?;
    Ok(true)
}

/// Where all meet.
const ROOM: &str = "/barriers/room";

pub(crate) async fn room(actor: Actor) {
    let mut round = 0;
    // While faults strike, whoever does not come in time is not waited for.
    while actor.phase() < Phase::Healed {
        round += 1;
        let client = actor.client().await;
        let room = DoubleBarrier::new(&client, format!("{ROOM}-{round}"), actor.actors);
        match room.enter_within(actor.time(100, 3_000)).await {
            Ok(Some(inside)) => {
                actor.note(format_args!("has entered {ROOM}-{round}"));
                match inside.leave().await {
                    Ok(()) | Err(Error::SessionExpired) => {}
                    Err(error) => panic!("c{} cannot leave: {error:?}", actor.index),
                }
            }
            Ok(None) | Err(Error::SessionExpired) => {}
            Err(error) => panic!("c{} cannot enter: {error:?}", actor.index),
        }
        actor.pause(1, 100).await;
    }
    // A session that was lost before shows by now.
    actor.pause(3_000, 4_000).await;
    while actor.client().await.sync("/").await.is_err() {}
    actor.ledger.reached(actor.index, "room", Phase::Healed).await;
    // Nothing breaks any more, so all come in, and all go.
    let client = actor.client().await;
    let room = DoubleBarrier::new(&client, ROOM, actor.actors);
    let count = |change: i64| {
        let mut book = actor.ledger.book();
        let inside = &mut book.sums.entry(ROOM.to_owned()).or_default().acknowledged;
        *inside += change;
        *inside
    };
    actor.pause(0, 2_000).await;
    count(1);
    let inside = room.enter().await.expect("all is well");
    let actors = i64::try_from(actor.actors).expect("few");
    assert!(count(0) >= actors, "c{} has entered before all came", actor.index);
    count(1);
    actor.pause(0, 2_000).await;
    count(1);
    inside.leave().await.expect("all is well");
    assert!(count(0) >= 3 * actors, "c{} has left before all were done", actor.index);
    actor.note(format_args!("has left {ROOM}"));
    actor.ledger.reached(actor.index, "room", Phase::Settled).await;
}
