//! What the rows have shown: as Markdown, as bars, and as a file from which both can be made again.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::figures::{Figure, Unit};
use super::rows::{self, Row};
use super::servers::{Kind, Sample};
use super::svg::Bar;

/// A row and what each server has shown in it.
pub(super) struct Outcome {
    pub(super) row: &'static Row,
    pub(super) title: String,
    /// One of each run, by [`Kind`].
    pub(super) samples: [Vec<Sample>; 2],
    /// Why a server has none, or fewer, by [`Kind`].
    pub(super) failures: [Option<String>; 2],
}

/// All that a run of the table has shown.
pub(super) struct Results {
    /// What it was measured on.
    pub(super) machine: String,
    /// The command line, without names of files.
    pub(super) command: String,
    /// Names and versions, by [`Kind`].
    pub(super) titles: [String; 2],
    pub(super) outcomes: Vec<Outcome>,
}

impl Outcome {
    /// The median of a figure over the runs of a server.
    fn median(&self, figure: &Figure, kind: Kind) -> Option<f64> {
        let samples = &self.samples[kind as usize];
        let mut values: Vec<f64> =
            samples.iter().filter_map(|sample| sample.number(figure.key).ok()).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            count if count.is_multiple_of(2) => {
                Some(f64::midpoint(values[middle - 1], values[middle]))
            }
            _ => Some(values[middle]),
        }
    }

    /// One cell: the figure, with the notes in parentheses behind the row's first.
    fn cell(&self, index: usize, kind: Kind) -> String {
        let Some(value) = self.median(&self.row.figures[index], kind) else {
            let failed = self.failures[kind as usize].is_some();
            return if failed { "failed".to_owned() } else { String::new() };
        };
        let mut cell = self.row.figures[index].text(value);
        let notes = if index == 0 { self.row.notes } else { &[] };
        let notes: Vec<String> = notes
            .iter()
            .filter_map(|note| {
                let text = note.text(self.median(note, kind)?);
                Some(if note.unit == Unit::Rate {
                    format!("{text}{}", note.label)
                } else {
                    format!("{} {text}", note.label)
                })
            })
            .collect();
        if !notes.is_empty() {
            let _ = write!(cell, " ({})", notes.join(", "));
        }
        cell
    }

    /// A line for each figure of the row.
    fn lines(&self) -> String {
        let mut lines = String::new();
        for (index, figure) in self.row.figures.iter().enumerate() {
            let title = if index == 0 { self.title.as_str() } else { "" };
            let [apache, ostler] = Kind::ALL.map(|kind| self.median(figure, kind));
            let judged = figure.judge(apache, ostler);
            let ratio = judged.ratio.map_or(String::new(), |ratio| format!("**{ratio:.1}×**"));
            let met = judged.is_met.map_or("", |is_met| if is_met { "met" } else { "not met" });
            let [apache, ostler] = Kind::ALL.map(|kind| self.cell(index, kind));
            let _ = writeln!(
                lines,
                "| {title} | {} | {apache} | {ostler} | {ratio} | {} | {met} |",
                figure.label, judged.wanted
            );
        }
        lines
    }

    fn to_json(&self) -> Value {
        let mut servers = Map::new();
        for kind in Kind::ALL {
            let samples = &self.samples[kind as usize];
            let runs = samples.iter().map(|sample| Value::Object(sample.0.clone())).collect();
            let mut told = Map::from_iter([("runs".to_owned(), Value::Array(runs))]);
            if let Some(failure) = &self.failures[kind as usize] {
                told.insert("failure".to_owned(), Value::from(failure.as_str()));
            }
            servers.insert(kind.name().to_owned(), Value::Object(told));
        }
        json!({ "name": self.row.name, "title": self.title, "servers": servers })
    }

    /// `None`: a row that is not known any more.
    fn from_json(told: &Value) -> Option<Self> {
        let row = rows::ALL.iter().find(|row| told["name"] == row.name)?;
        let server = |kind: Kind| &told["servers"][kind.name()];
        let samples = Kind::ALL.map(|kind| {
            let runs = server(kind)["runs"].as_array().map_or(&[][..], Vec::as_slice);
            runs.iter().filter_map(|run| run.as_object().cloned().map(Sample)).collect()
        });
        let failures = Kind::ALL.map(|kind| server(kind)["failure"].as_str().map(str::to_owned));
        let title = told["title"].as_str().unwrap_or(row.title).to_owned();
        Some(Self { row, title, samples, failures })
    }
}

impl Results {
    /// Puts an outcome in its place, over an older one of the same row.
    pub(super) fn put(&mut self, outcome: Outcome) {
        self.outcomes.retain(|other| other.row.name != outcome.row.name);
        self.outcomes.push(outcome);
        let place = |name| rows::ALL.iter().position(|row| row.name == name);
        self.outcomes.sort_by_key(|outcome| place(outcome.row.name));
    }

    /// The table, with what a reader must know about it.
    pub(super) fn markdown(&self) -> String {
        let [apache, ostler] = &self.titles;
        let mut text = format!(
            "{apache} (`-Xmx1g`; `-Xmx6g` for a million znodes) and {ostler} in turn, fsync on, on \
             {} By\n\n```\n{}\n```\n\nRead the ratios, not the digits.\n\n",
            self.machine, self.command
        );
        let _ = write!(
            text,
            "| work | figure | {apache} | {ostler} | ratio | wanted | |\n|---|---|---|---|---|---|---|\n"
        );
        self.outcomes.iter().for_each(|outcome| text.push_str(&outcome.lines()));
        text
    }

    /// A bar for each figure of which there is a ratio.
    pub(super) fn bars(&self) -> Vec<Bar> {
        let mut bars = Vec::new();
        for outcome in &self.outcomes {
            for figure in outcome.row.figures {
                let [apache, ostler] = Kind::ALL.map(|kind| outcome.median(figure, kind));
                let judged = figure.judge(apache, ostler);
                if let Some(ratio) = judged.ratio.filter(|ratio| ratio.is_finite() && *ratio > 0.0)
                {
                    bars.push(Bar {
                        label: outcome.title.clone(),
                        figure: figure.label.to_owned(),
                        ratio,
                        wanted: judged.wanted_ratio,
                        is_met: judged.is_met == Some(true),
                    });
                }
            }
        }
        bars
    }

    /// Raw figures of all runs.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "machine": self.machine,
            "command": self.command,
            "titles": self.titles,
            "rows": self.outcomes.iter().map(Outcome::to_json).collect::<Vec<_>>(),
        })
    }

    /// Reads what [`Self::to_json`] has told.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read(file).with_context(|| file.display().to_string())?;
        Self::from_json(&serde_json::from_slice(&text)?)
    }

    fn from_json(told: &Value) -> Result<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows = told["rows"].as_array().context("there are no rows")?;
        Ok(Self {
            machine: text(&told["machine"]),
            command: text(&told["command"]),
            titles: [text(&told["titles"][0]), text(&told["titles"][1])],
            outcomes: rows.iter().filter_map(Outcome::from_json).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(figures: &[(&str, f64)]) -> Sample {
        let mut sample = Sample::default();
        figures.iter().for_each(|(key, value)| sample.set(key, *value));
        sample
    }

    fn outcome(name: &str, apache: Vec<Sample>, ostler: Vec<Sample>) -> Outcome {
        let row = rows::ALL.iter().find(|row| row.name == name).expect("there is such a row");
        let title = row.title.to_owned();
        Outcome { row, title, samples: [apache, ostler], failures: [None, None] }
    }

    fn results(outcomes: Vec<Outcome>) -> Results {
        let text = str::to_owned;
        let titles = [text("Apache"), text("Ostler")];
        let mut results =
            Results { machine: text("m."), command: text("c"), titles, outcomes: Vec::new() };
        outcomes.into_iter().for_each(|outcome| results.put(outcome));
        results
    }

    #[test]
    fn a_row_has_a_line_for_each_figure_and_medians_in_them() {
        let create =
            |cpu, p99| sample(&[("ops_per_cpu_s", cpu), ("p99_us", p99), ("ops_per_s", 2.0 * cpu)]);
        let apache = vec![create(10.0, 80.0), create(1_000.0, 8_000.0), create(20.0, 160.0)];
        let ostler = vec![create(130.0, 15.0), create(110.0, 5.0)];
        assert_eq!(
            outcome("create", apache, ostler).lines(),
            "| creates of 100 B, 20 connections × 10 under way | per second of the servers' CPU \
             | 20 (40/s) | 120 (240/s) | **6.0×** | 6× | met |\n\
             |  | p99 | 160 µs | 10 µs | **16.0×** | 8× | met |\n"
        );
    }

    #[test]
    fn a_failed_row_is_told() {
        let mut outcome = outcome("restart", vec![sample(&[("restart_s", 3.0)])], Vec::new());
        outcome.failures[Kind::Ostler as usize] = Some("it ended".to_owned());
        let lines = outcome.lines();
        assert!(lines.ends_with("| 3.00 s | failed |  | 15× |  |\n"), "{lines}");
    }

    #[test]
    fn kept_figures_make_the_same_table_and_new_ones_take_their_places() {
        let restart = |ostler| {
            let runs = |seconds| vec![sample(&[("restart_s", seconds)])];
            outcome("restart", runs(3.0), runs(ostler))
        };
        let single = outcome("read-single", vec![sample(&[("p50_us", 50.0)])], Vec::new());
        let first = results(vec![restart(1.0), single]);
        let mut kept = Results::from_json(&first.to_json()).expect("it is what was told");
        assert_eq!(kept.markdown(), first.markdown());
        assert_eq!(first.bars().len(), 1);
        kept.put(restart(0.1));
        let names: Vec<_> = kept.outcomes.iter().map(|outcome| outcome.row.name).collect();
        assert_eq!(names, ["read-single", "restart"]);
        assert!(kept.markdown().contains("**30.0×** | 15× | met |"), "{}", kept.markdown());
    }
}
