//! Who uses the recipes: what every task of a process has at hand.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ostler_client::recipes::Sessions;
use ostler_client::runtime::Runtime;
use ostler_client::{Client, Error, Zxid};
use ostler_wire::ids::SessionId;

use super::ledger::{Belief, Holding, Ledger, Phase};
use crate::options::Plant;
use crate::random::Random;

/// One process, as its tasks see it.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) index: usize,
    /// How often the process was started before.
    pub(crate) start: u64,
    /// How many processes there are.
    pub(crate) actors: usize,
    pub(crate) sessions: Sessions,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) ledger: Ledger,
    pub(crate) random: Arc<Mutex<Random>>,
    pub(crate) plant: Option<Plant>,
}

impl Actor {
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.random.lock().expect("nobody panics with it").below(bound)
    }

    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Some time between these, in milliseconds.
    pub(crate) fn time(&self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_micros(least_ms * 1_000 + self.below((most_ms - least_ms) * 1_000))
    }

    pub(crate) async fn pause(&self, least_ms: u64, most_ms: u64) {
        self.runtime.sleep(self.time(least_ms, most_ms)).await;
    }

    pub(crate) fn phase(&self) -> Phase {
        self.ledger.phase()
    }

    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        self.ledger.note(self.index, what);
    }

    /// A session that is not known to be lost.
    pub(crate) async fn client(&self) -> Client {
        self.sessions.live().await.expect("nobody closes it and credentials are not asked for")
    }

    /// What is held alone.
    pub(crate) fn holds(&self, client: &Client, what: &str, fencing: Zxid) -> Holding {
        self.holds_part(client, what, fencing, (1, 1))
    }

    /// What is held with others: how much of how much.
    pub(crate) fn holds_part(
        &self,
        client: &Client,
        what: &str,
        fencing: Zxid,
        (weight, capacity): (u32, u32),
    ) -> Holding {
        self.ledger.believe(Belief {
            actor: self.index,
            what: what.to_owned(),
            session: session_of(client),
            fencing,
            weight,
            capacity,
            dead_since: None,
            is_checked: false,
        })
    }

    /// Does rounds while faults strike, then two more that have to succeed; ends when nothing new
    /// is to be begun. A round says whether it got something done.
    pub(crate) async fn rounds<F>(&self, task: &str, mut round: impl FnMut(Client) -> F)
    where
        F: Future<Output = Result<bool, Error>>,
    {
        let mut successes = 0;
        while successes < 2 {
            let is_healed = self.phase() >= Phase::Healed;
            let client = self.client().await;
            match round(client.clone()).await {
                Ok(is_done) => successes += u64::from(is_healed && is_done),
                Err(Error::SessionExpired) => {
                    self.note(format_args!("{task}: {:?} is lost", session_of(&client)));
                }
                Err(error) => panic!("c{} {task}: {error:?}", self.index),
            }
            self.pause(1, 300).await;
        }
        self.ledger.reached(self.index, task, Phase::Healed).await;
    }
}

/// The session of a client that has had one.
pub(crate) fn session_of(client: &Client) -> SessionId {
    client.session().map_or(SessionId::NONE, |(session, _)| session)
}
