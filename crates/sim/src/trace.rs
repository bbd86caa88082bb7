//! What happened, one line each: printed if somebody looks, hashed in any case, and the last lines
//! kept for whoever has to explain a failure.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;

use ostler_node::clock::Time;

use crate::random::{FNV_START, fnv};

/// The record of one run.
pub(crate) struct Trace {
    hash: u64,
    last: VecDeque<String>,
    out: Option<Box<dyn Write>>,
    line: String,
}

impl Trace {
    pub(crate) fn new(out: Option<Box<dyn Write>>) -> Self {
        Self { hash: FNV_START, last: VecDeque::new(), out, line: String::new() }
    }

    /// Adds a line.
    pub(crate) fn note(&mut self, at: Time, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        use fmt::Write as _;
        self.line.clear();
        let (millis, micros) = (at.0 / 1000, at.0 % 1000);
        // Writing to a string cannot fail.
        let _ = write!(self.line, "{millis:>7}.{micros:03} {who:<4} {what}");
        self.hash = self.line.bytes().fold(self.hash, fnv);
        if let Some(out) = &mut self.out {
            // Whoever looked may have gone.
            let _ = writeln!(out, "{}", self.line);
        }
        let mut line = if self.last.len() >= LINES_KEPT {
            self.last.pop_front().unwrap_or_default()
        } else {
            String::new()
        };
        line.clone_from(&self.line);
        self.last.push_back(line);
    }

    /// The hash of all lines so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}

const LINES_KEPT: usize = 60;
