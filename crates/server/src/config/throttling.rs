//! What slows clients down or turns them away: connection throttle, large and late requests.

use super::settings::Settings;
use ostler_node::limits::{PARTS_PER_BILLION, SessionWeights, ThrottleSettings};

/// The bounds that are not kept by letting clients wait.
#[derive(Clone, Debug, Default)]
pub struct Throttling {
    /// How many sessions may be opened in a while.
    pub connections: ThrottleSettings,
    /// Longer requests are large; `None` knows no large requests.
    pub large_request_threshold_bytes: Option<u32>,
    /// Large requests under way, together.
    pub large_requests_max_bytes: u32,
    /// Requests under way, besides `globalOutstandingLimit`; 0 is no limit.
    pub requests_max: u32,
    /// A request that was held back for longer is refused; 0 is never.
    pub throttled_op_wait_ms: u32,
    /// Whether a client whose request was held back for longer than its session lives is
    /// disconnected.
    pub stale_requests_dropped: bool,
}

/// What was set, put right.
pub(super) fn resolve(settings: &mut Settings) -> Throttling {
    let connections = connection_throttle(settings);
    let unsigned = |name: &str| {
        let number = settings.number(&format!("zookeeper.{name}"));
        u32::try_from(number.unwrap_or_default()).unwrap_or(0)
    };
    let on = |name: &str| settings.bool(&format!("zookeeper.{name}"));
    // Java: ZooKeeperServer, where neither of the two means anything unless it is positive.
    let threshold_bytes = unsigned("largeRequestThreshold");
    let max_bytes = unsigned("largeRequestMaxBytes");
    let requests_max = unsigned("request_throttle_max_requests");
    Throttling {
        connections,
        large_request_threshold_bytes: (threshold_bytes > 0).then_some(threshold_bytes),
        large_requests_max_bytes: if max_bytes > 0 { max_bytes } else { 100 << 20 },
        requests_max,
        throttled_op_wait_ms: unsigned("throttled_op_wait_time"),
        stale_requests_dropped: requests_max > 0
            && on("request_throttle_drop_stale")
            && on("request_stale_latency_check"),
    }
}

// Java: BlueThrottle, which puts weights right in this order.
fn connection_throttle(settings: &mut Settings) -> ThrottleSettings {
    let number = |name: &str| settings.number(&format!("zookeeper.connection_throttle_{name}"));
    let unsigned = |name| u64::try_from(number(name).unwrap_or_default()).unwrap_or(0);
    let weight = |name, default| match unsigned(name) {
        0 => default,
        weight => weight,
    };
    let local = weight("local_session_weight", 1);
    let weights = SessionWeights {
        new_session: weight("global_session_weight", 3).max(local),
        renewed_session: weight("renew_session_weight", 2).max(local),
    };
    let throttle = ThrottleSettings {
        tokens_max: unsigned("tokens"),
        fill_time_ms: unsigned("fill_time").max(1),
        fill_count: unsigned("fill_count"),
        freeze_time_ms: number("freeze_time").and_then(|ms| u64::try_from(ms).ok()),
        weights: settings.bool("zookeeper.connection_throttle_weight_enabled").then_some(weights),
        ..ThrottleSettings::default()
    };
    ThrottleSettings {
        drop_increase_ppb: share(settings, "drop_increase"),
        drop_decrease_ppb: share(settings, "drop_decrease"),
        decrease_ratio_ppb: share(settings, "decrease_ratio"),
        ..throttle
    }
}

/// A fraction between 0 and 1; what is beyond does as much as its bound.
fn share(settings: &mut Settings, name: &str) -> u64 {
    let name = format!("zookeeper.connection_throttle_{name}");
    let default = super::keys::property(&name).map_or("0", |row| row.default);
    let text = settings.text(&name).unwrap_or(default).trim();
    let parsed = text.parse().ok().filter(|share: &f64| !share.is_nan());
    if parsed.is_none()
        && let Some(set) = settings.setting(&name)
    {
        let warning = format!("{}: {name} is not a number: {default} is used", set.origin);
        settings.warnings.push(warning);
    }
    let share: f64 = parsed.or_else(|| default.parse().ok()).unwrap_or_default();
    // Between 0 and a billion, without a fraction.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let parts = (share.clamp(0.0, 1.0) * PARTS_PER_BILLION as f64).round() as u64;
    parts
}
