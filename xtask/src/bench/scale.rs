//! `cargo xtask bench --scale`: what an operation costs as things grow, one series for each thing.
//!
//! A series has points, each with figures by name; it is told as a table and drawn as lines over a
//! logarithmic x. Servers write no snapshots here: how much a snapshot costs is proportional to the
//! tree by its nature, and the table has rows for it.

mod field;
mod series;
mod session;

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use super::figures::{Unit, thousands};
use super::options::Options;
use super::servers::{Kind, Place, Sample};
use super::svg::{self, Line};
use super::{documents, machine, print, write, write_json};
pub(super) use series::ALL;

/// Where `--readme` keeps the figures of the series.
const KEPT: &str = "docs/performance/scale.json";

/// Something that grows.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What is along the x axis.
    x_label: &'static str,
    panels: &'static [Panel],
    run: fn(Kind, &Options, &mut Points<'_>) -> Result<()>,
}

/// Figures of one unit, drawn together.
#[derive(Debug)]
struct Panel {
    title: &'static str,
    /// What the table calls it behind the name of a line.
    short: &'static str,
    unit: Unit,
    /// Keys of figures and what they are called.
    lines: &'static [(&'static str, &'static str)],
}

/// The figures of one server along a series.
struct Points<'s> {
    kind: Kind,
    points: &'s mut Vec<(f64, Sample)>,
}

impl Points<'_> {
    /// Takes the figures at `x`.
    fn put(&mut self, x: u64, sample: Sample) {
        let told = sample.0.iter().filter_map(|(key, value)| Some((key, value.as_f64()?)));
        let told: Vec<String> = told.map(|(key, value)| format!("{key} {value:.2}")).collect();
        let (kind, at) = (self.kind.name(), thousands(x as f64));
        eprintln!("  {kind:<7} at {at:>10}: {}", told.join(", "));
        self.points.push((x as f64, sample));
    }
}

/// What a series has shown.
struct Shown {
    series: &'static Series,
    /// By [`Kind`].
    points: [Vec<(f64, Sample)>; 2],
}

/// The series of these names, in the order of the document.
pub(super) fn named(names: &str) -> Result<Vec<&'static Series>> {
    let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
    for name in &names {
        let is_known = *name == "all" || ALL.iter().any(|series| series.name == *name);
        ensure!(is_known, "no series {name}\n{}", super::options::usage());
    }
    let is_asked = |series: &&Series| names.iter().any(|name| ["all", series.name].contains(name));
    Ok(ALL.iter().filter(is_asked).collect())
}

/// Runs the series that are asked for.
pub(super) fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let (mut failed, mut all) = (Vec::new(), Vec::new());
    for (index, series) in options.series.iter().enumerate() {
        eprintln!(
            "[{}/{}] {} ({:.0} s since the start)",
            index + 1,
            options.series.len(),
            series.title,
            start.elapsed().as_secs_f64()
        );
        let mut shown = Shown { series, points: [Vec::new(), Vec::new()] };
        for kind in options.servers.iter().copied() {
            let mut points = Points { kind, points: &mut shown.points[kind as usize] };
            if let Err(error) = (series.run)(kind, options, &mut points) {
                eprintln!("  {:<7} FAILED: {error:#}", kind.name());
                failed.push(series.name);
            }
        }
        print(&format!("## {}\n\n{}\n", series.title, shown.markdown()));
        publish(&shown, options)?;
        all.push(shown);
        if let Some(file) = &options.outputs.json {
            write_json(file, &to_json(&all, options))?;
        }
    }
    let _ = fs::remove_dir(&options.place.dir);
    eprintln!("took {:.0} s", start.elapsed().as_secs_f64());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Writes the plot, and with `--readme` the part of the document.
fn publish(shown: &Shown, options: &Options) -> Result<()> {
    let outputs = &options.outputs;
    let name = shown.series.name;
    if let Some(directory) = &outputs.svg {
        write(&directory.join(format!("{name}.svg")), &shown.plot())?;
    }
    if !outputs.readme {
        return Ok(());
    }
    let root = &outputs.root;
    write(&root.join(format!("docs/performance/{name}.svg")), &shown.plot())?;
    let text = format!(
        "![{}](performance/{name}.svg)\n\n{}\n`{}`, {}",
        shown.series.title,
        shown.markdown(),
        // A single series can be run again by itself.
        format_args!("cargo xtask bench --scale {name}"),
        machine()
    );
    documents::replace(&root.join("docs/performance.md"), name, &text)?;
    keep(&root.join(KEPT), shown, options)
}

/// Puts a series in the place of its former figures.
fn keep(file: &Path, shown: &Shown, options: &Options) -> Result<()> {
    let mut kept = match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| file.display().to_string())?,
        Err(_) => Map::new(),
    };
    kept.insert(shown.series.name.to_owned(), shown.to_json(&options.place)?);
    write_json(file, &Value::Object(kept))
}

fn to_json(all: &[Shown], options: &Options) -> Value {
    let told = all.iter().filter_map(|shown| {
        Some((shown.series.name.to_owned(), shown.to_json(&options.place).ok()?))
    });
    Value::Object(told.collect())
}

impl Shown {
    /// The figures that are told, with their units, in the order of the panels.
    fn figures(&self) -> impl Iterator<Item = (&'static Panel, &'static str, &'static str)> {
        let panels = self.series.panels.iter();
        panels.flat_map(|panel| panel.lines.iter().map(move |(key, label)| (panel, *key, *label)))
    }

    /// The kinds of servers of which there are points.
    fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        Kind::ALL.into_iter().filter(|kind| !self.points[*kind as usize].is_empty())
    }

    /// A line for each x, a column for each figure.
    fn markdown(&self) -> String {
        let mut text = format!("| {} |", self.series.x_label);
        let mut rule = String::from("|---|");
        let with_names = self.kinds().count() > 1;
        for kind in self.kinds() {
            for (panel, _, label) in self.figures() {
                let of = if with_names { format!("{}: ", kind.name()) } else { String::new() };
                text.push_str(&format!(" {of}{label}{} |", panel.short));
                rule.push_str("---|");
            }
        }
        text.extend(["\n", &rule, "\n"]);
        let mut xs: Vec<f64> = self.points.iter().flatten().map(|(x, _)| *x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        for x in xs {
            text.push_str(&format!("| {} |", thousands(x)));
            for kind in self.kinds() {
                let at = self.points[kind as usize].iter().find(|(other, _)| *other == x);
                for (panel, key, _) in self.figures() {
                    let value = at.and_then(|(_, sample)| sample.number(key).ok());
                    let cell = value.map_or(String::new(), |value| panel.unit.text(value));
                    text.push_str(&format!(" {cell} |"));
                }
            }
            text.push('\n');
        }
        text
    }

    /// The plot: a panel beside the other.
    fn plot(&self) -> String {
        let with_names = self.kinds().count() > 1;
        let panels: Vec<svg::Panel> = self
            .series
            .panels
            .iter()
            .map(|panel| {
                let lines = self.kinds().flat_map(|kind| {
                    panel.lines.iter().enumerate().map(move |(colour, (key, label))| {
                        let points = self.points[kind as usize].iter();
                        let points = points
                            .filter_map(|(x, sample)| Some((*x, sample.number(key).ok()?)))
                            .collect();
                        let of = if with_names { kind.name() } else { "" };
                        Line {
                            label: format!("{of} {label}").trim().to_owned(),
                            points,
                            colour,
                            is_dashed: kind == Kind::Apache,
                        }
                    })
                });
                let lines = lines.filter(|line| !line.points.is_empty()).collect();
                let title = format!("{}, {}", panel.title, panel.unit.name());
                svg::Panel { title, lines }
            })
            .collect();
        svg::panels(self.series.title, self.series.x_label, &panels)
    }

    fn to_json(&self, place: &Place) -> Result<Value> {
        let mut told = Map::new();
        for kind in self.kinds() {
            let points = self.points[kind as usize].iter().map(|(x, sample)| {
                let mut point = sample.0.clone();
                point.insert("x".to_owned(), Value::from(*x));
                Value::Object(point)
            });
            let title = kind.title(place)?;
            let points: Vec<Value> = points.collect();
            told.insert(kind.name().to_owned(), json!({ "title": title, "points": points }));
        }
        told.insert("machine".to_owned(), Value::from(machine()));
        Ok(Value::Object(told))
    }
}
