//! What befalls clients: they stand still, they die, their connections break, they are cut off.

use std::fmt;

use crate::random::Random;

/// What goes wrong with a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Its process does nothing for a while.
    Pause,
    /// Its process dies and is started anew.
    Death,
    /// All its connections break.
    Break,
    /// It is cut off from all servers, until some cut of the network ends.
    Cut,
}

/// One mishap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mishap {
    pub(crate) at_ms: u64,
    pub(crate) lasts_ms: u64,
    pub(crate) actor: usize,
    pub(crate) kind: Kind,
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lasts_ms, actor, kind, .. } = self;
        write!(f, "{kind:?} of c{actor} for {lasts_ms} ms")
    }
}

/// Draws a plan.
pub(crate) fn draw(seed: u64, actors: usize, faulty_ms: u64) -> Vec<Mishap> {
    let random = &mut Random::new(seed, "mishaps");
    let density_ms = *random.pick(&[0, 500, 1_500, 4_000]);
    let mut mishaps = Vec::new();
    let mut at_ms = 500 + random.below(1_000);
    while density_ms > 0 && at_ms < faulty_ms {
        let kind = *random.pick(&[Kind::Pause, Kind::Death, Kind::Break, Kind::Break, Kind::Cut]);
        let most_ms = *random.pick(&[50, 1_000, 6_000]);
        let lasts_ms = random.below(most_ms);
        mishaps.push(Mishap { at_ms, lasts_ms, actor: random.index(actors), kind });
        at_ms += 1 + random.below(2 * density_ms);
    }
    mishaps
}
