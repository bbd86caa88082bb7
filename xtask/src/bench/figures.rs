//! What is compared in a row: a figure, its unit, and what it has to be.

/// A figure of a row, found in its samples by `key`.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) key: &'static str,
    /// What the table calls it.
    pub(super) label: &'static str,
    pub(super) unit: Unit,
    pub(super) wanted: Wanted,
}

/// Units, which also say what is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    Bytes,
    Micros,
    /// Operations per second, of the clock or of the server's CPU: more is better.
    Rate,
    Seconds,
    /// So many times as much.
    Times,
}

/// What Ostler has to reach.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Wanted {
    /// At most this, whatever Apache's is.
    AtMost(f64),
    /// So many times better than Apache.
    Better(f64),
    /// Told for the reader.
    Nothing,
}

/// A figure of both servers, judged.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Judged {
    /// How many times better than Apache.
    pub(super) ratio: Option<f64>,
    /// The ratio that is wanted; without Apache there is none for a limit.
    pub(super) wanted_ratio: Option<f64>,
    pub(super) wanted: String,
    pub(super) is_met: Option<bool>,
}

impl Figure {
    /// A value of this figure in its unit.
    pub(super) fn text(&self, value: f64) -> String {
        self.unit.text(value)
    }

    /// Compares the servers with what is wanted.
    pub(super) fn judge(&self, apache: Option<f64>, ostler: Option<f64>) -> Judged {
        let ratio = apache.zip(ostler).map(|(apache, ostler)| self.unit.ratio(apache, ostler));
        let (wanted, wanted_ratio, is_met) = match self.wanted {
            Wanted::Nothing => (String::new(), None, None),
            Wanted::Better(times) => {
                (format!("{}×", short(times)), Some(times), ratio.map(|ratio| ratio >= times))
            }
            Wanted::AtMost(most) => (
                format!("≤ {}", self.text(most)),
                apache.map(|apache| self.unit.ratio(apache, most)),
                ostler.map(|ostler| ostler <= most),
            ),
        };
        Judged { ratio, wanted_ratio, wanted, is_met }
    }
}

impl Unit {
    /// How many times better the second is than the first.
    fn ratio(self, first: f64, second: f64) -> f64 {
        match self {
            Self::Rate => second / first,
            Self::Bytes | Self::Micros | Self::Seconds | Self::Times => first / second,
        }
    }

    /// The unit alone, as an axis has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bytes => "B",
            Self::Micros => "µs",
            Self::Rate => "per second",
            Self::Seconds => "s",
            Self::Times => "times",
        }
    }

    /// A value with its unit.
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Self::Bytes => format!("{} B", thousands(value)),
            Self::Micros if value < 1_000.0 => format!("{} µs", short(value)),
            Self::Micros => format!("{:.1} ms", value / 1e3),
            Self::Rate => thousands(value),
            Self::Seconds => format!("{value:.2} s"),
            Self::Times => format!("{value:.2}×"),
        }
    }
}

/// A number with as many digits as it is read for.
pub(super) fn short(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A number with a comma between thousands.
pub(super) fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::from(if number <= -0.5 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(thousands(0.0), "0");
        assert_eq!(thousands(999.6), "1,000");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(-1_234.0), "-1,234");
        assert_eq!(thousands(-0.2), "0");
    }

    #[test]
    fn figures_are_told_in_their_units() {
        assert_eq!(Unit::Micros.text(17.96), "18.0 µs");
        assert_eq!(Unit::Micros.text(6_120.0), "6.1 ms");
        assert_eq!(Unit::Bytes.text(3_146.2), "3,146 B");
        assert_eq!(Unit::Times.text(1.5), "1.50×");
    }

    #[test]
    fn a_ratio_says_how_much_better_ostler_is() {
        let figure = |unit, wanted| Figure { key: "x", label: "x", unit, wanted };
        let rate = figure(Unit::Rate, Wanted::Better(8.0)).judge(Some(10.0), Some(80.0));
        assert_eq!((rate.ratio, rate.is_met), (Some(8.0), Some(true)));
        assert_eq!(rate.wanted, "8×");
        let p99 = figure(Unit::Micros, Wanted::Better(8.0)).judge(Some(70.0), Some(10.0));
        assert_eq!((p99.ratio, p99.is_met), (Some(7.0), Some(false)));
        let bytes = figure(Unit::Bytes, Wanted::AtMost(230.0)).judge(Some(2_300.0), Some(300.0));
        assert_eq!((bytes.wanted_ratio, bytes.is_met), (Some(10.0), Some(false)));
        assert_eq!(bytes.wanted, "≤ 230 B");
        let alone = figure(Unit::Bytes, Wanted::AtMost(230.0)).judge(None, Some(200.0));
        assert_eq!((alone.ratio, alone.is_met), (None, Some(true)));
    }
}
