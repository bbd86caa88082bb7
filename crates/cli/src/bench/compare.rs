//! `--compare`: one load on two services in turn, and what the one is in terms of the other.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::options::{Plan, Target};
use super::outcome::Outcome;
use super::report::Report;

/// One side of a comparison.
struct Side {
    target: Target,
    /// All rounds so far.
    outcome: Option<Outcome>,
    rates: Vec<f64>,
}

/// Runs `load` on both, round by round, and tells what was found as text or as JSON.
///
/// Who begins changes with each round, so that neither always finds the machine as the other left
/// it. `note` is told after each run.
pub(super) fn run(
    plan: &Plan,
    targets: [Target; 2],
    rounds: u32,
    json: bool,
    load: impl Fn(&Plan, &Target) -> Result<Outcome>,
    note: impl Fn(&str),
) -> Result<String> {
    let mut sides = targets.map(|target| Side { target, outcome: None, rates: Vec::new() });
    for round in 0..rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for at in order {
            let side = &mut sides[at];
            let name = side.target.servers.join(",");
            let outcome = load(plan, &side.target).with_context(|| format!("on {name}"))?;
            let mut told = format!("round {} of {rounds}: {name}", round + 1);
            if let Some(rate) = outcome.rate() {
                side.rates.push(rate);
                let _ = write!(told, ": {rate:.0} operations per second");
            }
            note(&told);
            match &mut side.outcome {
                None => side.outcome = Some(outcome),
                Some(joined) => joined.join(outcome),
            }
        }
    }
    let reports = sides.each_ref().map(|side| {
        let outcome = side.outcome.as_ref().expect("there was a round");
        outcome.tell(plan, &side.target)
    });
    Ok(if json { to_json(plan, rounds, &sides, &reports) } else { table(plan, &sides, &reports) })
}

/// A figure that is compared: its name, its title, and whether more of it is better.
type Figure = (&'static str, &'static str, bool);

/// What there is to compare, as far as a load has it.
const FIGURES: &[Figure] = &[
    ("ops_per_s", "operations per second", true),
    ("server_cpu_us_per_op", "CPU µs per operation", false),
    ("server_resident_bytes", "resident bytes", false),
    ("bytes_per_item", "bytes for each", false),
    ("p50_us", "p50 µs", false),
    ("p90_us", "p90 µs", false),
    ("p99_us", "p99 µs", false),
    ("p99_9_us", "p99.9 µs", false),
    ("p99_99_us", "p99.99 µs", false),
    ("max_us", "max µs", false),
    ("last_p50_us", "last p50 µs", false),
    ("last_p99_us", "last p99 µs", false),
    ("last_max_us", "last max µs", false),
    ("each_p50_us", "each p50 µs", false),
    ("each_p99_us", "each p99 µs", false),
    ("errors", "errors", false),
];

/// How many times better the first of two is; `None` where that has no meaning.
fn factor(higher_is_better: bool, [server, compare]: [f64; 2]) -> Option<f64> {
    let factor = if higher_is_better { server / compare } else { compare / server };
    (server > 0.0 && compare > 0.0).then_some(factor)
}

/// Name, title, both values, and the factor.
fn rows(reports: &[Report; 2]) -> Vec<(&'static str, &'static str, [f64; 2], Option<f64>)> {
    let mut rows = Vec::new();
    for (name, title, higher_is_better) in FIGURES {
        let [Some(server), Some(compare)] = reports.each_ref().map(|report| report.figure(name))
        else {
            continue;
        };
        let both = [server, compare];
        rows.push((*name, *title, both, factor(*higher_is_better, both)));
    }
    rows
}

fn table(plan: &Plan, sides: &[Side; 2], reports: &[Report; 2]) -> String {
    let names = sides.each_ref().map(|side| side.target.servers.join(","));
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(12);
    let mut text = format!("{}\n\n", plan.describe());
    let _ = writeln!(text, "{:<24} {:>width$} {:>width$}  factor", "", names[0], names[1]);
    for (_, title, [server, compare], factor) in rows(reports) {
        let [server, compare] = [server, compare].map(plain);
        let _ = write!(text, "{title:<24} {server:>width$} {compare:>width$}");
        match factor {
            Some(factor) => {
                let _ = writeln!(text, "  {factor:>6.2}");
            }
            None => text.push('\n'),
        }
    }
    let _ = writeln!(text, "\nA factor above 1: {} is the better one.", names[0]);
    for (side, name) in sides.iter().zip(names) {
        if side.rates.len() > 1 {
            let rates: Vec<_> = side.rates.iter().map(|rate| format!("{rate:.0}")).collect();
            let _ = writeln!(text, "rounds on {name}: {} per second", rates.join(", "));
        }
        let error = side.outcome.as_ref().and_then(|outcome| outcome.first_error.as_ref());
        if let Some(error) = error {
            let _ = writeln!(text, "first error: {error}");
        }
    }
    text
}

/// A figure with as many digits as say something.
fn plain(value: f64) -> String {
    if value >= 100.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn to_json(plan: &Plan, rounds: u32, sides: &[Side; 2], reports: &[Report; 2]) -> String {
    let mut factors = Report::default();
    for (name, _, _, factor) in rows(reports) {
        if let Some(factor) = factor {
            factors.number(name, factor);
        }
    }
    let rates = sides.each_ref().map(|side| {
        let rates: Vec<_> = side.rates.iter().map(|rate| format!("{rate:.3}")).collect();
        rates.join(", ")
    });
    format!(
        "{{\"workload\": \"{}\", \"rounds\": {rounds}, \"server\": {}, \"compare\": {}, \
         \"factor\": {}, \"server_ops_per_s\": [{}], \"compare_ops_per_s\": [{}]}}\n",
        plan.workload.name,
        reports[0].to_json().trim_end(),
        reports[1].to_json().trim_end(),
        factors.to_json().trim_end(),
        rates[0],
        rates[1],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_above_one_favours_the_first() {
        assert_eq!(factor(true, [300.0, 100.0]), Some(3.0));
        assert_eq!(factor(false, [5.0, 10.0]), Some(2.0));
        assert_eq!(factor(false, [0.0, 10.0]), None);
    }
}
