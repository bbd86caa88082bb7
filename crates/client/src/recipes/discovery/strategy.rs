//! Which of several instances is used next.

use super::instance::ServiceInstance;
use std::sync::Arc;

/// A rule for the choice among instances.
///
/// ```
/// use ostler_client::recipes::Strategy;
///
/// let in_turn = Strategy::round_robin();
/// // One at random, and then the same one as long as it is there.
/// let settled = Strategy::random().sticky();
/// # drop((in_turn, settled));
/// ```
#[derive(Clone, Debug)]
pub struct Strategy {
    is_random: bool,
    /// Of round robin: how many were chosen.
    turn: usize,
    is_sticky: bool,
    /// The id of the instance that a sticky strategy has settled on.
    settled: Option<String>,
}

impl Strategy {
    /// One after the other.
    pub fn round_robin() -> Self {
        Self { is_random: false, turn: 0, is_sticky: false, settled: None }
    }

    /// Any of them.
    pub fn random() -> Self {
        Self { is_random: true, ..Self::round_robin() }
    }

    /// The first choice again and again, until it is not there any more.
    #[must_use]
    pub fn sticky(mut self) -> Self {
        self.is_sticky = true;
        self
    }

    /// Chooses; `instances` in a stable order, `random` any number.
    pub(super) fn choose(
        &mut self,
        instances: &[Arc<ServiceInstance>],
        random: impl FnOnce() -> u64,
    ) -> Option<Arc<ServiceInstance>> {
        if let Some(settled) = &self.settled {
            let same = instances.iter().find(|instance| instance.id == *settled);
            if same.is_some() {
                return same.cloned();
            }
        }
        let count = instances.len();
        let at = match self.is_random {
            // The remainder is less than the count.
            #[allow(clippy::cast_possible_truncation)]
            true => (random() % count.max(1) as u64) as usize,
            false => self.turn % count.max(1),
        };
        let chosen = instances.get(at).cloned();
        self.turn = self.turn.wrapping_add(1);
        if self.is_sticky {
            self.settled = chosen.as_ref().map(|instance| instance.id.clone());
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(strategy: &mut Strategy, ids: &[&str], random: u64) -> Option<String> {
        let instances: Vec<_> =
            ids.iter().map(|id| Arc::new(ServiceInstance::new("s", *id))).collect();
        strategy.choose(&instances, || random).map(|instance| instance.id.clone())
    }

    #[test]
    fn in_turn_at_random_and_settled() {
        let mut turn = Strategy::round_robin();
        let ids: Vec<_> = (0..4).map(|_| choose(&mut turn, &["a", "b", "c"], 0).unwrap()).collect();
        assert_eq!(ids, ["a", "b", "c", "a"]);
        assert_eq!(choose(&mut turn, &[], 0), None);
        let mut random = Strategy::random();
        assert_eq!(choose(&mut random, &["a", "b", "c"], 8).as_deref(), Some("c"));
        assert_eq!(choose(&mut random, &[], 8), None);
        let mut settled = Strategy::random().sticky();
        assert_eq!(choose(&mut settled, &[], 1), None);
        assert_eq!(choose(&mut settled, &["a", "b"], 1).as_deref(), Some("b"));
        assert_eq!(choose(&mut settled, &["a", "b"], 0).as_deref(), Some("b"));
        assert_eq!(choose(&mut settled, &["a", "c"], 0).as_deref(), Some("a"));
        assert_eq!(choose(&mut settled, &["a", "b", "c"], 2).as_deref(), Some("a"));
    }
}
