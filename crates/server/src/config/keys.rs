//! Every configuration name: what it is called, what it takes, what it does here.
//!
//! [`table`] is the single list: parsing, defaults, checks and warnings are read off it. It holds
//! no values of a running server. Three kinds of names share it, see [`Scope`].

pub mod table;

use table::{MISNOMERS, PASS_THROUGH, PROCESS, TYPED};

/// Who reads a name, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A key of the file, read by name; a value of the wrong type is an error.
    Typed,
    /// A key `k` of the file that stands for the process property `zookeeper.k`; either may be
    /// given, the file wins. A value of the wrong type counts as absent.
    PassThrough,
    /// A process property, spelt in full. The file cannot set it.
    Process,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false` in any case. Of a pass-through or process name all else is false.
    Bool,
    /// `yes` sets it, all else does not.
    OnlyYes,
    /// `no` clears it, all else does not.
    UnlessNo,
    /// The exact text `false` clears it, all else does not.
    UnlessFalse,
    /// A number of 32 bits.
    Int,
    /// A number of 64 bits.
    Long,
    /// A fraction.
    Ratio,
    /// A port, 0 to 65535; 0 is unset.
    Port,
    /// A file or directory.
    Path,
    /// Anything else.
    Text,
}

/// What this version does with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what the meaning says.
    Works,
    /// It will; setting it to something else than the default is answered with a warning.
    Later,
    /// It will, and matters between the servers of an ensemble only: a member is warned, a server
    /// that runs alone is not.
    Ensemble,
    /// It tunes a part that Ostler does not have; setting it is answered with a warning.
    NoPart,
    /// It belongs to a client or to a logging library, and is passed over in silence.
    Foreign,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name; one that ends in `*` stands for all names with that beginning.
    pub name: &'static str,
    /// The type of the value.
    pub kind: Kind,
    /// The value when nothing is set; empty where there is none or it depends on other keys.
    pub default: &'static str,
    /// The unit of the value; empty where it has none.
    pub unit: &'static str,
    /// The smallest value that is used; a smaller one is raised to it with a warning.
    pub min: Option<i64>,
    /// Who reads it, and from where.
    pub scope: Scope,
    /// What this version does with it.
    pub support: Support,
    /// What it is for, in a few words.
    pub meaning: &'static str,
}

impl Key {
    /// Whether this row speaks of `name`.
    fn covers(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => self.name == name,
        }
    }

    /// Whether `value` says the same as saying nothing.
    pub(super) fn is_default(&self, value: &str) -> bool {
        let value = value.trim();
        match self.kind {
            Kind::Bool => value.eq_ignore_ascii_case("true") == (self.default == "true"),
            Kind::OnlyYes => (value == "yes") == (self.default == "yes"),
            Kind::UnlessNo => (value != "no") == (self.default != "no"),
            Kind::UnlessFalse => (value != "false") == (self.default != "false"),
            Kind::Int | Kind::Long | Kind::Port | Kind::Ratio | Kind::Path | Kind::Text => {
                value == self.default
            }
        }
    }
}

/// The row of a key of the file, for keys that are read by name.
pub fn typed(key: &str) -> Option<&'static Key> {
    TYPED.iter().find(|row| row.covers(key))
}

/// The row of a key of the file that stands for `zookeeper.<key>`.
pub fn pass_through(key: &str) -> Option<&'static Key> {
    PASS_THROUGH.iter().find(|row| row.covers(key))
}

/// The row of a process property, spelt in full.
pub fn property(name: &str) -> Option<&'static Key> {
    let short = name.strip_prefix("zookeeper.");
    short.and_then(pass_through).or_else(|| PROCESS.iter().find(|row| row.covers(name)))
}

/// All rows, in the order of the manual.
pub fn all() -> impl Iterator<Item = &'static Key> {
    TYPED.iter().chain(PASS_THROUGH).chain(PROCESS)
}

/// The name that was probably meant, when `key` in a file is none.
pub(super) fn suggestion(key: &str) -> Option<&'static str> {
    if let Some((_, right)) = MISNOMERS.iter().find(|(wrong, _)| *wrong == key) {
        return Some(right);
    }
    let key = key.strip_prefix("zookeeper.").unwrap_or(key);
    if key.len() > 100 {
        // No name is nearly as long, and comparing takes time.
        return None;
    }
    TYPED
        .iter()
        .chain(PASS_THROUGH)
        .map(|row| row.name)
        .filter(|name| !name.ends_with('*'))
        .map(|name| (edits(&key.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(edits, name)| *edits <= name.len() / 4)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// How many single-character changes lead from one text to the other.
fn edits(from: &str, into: &str) -> usize {
    let into: Vec<char> = into.chars().collect();
    let mut row: Vec<usize> = (0..=into.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, &b) in into.iter().enumerate() {
            let replaced = row[j] + usize::from(a != b);
            next.push(replaced.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row[into.len()]
}

#[cfg(test)]
mod tests {
    use super::{Kind, MISNOMERS, Scope, all, pass_through, property, suggestion, typed};
    use std::collections::BTreeSet;

    #[test]
    fn defaults_are_of_their_kind_and_not_below_the_least() {
        for row in all().filter(|row| !row.default.is_empty()) {
            match row.kind {
                Kind::Int | Kind::Long | Kind::Port => {
                    let number: i64 = row.default.parse().expect(row.name);
                    assert!(row.min.is_none_or(|min| number >= min), "{}", row.name);
                }
                Kind::Ratio => assert!(row.default.parse::<f64>().is_ok(), "{}", row.name),
                Kind::Bool | Kind::UnlessFalse => {
                    assert!(matches!(row.default, "true" | "false"), "{}", row.name);
                }
                Kind::OnlyYes | Kind::UnlessNo => {
                    assert!(matches!(row.default, "yes" | "no"), "{}", row.name);
                }
                Kind::Path | Kind::Text => {}
            }
            assert!(row.is_default(row.default), "{}", row.name);
            assert!(!row.meaning.is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn names_are_unique_in_their_scope() {
        let mut seen = BTreeSet::new();
        for row in all() {
            assert!(seen.insert((format!("{:?}", row.scope), row.name)), "{} twice", row.name);
        }
    }

    #[test]
    fn lookups() {
        let name = |row: Option<&'static super::Key>| row.map(|row| (row.name, row.scope));
        assert_eq!(name(typed("server.12")), Some(("server.*", Scope::Typed)));
        assert_eq!(name(typed("snapCount")), None);
        assert_eq!(name(pass_through("snapCount")), Some(("snapCount", Scope::PassThrough)));
        assert_eq!(name(property("zookeeper.snapCount")), name(pass_through("snapCount")));
        assert_eq!(name(property("snapCount")), None);
        assert_eq!(name(property("jute.maxbuffer")), Some(("jute.maxbuffer", Scope::Process)));
        assert_eq!(name(property("zookeeper.jute.maxbuffer")), None);
        assert_eq!(name(pass_through("ssl.quorum.crl")).expect("known").0, "ssl.quorum.*");
        assert_eq!(name(pass_through("ssl.crl")).expect("known").0, "ssl.*");
    }

    #[test]
    fn suggestions() {
        for (wrong, right) in MISNOMERS {
            assert!(pass_through(right).is_some(), "{right}");
            assert!(pass_through(wrong).is_none() && typed(wrong).is_none(), "{wrong}");
            assert_eq!(suggestion(wrong), Some(*right));
        }
        assert_eq!(suggestion("datadir"), Some("dataDir"));
        assert_eq!(suggestion("maxClientCnxn"), Some("maxClientCnxns"));
        assert_eq!(suggestion("zookeeper.snapCount"), Some("snapCount"));
        assert_eq!(suggestion("somethingElse"), None);
        assert_eq!(suggestion(""), None);
    }
}
