//! `cargo xtask bench`: Ostler and Apache ZooKeeper side by side, on one machine in one run.
//!
//! Every row runs on servers of its own that are started fresh, one kind after the other, never at
//! the same time. The load comes from `ostler bench`, which speaks to both alike. A row that fails
//! is told as failed, and the others go on. The result is a Markdown table, a plot of the ratios
//! and the raw figures; with `--scale`, tables and plots of what things cost as they grow.

mod distance;
mod documents;
mod figures;
mod live;
mod million;
mod options;
mod quiet_disk;
mod rows;
mod scale;
mod servers;
mod svg;
mod table;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use options::Options;
use rows::Row;
use servers::Kind;
use table::{Outcome, Results};

const TITLE: &str = "Ostler against Apache ZooKeeper";

/// Where `--readme` keeps the figures of the table, from which it goes on the next time.
const KEPT: &str = "docs/performance/table.json";

/// Runs the command.
///
/// # Errors
/// When an option is wrong, or a row failed: then the others have been told nevertheless.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Some(options) = Options::parse(arguments)? else {
        print(&options::usage());
        return Ok(());
    };
    build_if_missing(&options)?;
    live::end_with_signals(options.place.dir.clone())?;
    if options.series.is_empty() { run_table(&options) } else { scale::run(&options) }
}

fn run_table(options: &Options) -> Result<()> {
    let mut results = begin(options)?;
    let start = Instant::now();
    let mut failed = Vec::new();
    for (index, row) in options.rows.iter().enumerate() {
        let title = row.title(options);
        eprintln!(
            "[{}/{}] {title} ({:.0} s since the start)",
            index + 1,
            options.rows.len(),
            start.elapsed().as_secs_f64()
        );
        let outcome = measure(row, title, options);
        if outcome.failures.iter().any(Option::is_some) {
            failed.push(row.name);
        }
        results.put(outcome);
        // Kept at once: what comes next may be interrupted.
        if let Some(file) = &options.outputs.json {
            write_json(file, &results.to_json())?;
        }
    }
    million::forget(options);
    print(&results.markdown());
    publish(&results, options)?;
    eprintln!("took {:.0} s", start.elapsed().as_secs_f64());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Results without any row, or those of an earlier run whose rows are run again in part.
fn begin(options: &Options) -> Result<Results> {
    let kept = options.outputs.root.join(KEPT);
    let is_whole = options.rows.len() == rows::ALL.len();
    let earlier = match &options.outputs.from {
        Some(file) => Some(file.as_path()),
        None if options.outputs.readme && !is_whole && kept.exists() => Some(kept.as_path()),
        None => None,
    };
    if let Some(file) = earlier {
        return Results::read(file);
    }
    Ok(Results {
        machine: machine(),
        command: options.command.clone(),
        titles: [Kind::Apache.title(&options.place)?, Kind::Ostler.title(&options.place)?],
        outcomes: Vec::new(),
    })
}

/// Runs a row on each server. The servers take turns, so that what else the machine does meets
/// both.
fn measure(row: &'static Row, title: String, options: &Options) -> Outcome {
    let mut outcome =
        Outcome { row, title, samples: [Vec::new(), Vec::new()], failures: [None, None] };
    let repeat = if row.is_repeatable() { options.repeat.max(1) } else { 1 };
    for _ in 0..repeat {
        for kind in options.servers.iter().copied() {
            let before_us = distance::cores_apart_us();
            match row.measure(kind, options) {
                Ok(mut sample) => {
                    let apart_us = before_us.max(distance::cores_apart_us());
                    sample.set(rows::CORES_APART.key, apart_us);
                    let figures = row.figures.iter().chain(row.notes);
                    let told: Vec<String> = figures
                        .filter_map(|figure| {
                            let value = sample.number(figure.key).ok()?;
                            Some(format!("{} {}", figure.label, figure.text(value)))
                        })
                        .collect();
                    eprintln!("  {:<7} {}", kind.name(), told.join(", "));
                    outcome.samples[kind as usize].push(sample);
                }
                Err(error) => {
                    eprintln!("  {:<7} FAILED: {error:#}", kind.name());
                    outcome.failures[kind as usize] = Some(format!("{error:#}"));
                }
            }
        }
    }
    outcome
}

/// Writes the files that were asked for.
fn publish(results: &Results, options: &Options) -> Result<()> {
    let outputs = &options.outputs;
    if let Some(file) = &outputs.json {
        write_json(file, &results.to_json())?;
    }
    if let Some(file) = &outputs.markdown {
        documents::write(file, "table", &results.markdown())?;
    }
    let plot = svg::bars(TITLE, &results.bars());
    if let Some(file) = &outputs.svg {
        write(file, &plot)?;
    }
    if outputs.readme {
        let markdown = results.markdown();
        documents::replace(&outputs.root.join("README.md"), "table", &markdown)?;
        let with_plot = format!("{markdown}\n![{TITLE}](performance/ratios.svg)");
        documents::replace(&outputs.root.join("docs/performance.md"), "table", &with_plot)?;
        write(&outputs.root.join("docs/performance/ratios.svg"), &plot)?;
        write_json(&outputs.root.join(KEPT), &results.to_json())?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    fs::write(file, text).with_context(|| file.display().to_string())
}

fn write_json(file: &Path, value: &Value) -> Result<()> {
    write(file, &format!("{}\n", spread(value)))
}

/// JSON with a line for each thing that holds nothing but plain values: a run is one.
fn spread(value: &Value) -> String {
    let holds_more = |value: &Value| value.is_object() || value.is_array();
    let (open, entries, close) = match value {
        Value::Object(map) if map.values().any(holds_more) => {
            let entry = |(key, value)| format!("{}: {}", Value::from(key as &str), spread(value));
            ("{", map.iter().map(entry).collect::<Vec<_>>(), "}")
        }
        Value::Array(list) if list.iter().any(holds_more) => {
            ("[", list.iter().map(spread).collect(), "]")
        }
        plain => return plain.to_string(),
    };
    format!("{open}\n{}\n{close}", entries.join(",\n"))
}

fn build_if_missing(options: &Options) -> Result<()> {
    if options.place.ostler.exists() {
        return Ok(());
    }
    eprintln!("building {}", options.place.ostler.display());
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "-p", "ostler-cli"])
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success() && options.place.ostler.exists(), "the build failed");
    Ok(())
}

/// What the figures were measured on, as a sentence without its beginning.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // What else the machine does meets both servers, yet not alike: a reader should know of it.
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    format!(
        "{cores} cores of {model}, which load and servers share over loopback; load average of \
         the machine before the run: {load}."
    )
}

// This is a command: its result belongs on standard output.
#[allow(clippy::print_stdout)]
fn print(text: &str) {
    print!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_figures_have_a_line_for_each_run() {
        let value = serde_json::json!({ "rows": [{ "a": 1, "b": [1, 2] }, { "a": 1.5 }] });
        let text = spread(&value);
        assert_eq!(text, "{\n\"rows\": [\n{\n\"a\": 1,\n\"b\": [1,2]\n},\n{\"a\":1.5}\n]\n}");
        let read: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(read, value);
    }
}
