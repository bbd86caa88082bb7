//! `cargo xtask counts`: how many instructions the hot paths take, against the checked-in figures.
//!
//! The kernels are those of `crates/counts`. Each runs for one round and for two under cachegrind,
//! which counts instructions and nothing else here. No machine and no neighbour changes them, but
//! they are no measure of speed: what misses the cache, or waits, costs nothing.

mod functions;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

pub(crate) const USAGE: &str = "\
usage: cargo xtask counts [--write | --functions] [KERNEL ...]
  --write       renews the figures in docs/instructions.txt instead of comparing with them
  --functions   shows which functions take the instructions";

/// Counts, prints a table, and fails when a figure is not what was checked in.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (options, wanted): (Vec<_>, Vec<_>) =
        arguments.iter().map(String::as_str).partition(|word| word.starts_with('-'));
    let (writes, by_function) = match options.as_slice() {
        [] => (false, false),
        ["--write"] => (true, false),
        ["--functions"] => (false, true),
        _ => bail!("{USAGE}"),
    };
    ensure!(std::env::consts::ARCH == "x86_64", "the checked-in figures are those of x86_64");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is in the root")?;
    let program = build(root)?;
    let kernels = kernels(&program)?;
    if let Some(other) = wanted.iter().find(|name| kernels.iter().all(|known| known.name != **name))
    {
        let names: Vec<&str> = kernels.iter().map(|kernel| &*kernel.name).collect();
        bail!("no kernel is called {other}; there are {}", names.join(", "));
    }
    let is_wanted = |kernel: &Kernel| wanted.is_empty() || wanted.contains(&&*kernel.name);
    let kernels: Vec<Kernel> = kernels.into_iter().filter(is_wanted).collect();
    if by_function {
        return kernels.iter().try_for_each(|kernel| show_functions(&program, kernel));
    }
    let counts = count_all(&program, &kernels)?;
    let path = root.join(FIGURES);
    let mut known = match fs::read_to_string(&path) {
        Ok(text) => parse(&text).with_context(|| FIGURES)?,
        Err(_) if writes => BTreeMap::new(),
        Err(error) => return Err(error).context(FIGURES),
    };
    let (table, outside) = compare(&kernels, &counts, &known);
    show(&table);
    if writes {
        known.extend(kernels.into_iter().map(|kernel| kernel.name).zip(counts));
        return fs::write(&path, render(&known)).context(FIGURES);
    }
    ensure!(
        outside.is_empty(),
        "{} not within {PERCENT_MAX} % of {FIGURES}. If that is meant (or the compiler is another \
         one: {}), renew the figures with `cargo xtask counts --write` and say why in the commit.",
        outside.join(", "),
        compiler(),
    );
    Ok(())
}

#[allow(clippy::print_stdout)]
fn show(table: &str) {
    println!("{table}");
}

/// The checked-in figures, relative to the root.
const FIGURES: &str = "docs/instructions.txt";

/// How far a figure may be away, both ways: what has become better has to be held too.
const PERCENT_MAX: f64 = 3.0;

/// A hot path, as the counting program names it.
struct Kernel {
    name: String,
    /// Operations in a round.
    operations: u32,
}

fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        // With the features of the whole workspace, as the server is built.
        .args(["build", "--release", "--workspace", "--bin", "ostler-counts"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cargo build")?;
    ensure!(output.status.success(), "ostler-counts cannot be built");
    let messages = String::from_utf8(output.stdout)?;
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.context("cargo did not say where ostler-counts is")
}

fn kernels(program: &Path) -> anyhow::Result<Vec<Kernel>> {
    let output = Command::new(program).output().context("ostler-counts")?;
    let listing = String::from_utf8(output.stdout)?;
    let kernel = |line: &str| {
        let (name, operations) = line.split_once(' ').context("a name and a number")?;
        Ok(Kernel { name: name.to_owned(), operations: operations.parse()? })
    };
    listing.lines().map(kernel).collect()
}

/// Instructions for one operation of each kernel. As many run together as there are cores.
fn count_all(program: &Path, kernels: &[Kernel]) -> anyhow::Result<Vec<f64>> {
    let next = Mutex::new(0..kernels.len());
    let counts = Mutex::new(Vec::new());
    let work = || {
        loop {
            let taken = next.lock().expect("nobody panics with it").next();
            let Some(at) = taken else { return };
            let count = count(program, &kernels[at]);
            counts.lock().expect("nobody panics with it").push((at, count));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut counts = counts.into_inner()?;
    counts.sort_by_key(|(at, _)| *at);
    counts.into_iter().map(|(_, count)| count).collect()
}

fn count(program: &Path, kernel: &Kernel) -> anyhow::Result<f64> {
    let nowhere = Path::new("/dev/null");
    let once = instructions(program, &kernel.name, 1, nowhere)?;
    let twice = instructions(program, &kernel.name, 2, nowhere)?;
    let round = twice.checked_sub(once).context("two rounds took less than one")?;
    #[allow(clippy::cast_precision_loss)] // A few hundred million.
    let round = round as f64;
    Ok(round / f64::from(kernel.operations))
}

fn show_functions(program: &Path, kernel: &Kernel) -> anyhow::Result<()> {
    let files = [1, 2].map(|rounds| {
        let file = program.with_file_name(format!("{}-{rounds}.cachegrind", kernel.name));
        instructions(program, &kernel.name, rounds, &file)?;
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    });
    let [once, twice] = files;
    show(&format!("{}\n{}", kernel.name, functions::table(&once?, &twice?, kernel.operations)?));
    Ok(())
}

/// Instructions of the whole program; by functions and lines they go into a file.
fn instructions(program: &Path, kernel: &str, rounds: u32, file: &Path) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no"])
        .arg(format!("--cachegrind-out-file={}", file.display()))
        .arg(program)
        .args([kernel, &rounds.to_string()])
        .env("GLIBC_TUNABLES", NO_STRING_INSTRUCTIONS)
        .output()
        .context("valgrind (Debian's package of that name)")?;
    let report = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{kernel}: {report}");
    parse_report(&report).with_context(|| format!("no count in what valgrind says: {report}"))
}

/// The number behind `I refs:`, with commas in it.
fn parse_report(report: &str) -> Option<u64> {
    report.lines().find_map(|line| {
        let (before, number) = line.split_once("refs:")?;
        before.trim_end().ends_with('I').then(|| number.replace(',', "").trim().parse().ok())?
    })
}

/// `rep movsb` and `rep stosb` count once for each byte, and how long a copy has to be for them is
/// for each processor to say.
const NO_STRING_INSTRUCTIONS: &str = "glibc.cpu.x86_rep_movsb_threshold=0x40000000:\
                                      glibc.cpu.x86_rep_stosb_threshold=0x40000000";

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "rustc".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}

/// A table, and what is outside of what is allowed.
fn compare(
    kernels: &[Kernel],
    counts: &[f64],
    known: &BTreeMap<String, f64>,
) -> (String, Vec<String>) {
    let mut table = format!("{:<10}{:>14}{:>14}{:>10}", "", "instructions", "checked in", "");
    let mut outside = Vec::new();
    for (Kernel { name, .. }, count) in kernels.iter().zip(counts) {
        let _ = write!(table, "\n{name:<10}{count:>14.1}");
        let Some(before) = known.get(name) else {
            let _ = write!(table, "{:>14}", "none");
            outside.push(name.clone());
            continue;
        };
        let percent = (count / before - 1.0) * 100.0;
        let _ = write!(table, "{before:>14.1}{percent:>+9.1}%");
        if percent.abs() > PERCENT_MAX {
            outside.push(format!("{name} ({percent:+.1} %)"));
        }
    }
    (table, outside)
}

/// Lines of a name and a number; those with `#` say what the file is.
fn parse(text: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let (name, count) = line.split_once(' ').with_context(|| line.to_owned())?;
            let count = count.trim().parse().with_context(|| line.to_owned())?;
            Ok((name.to_owned(), count))
        })
        .collect()
}

fn render(counts: &BTreeMap<String, f64>) -> String {
    let mut text = HEADING.replace("{compiler}", &compiler());
    for (name, count) in counts {
        let _ = writeln!(text, "{name:<10}{count:>10.1}");
    }
    text
}

const HEADING: &str = "\
# Instructions of one operation of each hot path on x86_64, as `cargo xtask counts` counts them. What
# an operation is stands at the kernels in crates/counts/src/kernels. A change of more than 3 % fails;
# `cargo xtask counts --write` renews this file. Written with {compiler}.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let counts = BTreeMap::from([("read".to_owned(), 2093.4), ("log".to_owned(), 573.0)]);
        assert_eq!(parse(&render(&counts)).unwrap(), counts);
        assert!(parse("read").is_err());
        assert!(parse("read many").is_err());
    }

    #[test]
    fn the_count_is_found() {
        assert_eq!(parse_report("==1== \n==1== I   refs:      669,731,285\n"), Some(669_731_285));
        assert_eq!(parse_report("==1== I refs:        12\n"), Some(12));
        assert_eq!(parse_report("==1== D   refs:      1\n"), None);
    }

    #[test]
    fn three_percent_are_allowed_both_ways() {
        let names = ["even", "more", "less", "new"];
        let kernels = names.map(|name| Kernel { name: name.into(), operations: 1 });
        let known = BTreeMap::from(["even", "more", "less"].map(|name| (name.to_owned(), 1000.0)));
        let (_, outside) = compare(&kernels, &[1029.0, 1031.0, 969.0, 1.0], &known);
        assert_eq!(outside, ["more (+3.1 %)", "less (-3.1 %)", "new"]);
        let (_, outside) = compare(&kernels[..3], &[971.0, 1029.0, 1000.0], &known);
        assert!(outside.is_empty());
    }
}
