//! How many sessions may be opened or taken up again in a while: a bucket of tokens, and chance.
//!
//! ```text
//!  fill_count tokens each fill_time ─► [ bucket, at most tokens_max ] ─► one request takes its price
//! ```
//!
//! A client whose price is not in the bucket is turned away. On top of that clients are turned
//! away at random: the probability rises while the bucket is found empty and falls while it is
//! full, so that a crowd is thinned out before the bucket is dry. One bucket stands for all shards.
//! It knows neither clients nor sessions.
// Java: BlueThrottle; the steps, their order and their rounding are its.

use crate::clock::Time;
use crate::limits::{PARTS_PER_BILLION, ThrottleSettings};
use crate::rng::Rng;

/// The bucket.
#[derive(Debug)]
pub(super) struct ConnectionThrottle {
    settings: ThrottleSettings,
    /// Invariant: never above `settings.tokens_max`.
    tokens: u64,
    filled_at: Time,
    /// Invariant: never above [`PARTS_PER_BILLION`].
    drop_ppb: u64,
    drop_changed_at: Time,
}

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asks {
    /// A new session.
    New,
    /// The session it had.
    Renewed,
}

impl ConnectionThrottle {
    /// A full bucket.
    pub(super) fn new(at: Time, settings: ThrottleSettings) -> Self {
        let settings = match settings.weights {
            // Prices rise, so the bucket grows with them.
            Some(weights) => ThrottleSettings {
                tokens_max: settings.tokens_max.saturating_mul(weights.new_session),
                fill_count: settings.fill_count.saturating_mul(weights.new_session),
                ..settings
            },
            None => settings,
        };
        Self {
            tokens: settings.tokens_max,
            filled_at: at,
            drop_ppb: 0,
            drop_changed_at: at,
            settings,
        }
    }

    /// Whether the client may go on; takes its price out of the bucket then.
    pub(super) fn admits(&mut self, now: Time, asks: Asks, rng: &mut Rng) -> bool {
        if self.settings.tokens_max == 0 {
            return true;
        }
        let price = match (self.settings.weights, asks) {
            (None, _) => 1,
            (Some(weights), Asks::New) => weights.new_session,
            (Some(weights), Asks::Renewed) => weights.renewed_session,
        };
        self.fill(now);
        if self.is_unlucky(now, rng) || self.tokens < price {
            return false;
        }
        self.tokens -= price;
        true
    }

    fn fill(&mut self, now: Time) {
        let passed_ms = now.millis_since(self.filled_at);
        if passed_ms > self.settings.fill_time_ms {
            let count = passed_ms.saturating_mul(self.settings.fill_count);
            let filled = self.tokens.saturating_add(count / self.settings.fill_time_ms.max(1));
            self.tokens = filled.min(self.settings.tokens_max);
            self.filled_at = now;
        }
    }

    fn is_unlucky(&mut self, now: Time, rng: &mut Rng) -> bool {
        let Some(freeze_time_ms) = self.settings.freeze_time_ms else { return false };
        if now.millis_since(self.drop_changed_at) > freeze_time_ms {
            self.drop_changed_at = now;
            let max = u128::from(self.settings.tokens_max);
            let used = max - u128::from(self.tokens);
            let billion = u128::from(PARTS_PER_BILLION);
            let calm = (max * u128::from(self.settings.decrease_ratio_ppb) + billion / 2) / billion;
            if used == max {
                let more = self.drop_ppb.saturating_add(self.settings.drop_increase_ppb);
                self.drop_ppb = more.min(PARTS_PER_BILLION);
            } else if used <= calm {
                self.drop_ppb = self.drop_ppb.saturating_sub(self.settings.drop_decrease_ppb);
            }
        }
        rng.below(PARTS_PER_BILLION) < self.drop_ppb
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SessionWeights;

    /// The same in plain arithmetic: what is in the bucket, and how likely a refusal is.
    struct Model {
        settings: ThrottleSettings,
        tokens: f64,
        filled_ms: u64,
        chance: f64,
        changed_ms: u64,
    }

    impl Model {
        fn admits(&mut self, now_ms: u64, asks: Asks, draw: f64) -> bool {
            let scale = self.settings.weights.map_or(1, |w| w.new_session);
            let max = (self.settings.tokens_max * scale) as f64;
            let price = self.settings.weights.map_or(1, |weights| match asks {
                Asks::New => weights.new_session,
                Asks::Renewed => weights.renewed_session,
            }) as f64;
            if max == 0.0 {
                return true;
            }
            let passed = now_ms - self.filled_ms;
            if passed > self.settings.fill_time_ms {
                let count = passed * self.settings.fill_count * scale;
                self.tokens = max.min(self.tokens + (count / self.settings.fill_time_ms) as f64);
                self.filled_ms = now_ms;
            }
            let share = |ppb: u64| ppb as f64 / 1e9;
            if let Some(freeze) = self.settings.freeze_time_ms {
                if now_ms - self.changed_ms > freeze {
                    self.changed_ms = now_ms;
                    if self.tokens == 0.0 {
                        self.chance += share(self.settings.drop_increase_ppb);
                    } else if max - self.tokens
                        <= (max * share(self.settings.decrease_ratio_ppb) + 0.5).floor()
                    {
                        self.chance -= share(self.settings.drop_decrease_ppb);
                    }
                    self.chance = self.chance.clamp(0.0, 1.0);
                }
                if draw < self.chance {
                    return false;
                }
            }
            let admitted = self.tokens >= price;
            if admitted {
                self.tokens -= price;
            }
            admitted
        }
    }

    fn random_settings(rng: &mut Rng) -> ThrottleSettings {
        // Sums of eighths are exact in both ways of counting.
        let eighths = |n: u64| n * PARTS_PER_BILLION / 8;
        ThrottleSettings {
            tokens_max: rng.below(12),
            fill_time_ms: 1 + rng.below(20),
            fill_count: rng.below(4),
            freeze_time_ms: (rng.below(3) > 0).then(|| rng.below(30)),
            drop_increase_ppb: eighths(rng.below(5)),
            drop_decrease_ppb: eighths(rng.below(3)),
            decrease_ratio_ppb: eighths(rng.below(9)),
            weights: (rng.below(2) > 0).then(|| SessionWeights {
                new_session: 1 + rng.below(4),
                renewed_session: 1 + rng.below(4),
            }),
        }
    }

    #[test]
    fn it_does_what_a_plain_model_does() {
        let (mut admitted, mut refused) = (0, 0);
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            let settings = random_settings(&mut rng);
            let mut now = Time::from_millis(1000);
            let mut throttle = ConnectionThrottle::new(now, settings);
            let mut model = Model {
                settings,
                tokens: (settings.tokens_max * settings.weights.map_or(1, |w| w.new_session))
                    as f64,
                filled_ms: 1000,
                chance: 0.0,
                changed_ms: 1000,
            };
            for step in 0..200 {
                now = Time::from_millis(now.millis() + rng.below(3) * rng.below(20));
                let asks = if rng.below(2) == 0 { Asks::New } else { Asks::Renewed };
                let draw = rng.clone().below(PARTS_PER_BILLION) as f64 / 1e9;
                let found = throttle.admits(now, asks, &mut rng);
                assert_eq!(
                    found,
                    model.admits(now.millis(), asks, draw),
                    "seed {seed} step {step}"
                );
                if found { admitted += 1 } else { refused += 1 }
            }
        }
        assert!(admitted > 10_000 && refused > 10_000, "{admitted} admitted, {refused} refused");
    }

    #[test]
    fn a_bucket_without_tokens_is_no_bucket() {
        let mut throttle = ConnectionThrottle::new(Time(0), ThrottleSettings::default());
        let mut rng = Rng::new(1);
        assert!((0..1000).all(|_| throttle.admits(Time(0), Asks::New, &mut rng)));
    }

    #[test]
    fn a_renewed_session_costs_less_than_a_new_one() {
        let weights = SessionWeights { new_session: 3, renewed_session: 2 };
        let settings =
            ThrottleSettings { tokens_max: 2, weights: Some(weights), ..Default::default() };
        let admitted = |asks| {
            let mut throttle = ConnectionThrottle::new(Time(0), settings);
            (0..10).filter(|_| throttle.admits(Time(0), asks, &mut Rng::new(1))).count()
        };
        assert_eq!((admitted(Asks::New), admitted(Asks::Renewed)), (2, 3));
    }
}
