//! What a bench found: the same figures as lines for people and as one JSON object.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// One figure or word of a report.
enum Value {
    Number(f64),
    Text(String),
}

/// Named figures in the order in which they are told, and the lines for people.
#[derive(Default)]
pub(crate) struct Report {
    values: Vec<(String, Value)>,
    lines: String,
}

const PERCENTILES: &[(&str, f64)] = &[
    ("p50", 50.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
    ("max", 100.0),
];

impl Report {
    pub(crate) fn number(&mut self, name: &str, value: f64) {
        self.values.push((name.to_owned(), Value::Number(value)));
    }

    /// The figure of this name, if it was found.
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        self.values.iter().find_map(|(other, value)| match value {
            Value::Number(number) if other == name => Some(*number),
            _ => None,
        })
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.values.push((name.to_owned(), Value::Text(value.to_owned())));
    }

    /// A line for people.
    pub(crate) fn line(&mut self, line: &str) {
        self.lines.push_str(line);
        self.lines.push('\n');
    }

    /// Percentiles of latencies in nanoseconds, as `<prefix>p50_us` and so on.
    pub(crate) fn latencies(&mut self, title: &str, prefix: &str, latencies: &Histogram<u64>) {
        if latencies.is_empty() {
            return;
        }
        let mut line = format!("  {title:<9}");
        for (name, percentile) in PERCENTILES {
            let ns = latencies.value_at_percentile(*percentile);
            let us = count(ns) / 1000.0;
            self.number(&format!("{prefix}{}_us", name.replace('.', "_")), us);
            let _ = write!(line, "  {name} {}", duration(us));
        }
        self.line(&line);
    }

    /// The lines.
    pub(crate) fn into_lines(self) -> String {
        self.lines
    }

    /// The figures as one JSON object on one line.
    pub(crate) fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (index, (name, value)) in self.values.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = match value {
                Value::Number(number) if number.fract() == 0.0 => {
                    write!(json, "{comma}\"{name}\": {number:.0}")
                }
                Value::Number(number) => write!(json, "{comma}\"{name}\": {number:.3}"),
                Value::Text(text) => write!(json, "{comma}\"{name}\": \"{}\"", escape(text)),
            };
        }
        json.push_str("}\n");
        json
    }
}

/// A count as a figure; counts here stay far below 2^52.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

/// A time given in microseconds, in the unit that suits it.
pub(crate) fn duration(us: f64) -> String {
    if us < 1_000.0 {
        format!("{us:.0} µs")
    } else if us < 1_000_000.0 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}

/// A number of bytes in the unit that suits it.
pub(crate) fn size(bytes: f64) -> String {
    if bytes.abs() < 10_240.0 {
        format!("{bytes:.0} B")
    } else if bytes.abs() < 10_240.0 * 1024.0 {
        format!("{:.0} KiB", bytes / 1024.0)
    } else {
        format!("{:.0} MiB", bytes / (1024.0 * 1024.0))
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_twice() {
        let mut report = Report::default();
        report.text("workload", "a \"b\"\n");
        report.number("ops", 12.0);
        report.number("ratio", 0.25);
        report.line("12 ops");
        assert_eq!(
            report.to_json(),
            "{\"workload\": \"a \\\"b\\\"\\u000a\", \"ops\": 12, \"ratio\": 0.250}\n"
        );
        assert_eq!(report.figure("ratio"), Some(0.25));
        assert_eq!(report.figure("workload"), None);
        assert_eq!(report.into_lines(), "12 ops\n");
    }
}
