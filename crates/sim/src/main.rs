//! `ostler-sim`: runs seeds and says what came of them.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use ostler_sim::Stats;
use ostler_sim::options::{Options, Plant};
use ostler_sim::recipes;
use ostler_sim::run::{Failure, options, plan, run, run_twice, shrink};

/// Simulates ensembles, one for each seed.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This one alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Let clients use recipes instead of asking at random.
    #[arg(long)]
    recipes: bool,
    /// Print everything that happens.
    #[arg(long)]
    trace: bool,
    /// Run each seed twice; both runs must be the same.
    #[arg(long)]
    twice: bool,
    /// Leave faults out of the plan of the first seed that fails as long as it fails.
    #[arg(long)]
    shrink: bool,
    /// Make this mistake on purpose.
    #[arg(long, value_parser = parse_plant)]
    plant: Option<Plant>,
    /// How many threads run seeds.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Go on when a seed fails.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seeds = match arguments.seed {
        Some(seed) => seed..seed + 1,
        None => arguments.from..arguments.from + arguments.seeds,
    };
    let start = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Total::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || total.lock().is_ok_and(|total| total.stop) {
                        return;
                    }
                    let outcome = one(&arguments, &drawn(&arguments, seed));
                    if let Ok(mut total) = total.lock() {
                        total.add(&arguments, outcome);
                    }
                }
            });
        }
    });
    let Ok(total) = total.into_inner() else { return ExitCode::FAILURE };
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    say(&total.summary(minutes));
    if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn drawn(arguments: &Arguments, seed: u64) -> Options {
    match arguments.recipes {
        true => recipes::options(seed, arguments.plant),
        false => options(seed, arguments.plant),
    }
}

fn one(arguments: &Arguments, options: &Options) -> Result<Stats, Box<Failure>> {
    if arguments.trace {
        run(options, Some(Box::new(std::io::stdout())))
    } else if arguments.twice {
        run_twice(options)
    } else {
        run(options, None)
    }
}

#[derive(Default)]
struct Total {
    stats: Stats,
    passed: u64,
    failed: u64,
    stop: bool,
}

impl Total {
    fn add(&mut self, arguments: &Arguments, outcome: Result<Stats, Box<Failure>>) {
        match outcome {
            Ok(stats) => {
                self.passed += 1;
                self.stats.commits += stats.commits;
                self.stats.txns += stats.txns;
                self.stats.faults += stats.faults;
                self.stats.reigns += stats.reigns;
                self.stats.snapshots_sent += stats.snapshots_sent;
                self.stats.truncations += stats.truncations;
                self.stats.reloads += stats.reloads;
                self.stats.micros += stats.micros;
                self.stats.answers += stats.answers;
                self.stats.deeds += stats.deeds;
            }
            Err(failure) => {
                self.failed += 1;
                explain(arguments, &failure);
                self.stop = !arguments.keep_going;
            }
        }
    }

    fn summary(&self, minutes: f64) -> String {
        let Stats { commits, txns, faults, reigns, micros, answers, deeds, .. } = self.stats;
        let Stats { snapshots_sent, truncations, reloads, .. } = self.stats;
        let seeds = self.passed + self.failed;
        // What is printed is rounded anyway.
        #[allow(clippy::cast_precision_loss)]
        let (rate, hours) = (seeds as f64 / minutes, micros as f64 / 3.6e9);
        format!(
            "{seeds} seeds, {} failed; {rate:.0} seeds a minute, {hours:.2} simulated hours, \
             {faults} faults, {reigns} reigns, {snapshots_sent} SNAP, {truncations} TRUNC \
             ({reloads} of them with a reload), {txns} transactions, {commits} commits, \
             {answers} answers, {deeds} deeds",
            self.failed
        )
    }
}

fn explain(arguments: &Arguments, failure: &Failure) {
    let Failure { seed, message, tail } = failure;
    let mut text = String::new();
    if !arguments.keep_going && !arguments.trace {
        text.push_str(&tail.join("\n"));
        text.push('\n');
    }
    let planted = arguments.plant.map_or_else(String::new, |plant| {
        let name = Plant::ALL.iter().find(|(_, known)| *known == plant).map_or("", |(n, _)| n);
        format!(" --plant {name}")
    });
    text.push_str(&format!("seed {seed} failed: {message}\n"));
    let recipes = if arguments.recipes { " --recipes" } else { "" };
    text.push_str(&format!("again: ostler-sim{recipes} --seed {seed}{planted} --trace\n"));
    if arguments.shrink {
        let least = shrink(&drawn(arguments, *seed));
        text.push_str(&format!("these faults are enough: {}", plan(&least)));
    }
    say(&text);
}

fn parse_plant(name: &str) -> Result<Plant, String> {
    let found = Plant::ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, plant)| *plant).ok_or_else(|| {
        let names: Vec<&str> = Plant::ALL.iter().map(|(name, _)| *name).collect();
        format!("one of {}", names.join(", "))
    })
}

fn say(text: &str) {
    // Whoever listened may have gone.
    let _ = writeln!(std::io::stdout(), "{text}");
}
