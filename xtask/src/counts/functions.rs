//! Where the instructions of a kernel are: a round of it by functions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;

/// Instructions by function, as cachegrind writes them to its file: under each `fn=` the lines of
/// its source with what they took.
pub(super) fn parse(file: &str) -> anyhow::Result<BTreeMap<&str, u64>> {
    let mut functions = BTreeMap::new();
    let mut function = "";
    for line in file.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let count = line.split_once(' ').and_then(|(_, count)| count.trim().parse().ok());
            let count: u64 = count.with_context(|| format!("no count in {line:?}"))?;
            *functions.entry(function).or_default() += count;
        }
    }
    Ok(functions)
}

/// What the second round added, for one operation, the most expensive first.
pub(super) fn table(once: &str, twice: &str, operations: u32) -> anyhow::Result<String> {
    let (once, twice) = (parse(once)?, parse(twice)?);
    let before = |name: &str| once.get(name).copied().unwrap_or(0);
    let mut added: Vec<(u64, &str)> =
        twice.iter().map(|(name, count)| (count.saturating_sub(before(name)), *name)).collect();
    added.sort_by(|one, other| other.cmp(one));
    let mut table = String::new();
    let is_shown = |(count, _): &(u64, &str)| *count > u64::from(operations) / 10;
    for (count, name) in added.into_iter().take(ROWS).take_while(is_shown) {
        #[allow(clippy::cast_precision_loss)] // A few hundred million.
        let each = count as f64 / f64::from(operations);
        let _ = writeln!(table, "{each:>10.1}  {name}");
    }
    Ok(table)
}

/// The rest is small change.
const ROWS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_round_counts() {
        let file = "desc: x\nevents: Ir\nfl=a.rs\nfn=start\n1 100\n7 50\nfn=hot\n9 20\n";
        let twice =
            "events: Ir\nfl=a.rs\nfn=start\n1 100\n7 50\nfn=hot\n9 30\n12 10\nfn=new\n0 5\n";
        assert_eq!(parse(file).unwrap(), BTreeMap::from([("start", 150), ("hot", 20)]));
        assert_eq!(table(file, twice, 2).unwrap(), "      10.0  hot\n       2.5  new\n");
        assert!(parse("fn=a\n1\n").is_err());
    }
}
