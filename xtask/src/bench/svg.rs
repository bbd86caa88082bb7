//! Two kinds of plots as SVG: bars of ratios on a logarithmic axis, and lines over a logarithmic x.
//!
//! Just enough for `docs/performance.md`: no fonts are measured, so texts have room to spare, and
//! the ground is painted white, so that a plot can be read in a dark page too.

use std::fmt::Write as _;

use super::figures::{short, thousands};

const WIDTH: f64 = 900.0;
/// Where the y axis of a panel ends and begins.
const CEILING: f64 = 66.0;
const FLOOR: f64 = 300.0;
const GREY: &str = "#8a8f98";
const GRID: &str = "#e3e6ea";
const INK: &str = "#22262b";
const MET: &str = "#2a7f62";
const UNMET: &str = "#c8742b";
/// Colours of lines, told apart by people who see fewer of them too.
const LINES: &[&str] = &["#0b66b0", "#c8742b", "#2a7f62", "#8b4a9e", "#8a8f98", "#b03a48"];

/// A ratio, and the one that is wanted.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) figure: String,
    pub(super) ratio: f64,
    pub(super) wanted: Option<f64>,
    pub(super) is_met: bool,
}

/// Lines over one x axis.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
}

/// A line through its points, which are in the order of x.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Line {
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Which of the colours; lines of the same kind share one.
    pub(super) colour: usize,
    pub(super) is_dashed: bool,
}

/// A page to draw on.
struct Page {
    text: String,
}

impl Page {
    fn new(height: f64, title: &str) -> Self {
        let mut page = Self { text: String::new() };
        let _ = write!(
            page.text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n\
             <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            escape(title)
        );
        page
    }

    fn write(&mut self, (x, y): (f64, f64), anchor: &str, colour: &str, text: &str) {
        let _ = writeln!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{}</text>",
            escape(text)
        );
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: &str, width: f64) {
        let _ = writeln!(
            self.text,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\" \
             stroke-width=\"{width}\"/>"
        );
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// A straight map from numbers to places on the page.
#[derive(Clone, Copy)]
struct Axis {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        self.start + share * (self.end - self.start)
    }
}

/// Bars of how many times better Ostler is, with a mark where it is wanted to be.
pub(super) fn bars(title: &str, bars: &[Bar]) -> String {
    const TOP: f64 = 64.0;
    const STEP: f64 = 34.0;
    /// Where the labels of bars end.
    const LABELS: f64 = 470.0;
    let bottom = TOP + STEP * bars.len() as f64;
    let mut page = Page::new(bottom + 44.0, title);
    let all = bars.iter().flat_map(|bar| [Some(bar.ratio), bar.wanted]).flatten();
    let largest = all.clone().fold(10.0, f64::max) * 1.4;
    let least = all.fold(1.0, f64::min).max(0.05) * 0.9;
    let axis =
        Axis { from: least.log10(), to: largest.log10(), start: LABELS + 10.0, end: WIDTH - 70.0 };
    page.write((12.0, 26.0), "start", INK, title);
    page.write((12.0, 44.0), "start", GREY, "Times better than Apache, logarithmic. Mark: wanted.");
    for tick in [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0] {
        if (least..=largest).contains(&tick) {
            let x = axis.at(tick.log10());
            page.line((x, TOP - 4.0), (x, bottom), if tick == 1.0 { GREY } else { GRID }, 1.0);
            page.write((x, bottom + 18.0), "middle", GREY, &format!("{}×", short(tick)));
        }
    }
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + STEP * index as f64;
        page.write((LABELS, y + 12.0), "end", INK, &bar.label);
        page.write((LABELS, y + 25.0), "end", GREY, &bar.figure);
        let (zero, end) = (axis.at(0.0), axis.at(bar.ratio.max(least).log10()));
        let colour = match (bar.wanted, bar.is_met) {
            (None, _) => GREY,
            (_, true) => MET,
            (_, false) => UNMET,
        };
        let _ = writeln!(
            page.text,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"18\" fill=\"{colour}\"/>",
            zero.min(end),
            y + 5.0,
            (end - zero).abs()
        );
        if let Some(wanted) = bar.wanted {
            let x = axis.at(wanted.max(least).log10());
            page.line((x, y), (x, y + 28.0), INK, 2.0);
        }
        let text = format!("{}×", short(bar.ratio));
        page.write((WIDTH - 14.0, y + 18.0), "end", INK, &text);
    }
    page.finish()
}

/// Panels beside each other, each with its legend.
pub(super) fn panels(title: &str, x_label: &str, panels: &[Panel]) -> String {
    let legend = panels.iter().map(|panel| panel.lines.len()).max().unwrap_or(0) as f64;
    let mut page = Page::new(FLOOR + 56.0 + 18.0 * legend, title);
    page.write((12.0, 26.0), "start", INK, title);
    let width = WIDTH / panels.len().max(1) as f64;
    for (index, panel) in panels.iter().enumerate() {
        let left = width * index as f64;
        draw_panel(&mut page, (left + 62.0, left + width - 24.0), x_label, panel);
    }
    page.finish()
}

fn draw_panel(page: &mut Page, (start, end): (f64, f64), x_label: &str, panel: &Panel) {
    let points = || panel.lines.iter().flat_map(|line| line.points.iter().copied());
    let mut xs: Vec<f64> = points().map(|(x, _)| x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let Some(least) = xs.iter().copied().find(|x| *x > 0.0) else { return };
    // Zero, which a logarithm has no place for, stands left of the first.
    let from = if xs[0] > 0.0 { least } else { least / 10.0 };
    let most = xs[xs.len() - 1].max(from * 2.0);
    let x = Axis { from: from.log10(), to: most.log10(), start, end };
    let (top, step) = scale(points().map(|(_, y)| y).fold(0.0, f64::max));
    let y = Axis { from: 0.0, to: top, start: FLOOR, end: CEILING };
    page.write((start, CEILING - 12.0), "start", INK, &panel.title);
    draw_grid(page, (x, y), step);
    page.write((f64::midpoint(start, end), FLOOR + 34.0), "middle", GREY, x_label);
    let at = |value: f64| if value > 0.0 { x.at(value.log10()) } else { start };
    for value in xs {
        page.line((at(value), FLOOR), (at(value), FLOOR + 4.0), GREY, 1.0);
        page.write((at(value), FLOOR + 17.0), "middle", GREY, &amount(value));
    }
    for (order, line) in panel.lines.iter().enumerate() {
        let colour = LINES[line.colour % LINES.len()];
        let places: Vec<_> = line.points.iter().map(|(px, py)| (at(*px), y.at(*py))).collect();
        draw_line(page, &places, colour, line.is_dashed);
        let beside = FLOOR + 54.0 + 18.0 * order as f64;
        let sample = [(start, beside - 4.0), (start + 24.0, beside - 4.0)];
        draw_line(page, &sample, colour, line.is_dashed);
        page.write((start + 32.0, beside), "start", INK, &line.label);
    }
}

fn draw_grid(page: &mut Page, (x, y): (Axis, Axis), step: f64) {
    let mut value = 0.0;
    while value <= y.to * 1.001 {
        page.line((x.start, y.at(value)), (x.end, y.at(value)), GRID, 1.0);
        page.write((x.start - 8.0, y.at(value) + 4.0), "end", GREY, &short_scale(value));
        value += step;
    }
}

fn draw_line(page: &mut Page, points: &[(f64, f64)], colour: &str, is_dashed: bool) {
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let dashes = if is_dashed { " stroke-dasharray=\"5 4\"" } else { "" };
    let _ = writeln!(
        page.text,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
        path.join(" ")
    );
    for (x, y) in points {
        let _ =
            writeln!(page.text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
}

/// A round end of an axis from zero on that holds `most`, and the step of its ticks.
fn scale(most: f64) -> (f64, f64) {
    let most = if most > 0.0 { most } else { 1.0 };
    let magnitude = 10f64.powf(most.log10().floor());
    let step = [0.2, 0.5, 1.0, 2.0]
        .into_iter()
        .map(|step| step * magnitude)
        .find(|step| most / step <= 6.0)
        .unwrap_or(2.0 * magnitude);
    ((most / step).ceil() * step, step)
}

/// A tick of a scale: no more digits than its steps have.
fn short_scale(value: f64) -> String {
    if value >= 1_000.0 || value.fract().abs() < 1e-9 {
        thousands(value)
    } else {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').to_owned()
    }
}

/// A large number on an x axis.
fn amount(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", short(value / 1e6)),
        value if value >= 1e3 => format!("{}k", short(value / 1e3)),
        value => short(value),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        assert_eq!(scale(0.0), (1.0, 0.2));
        assert_eq!(scale(3.1), (4.0, 1.0));
        assert_eq!(scale(5.9), (6.0, 1.0));
        assert_eq!(scale(95.0), (100.0, 20.0));
    }

    #[test]
    fn a_bar_is_as_long_as_the_logarithm_of_its_ratio() {
        let bar = |ratio, wanted: f64| Bar {
            label: "reads < writes".to_owned(),
            figure: "p50".to_owned(),
            ratio,
            wanted: Some(wanted),
            is_met: ratio >= wanted,
        };
        let plot = bars("x", &[bar(10.0, 5.0), bar(100.0, 200.0)]);
        assert!(plot.contains("reads &lt; writes"), "{plot}");
        let widths: Vec<f64> = plot
            .lines()
            .filter(|line| line.contains("height=\"18\""))
            .map(|line| {
                let (_, rest) = line.split_once("width=\"").expect("a width");
                rest.split('"').next().expect("a number").parse().expect("a number")
            })
            .collect();
        assert!((widths[1] / widths[0] - 2.0).abs() < 0.01, "{widths:?}");
        assert!(plot.contains(MET) && plot.contains(UNMET), "{plot}");
    }

    #[test]
    fn zero_has_a_place_on_a_logarithmic_axis() {
        let points = vec![(0.0, 1.0), (10.0, 1.0), (100.0, 2.0)];
        let line = Line { label: "writes".to_owned(), points, colour: 0, is_dashed: false };
        let panel = Panel { title: "µs".to_owned(), lines: vec![line] };
        let plot = panels("watches", "watches", &[panel]);
        // The legend has two of its own.
        assert_eq!(plot.matches("<circle").count(), 3 + 2);
        assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
    }
}
