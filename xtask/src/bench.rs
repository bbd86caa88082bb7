//! `cargo xtask bench`: Ostler and Apache ZooKeeper side by side, on one machine in one run.
//!
//! Every row runs on servers of its own that are started fresh, one after the other, never at the
//! same time. The load comes from `ostler bench`, which speaks to both alike. The result is a
//! Markdown table.

mod million;
mod rows;
mod servers;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use rows::Row;
use servers::{Kind, Place};

const USAGE: &str = "usage: cargo xtask bench [option ...]
  --rows NAME,...    only these rows
  --servers NAME,... apache, ostler or both (both)
  --seconds N        measured time of each load (10)
  --warmup N         time before it, for the sake of Java's compiler (5)
  --repeat N         runs of each row, in turn for each server; the best counts (1)
  --count N          znodes of the large rows (1000000)
  --ostler FILE      the binary (target/release/ostler, built if it is missing)
  --dir DIR          where the servers keep their data (the system's temporary directory)
rows: ";

/// What the command line asks for.
#[derive(Clone, Debug)]
struct Options {
    rows: Vec<&'static Row>,
    servers: Vec<Kind>,
    seconds: f64,
    warmup: f64,
    repeat: u32,
    count: u64,
    place: Place,
}

/// One server's result in one row.
#[derive(Clone, Debug)]
struct Cell {
    /// What is compared.
    value: f64,
    text: String,
}

/// Runs the command.
///
/// # Errors
/// When an option is wrong, a server does not start or a load fails.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = parse(arguments)?;
    let machine = machine();
    let mut table = String::from("| |");
    for kind in &options.servers {
        table.push_str(&format!(" {} |", kind.title(&options.place)?));
    }
    let compared = options.servers.len() == 2;
    table.push_str(if compared { " factor |\n|---|---|---|---|\n" } else { "\n|---|---|\n" });
    for row in &options.rows {
        eprintln!("{}", title(row, &options));
        let cells = measure(row, &options)?;
        table.push_str(&line(row, &title(row, &options), &cells));
    }
    million::forget(&options);
    print(&format!("{machine}\n\n{table}"));
    Ok(())
}

/// The best result of each server. The servers take turns, so that what else the machine does
/// meets both.
fn measure(row: &Row, options: &Options) -> Result<Vec<Cell>> {
    let mut best: Vec<Option<Cell>> = options.servers.iter().map(|_| None).collect();
    let repeat = if row.is_repeatable() { options.repeat.max(1) } else { 1 };
    for _ in 0..repeat {
        for (kind, best) in options.servers.iter().zip(&mut best) {
            let cell = row.measure(*kind, options)?;
            eprintln!("  {:<7} {}", kind.name(), cell.text);
            let is_better = best.as_ref().is_none_or(|best| {
                if row.higher_is_better { cell.value > best.value } else { cell.value < best.value }
            });
            if is_better {
                *best = Some(cell);
            }
        }
    }
    Ok(best.into_iter().flatten().collect())
}

fn title(row: &Row, options: &Options) -> String {
    row.title.replace("1,000,000", &thousands(options.count as f64))
}

fn line(row: &Row, title: &str, cells: &[Cell]) -> String {
    let mut line = format!("| {title} |");
    for cell in cells {
        line.push_str(&format!(" {} |", cell.text));
    }
    if let [apache, ostler] = cells {
        let factor = if row.higher_is_better {
            ostler.value / apache.value
        } else {
            apache.value / ostler.value
        };
        line.push_str(&format!(" **{factor:.1}** |"));
    }
    line.push('\n');
    line
}

fn parse(arguments: &[String]) -> Result<Options> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut options = Options {
        rows: rows::ALL.iter().collect(),
        servers: vec![Kind::Apache, Kind::Ostler],
        seconds: 10.0,
        warmup: 5.0,
        repeat: 1,
        count: 1_000_000,
        place: Place {
            ostler: target.join("release/ostler"),
            apache: root.join("interop/apache"),
            dir: std::env::temp_dir().join(format!("ostler-bench-{}", std::process::id())),
        },
    };
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        let names = || rows::ALL.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        if name == "--help" {
            print(&format!("{USAGE}{}\n", names()));
            std::process::exit(0);
        }
        let value = arguments.next().with_context(|| format!("{USAGE}{}", names()))?;
        match name.as_str() {
            "--rows" => {
                let find = |name| rows::ALL.iter().find(|row| row.name == name);
                options.rows = value
                    .split(',')
                    .map(|name| find(name).with_context(|| format!("no row {name}: {}", names())))
                    .collect::<Result<_>>()?;
            }
            "--servers" => {
                let kinds = [Kind::Apache, Kind::Ostler];
                options.servers = kinds
                    .into_iter()
                    .filter(|kind| value.split(',').any(|name| name == kind.name()))
                    .collect();
                ensure!(!options.servers.is_empty(), "--servers knows apache and ostler");
            }
            "--seconds" => options.seconds = value.parse().context("--seconds takes a number")?,
            "--warmup" => options.warmup = value.parse().context("--warmup takes a number")?,
            "--repeat" => options.repeat = value.parse().context("--repeat takes a number")?,
            "--count" => options.count = value.parse().context("--count takes a number")?,
            "--ostler" => options.place.ostler = PathBuf::from(value),
            "--dir" => options.place.dir = PathBuf::from(value).join("ostler-bench"),
            other => bail!("unknown option {other}\n{USAGE}{}", names()),
        }
    }
    build_if_missing(&options)?;
    Ok(options)
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

/// What the numbers were measured on.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // What else the machine does meets both servers, yet not alike: a reader should know of it.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    format!(
        "{cores} cores of {model}; server and load share them. \
         Load average of the machine before the run: {load}."
    )
}

// This is a command: its result belongs on standard output.
#[allow(clippy::print_stdout)]
fn print(text: &str) {
    print!("{text}");
}

/// A number with a comma between thousands.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds as milliseconds.
fn milliseconds(us: f64) -> String {
    if us < 1_000.0 { format!("{:.3} ms", us / 1e3) } else { format!("{:.1} ms", us / 1e3) }
}

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(thousands(0.0), "0");
        assert_eq!(thousands(999.6), "1,000");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
    }
}
