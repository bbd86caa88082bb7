//! The lines of a session, by number, for `history` and `redo`.

/// Every line so far.
#[derive(Debug, Default)]
pub(super) struct History {
    lines: Vec<String>,
    /// The line that is being run, counted from 0.
    current: usize,
}

/// How many lines before the present one `history` shows.
const SHOWN: usize = 10;

impl History {
    /// A line is about to be run.
    pub(super) fn begin(&mut self, line: &str) {
        self.current = self.lines.len();
        self.lines.push(line.to_string());
    }

    /// It has been run.
    pub(super) fn finish(&mut self) {
        self.current = self.lines.len();
    }

    /// The number of the line that is being run, or is run next.
    pub(super) fn number(&self) -> usize {
        self.current
    }

    /// A line that was run before.
    pub(super) fn line(&self, number: usize) -> Option<&str> {
        self.lines.get(number).filter(|_| number < self.current).map(String::as_str)
    }

    /// Puts the line of this number in the place of the `redo` that repeats it.
    pub(super) fn repeat(&mut self, number: usize) {
        if let Some(line) = self.line(number).map(str::to_string)
            && let Some(present) = self.lines.get_mut(self.current)
        {
            *present = line;
        }
    }

    /// The last lines and the present one, as they are shown.
    pub(super) fn shown(&self) -> Vec<String> {
        (self.current.saturating_sub(SHOWN)..=self.current)
            // Java: a command run once is not in the history, which prints null for it.
            .map(|number| {
                format!("{number} - {}", self.lines.get(number).map_or("null", String::as_str))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_shown_with_their_numbers() {
        let mut history = History::default();
        assert_eq!(history.shown(), ["0 - null"]);
        for number in 0..12 {
            history.begin(&format!("line {number}"));
            history.finish();
        }
        history.begin("history");
        assert_eq!(history.number(), 12);
        let shown = history.shown();
        assert_eq!(shown.len(), 11);
        assert_eq!(shown[0], "2 - line 2");
        assert_eq!(shown[10], "12 - history");
    }

    #[test]
    fn a_repeated_line_stands_in_the_history_instead_of_the_redo() {
        let mut history = History::default();
        history.begin("ls /");
        history.finish();
        history.begin("redo 0");
        assert_eq!(history.line(1), None);
        assert_eq!(history.line(0), Some("ls /"));
        history.repeat(0);
        assert_eq!(history.shown(), ["0 - ls /", "1 - ls /"]);
    }
}
