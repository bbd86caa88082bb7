//! What slows clients down or turns them away: connection throttle, large and late requests.

use super::Config;
use super::settings::Settings;
use ostler_node::limits::{PARTS_PER_BILLION, SessionWeights, ThrottleSettings};

/// Fills in what the throttles go by.
pub(super) fn resolve(config: &mut Config, settings: &mut Settings) {
    config.connection_throttle = connection_throttle(settings);
    let number = |name: &str| settings.number(name).unwrap_or_default();
    // Java: ZooKeeperServer, where neither of the two means anything unless it is positive.
    let threshold = u32::try_from(number("zookeeper.largeRequestThreshold")).ok();
    config.large_request_threshold_bytes = threshold.filter(|bytes| *bytes > 0);
    let max = u32::try_from(number("zookeeper.largeRequestMaxBytes")).ok();
    config.large_requests_max_bytes = max.filter(|bytes| *bytes > 0).unwrap_or(100 << 20);
    config.request_throttle_max_requests = unsigned(settings, "request_throttle_max_requests");
    config.throttled_op_wait_ms = unsigned(settings, "throttled_op_wait_time");
    config.stale_requests_dropped = config.request_throttle_max_requests > 0
        && settings.bool("zookeeper.request_throttle_drop_stale")
        && settings.bool("zookeeper.request_stale_latency_check");
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

fn unsigned(settings: &Settings, name: &str) -> u32 {
    let number = settings.number(&format!("zookeeper.{name}"));
    u32::try_from(number.unwrap_or_default()).unwrap_or(0)
}
