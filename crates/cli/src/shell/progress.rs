//! Bars on stderr for work that takes a while; nothing is seen of them where that is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar for so many znodes.
pub(super) fn bar(len: usize) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(u64::try_from(len).ok(), target);
    match ProgressStyle::with_template("{wide_bar} {pos}/{len} znodes, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// How many znodes were done, for a bar.
pub(super) fn advance(bar: &ProgressBar, count: usize) {
    bar.inc(u64::try_from(count).unwrap_or(0));
}
