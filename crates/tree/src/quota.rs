//! Quotas: limits that clients set for subtrees, and the usage that the tree itself keeps for them.
//!
//! ```text
//! /zookeeper/quota P /zookeeper_limits    what P and all below it may use; its being there
//!                                         registers P
//! /zookeeper/quota P /zookeeper_stats     what they use: kept up to date while P is registered
//!
//! count=<n>,bytes=<n>[=;key=value ...]    both texts; -1 is none
//! ```
//!
//! Clients make both with plain creates. A change counts for the deepest registered path alone.
//! The usage changes with the change that causes it, without a transaction of its own: its stat
//! stays, no watch hears of it, and no digest covers it, as nothing below `/zookeeper/` counts.
//!
//! Which paths are registered can be read off the znodes, so there is no second place that knows;
//! a tree without any quota pays for none. A `zookeeper_limits` anywhere else, directly in
//! `/zookeeper/quota` too, is an ordinary znode.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str;

use crate::tree::{Tree, Walk, components, node_mut};
use crate::znode::Znode;

/// What a limits or a stats znode says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Amounts<'t> {
    values: BTreeMap<&'t str, i64>,
}

/// The quota that a path falls under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quota<'t> {
    /// The registered path.
    pub path: String,
    /// What may be used. A text that cannot be read sets no limit.
    pub limits: Amounts<'t>,
    /// What is used; `None` when nobody made the stats znode or it cannot be read at the moment.
    pub used: Option<Amounts<'t>>,
}

impl<'t> Amounts<'t> {
    /// Reads a text; `None` if it is malformed.
    // Java: StatsTrack. Pairs stand between runs of commas and semicolons. What follows a second
    // `=` is left to older readers, and an empty value is none.
    fn parse(text: &'t [u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?.trim_end_matches(SEPARATORS);
        let mut values = BTreeMap::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (pair, behind) = rest.split_once(SEPARATORS).unwrap_or((rest, ""));
            rest = behind.trim_start_matches(SEPARATORS);
            let mut parts = pair.trim_end_matches('=').split('=');
            let (key, value) = (parts.next()?, parts.next());
            let value = match value {
                Some("") => -1,
                Some(value) => value.parse().ok()?,
                None => return None,
            };
            values.insert(key, value);
        }
        Some(Self { values })
    }

    fn of(count: i64, bytes: i64) -> Self {
        Self { values: BTreeMap::from([(COUNT, count), (BYTES, bytes)]) }
    }

    /// Number of znodes: the soft limit, or what is used.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.value(COUNT)
    }

    /// Bytes of data: the soft limit, or what is used.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        self.value(BYTES)
    }

    /// The hard limit of the number of znodes.
    #[must_use]
    pub fn count_hard(&self) -> i64 {
        self.value("countHardLimit")
    }

    /// The hard limit of the bytes of data.
    #[must_use]
    pub fn bytes_hard(&self) -> i64 {
        self.value("byteHardLimit")
    }

    fn value(&self, key: &str) -> i64 {
        self.values.get(key).copied().unwrap_or(-1)
    }

    fn grow(&mut self, growth: Growth) {
        self.values.insert(COUNT, self.count().wrapping_add(growth.count));
        self.values.insert(BYTES, self.bytes().wrapping_add(growth.bytes));
    }
}

/// The text; see the module.
impl fmt::Display for Amounts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{COUNT}={},{BYTES}={}", self.count(), self.bytes())?;
        let others = self.values.iter().filter(|(key, _)| ![COUNT, BYTES].contains(*key));
        for (i, (key, value)) in others.enumerate() {
            let mark = if i == 0 { "=" } else { "" };
            write!(f, "{mark};{key}={value}")?;
        }
        Ok(())
    }
}

/// By how much a change makes a subtree larger.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Growth {
    pub(crate) count: i64,
    pub(crate) bytes: i64,
}

impl Growth {
    /// All that is at and below a znode, once more.
    fn by(znode: &Znode) -> Self {
        let mut growth = Self::default();
        let mut walk = Walk::below(String::new(), znode);
        while let Some((_, znode)) = walk.next() {
            growth.count += 1;
            growth.bytes += data_bytes(znode);
        }
        growth
    }
}

impl Tree {
    /// The quota that a znode at `path` falls under, whether or not it is there.
    #[must_use]
    pub fn quota(&self, path: &str) -> Option<Quota<'_>> {
        if self.quota_count == 0 {
            return None;
        }
        let (path, node) = self.registered(path)?;
        let amounts = |name| Amounts::parse(self.child(node, name)?.data()?);
        let (limits, used) = (amounts(LIMITS).unwrap_or_default(), amounts(STATS));
        Some(Quota { path, limits, used })
    }

    /// Accounts for a znode that was created.
    pub(crate) fn quota_create(&mut self, path: &str, data: Option<&[u8]>) {
        if let Some(of) = stats_of(path) {
            self.quota_recount(of);
        }
        if self.quota_count > 0 {
            self.quota_grow(path, Growth { count: 1, bytes: length(data) });
        }
    }

    /// Accounts for a znode that was removed, and all below it.
    pub(crate) fn quota_delete(&mut self, path: &str, removed: &Znode) {
        if self.quota_count > 0 {
            let Growth { count, bytes } = Growth::by(removed);
            self.quota_grow(path, Growth { count: -count, bytes: -bytes });
        }
    }

    /// Accounts for a change of a znode's data.
    pub(crate) fn quota_set(&mut self, path: &str, old_bytes: usize, data: Option<&[u8]>) {
        if self.quota_count > 0 {
            let bytes = length(data) - signed(old_bytes);
            self.quota_grow(path, Growth { count: 0, bytes });
        }
    }

    /// Counts anew what every quota uses, as is done when a snapshot was loaded.
    pub(crate) fn quota_recount_all(&mut self) {
        if self.quota_count == 0 {
            return;
        }
        let mut registered = Vec::new();
        let Some(quotas) = self.node(ROOT) else { return };
        let mut walk = Walk::below(String::new(), quotas);
        while let Some((path, _)) = walk.next() {
            if let Some((of, LIMITS)) = path.rsplit_once('/')
                && !of.is_empty()
            {
                registered.push(String::from(of));
            }
        }
        for path in registered {
            self.quota_recount(&path);
        }
    }

    /// The deepest registered path that is `path` or above it, and its znode below [`ROOT`].
    fn registered(&self, path: &str) -> Option<(String, &Znode)> {
        let mut node = self.node(ROOT)?;
        let (mut depth, mut deepest) = (0, None);
        for name in components(path)? {
            let Some(child) = self.child(node, name) else { break };
            node = child;
            depth += 1 + name.len();
            if self.child(node, LIMITS).is_some() {
                deepest = Some((depth, node));
            }
        }
        let (depth, node) = deepest?;
        Some((String::from(path.get(..depth)?), node))
    }

    fn quota_grow(&mut self, path: &str, growth: Growth) {
        let Some((of, node)) = self.registered(path) else { return };
        let Some(stats) = self.child(node, STATS) else { return };
        let used = stats.data().and_then(Amounts::parse);
        match used {
            Some(mut used) => {
                used.grow(growth);
                let text = format!("{used}");
                self.put_stats(&of, &text);
            }
            // Java ends the process here.
            None => self.quota_recount(&of),
        }
    }

    fn quota_recount(&mut self, of: &str) {
        let Growth { count, bytes } = self.node(of).map(Growth::by).unwrap_or_default();
        self.put_stats(of, &format!("{}", Amounts::of(count, bytes)));
    }

    /// Changes the text of the stats znode, and nothing else of it, if it is there.
    fn put_stats(&mut self, of: &str, text: &str) {
        let path = format!("{ROOT}{of}/{STATS}");
        let Some(stats) = self.node(&path) else { return };
        let old_bytes = stats.data().map_or(0, <[u8]>::len);
        if let Some(stats) = node_mut(&mut self.root, self.key, &path) {
            stats.set_leaf(stats.leaf().with_data(Some(text.as_bytes()), |_| {}));
            self.resize(old_bytes, text.len());
        }
    }

    fn child<'z>(&self, node: &'z Znode, name: &str) -> Option<&'z Znode> {
        node.child(self.key.name(name), name)
    }
}

/// Whether a znode at `path` registers a quota.
pub(crate) fn is_limits(path: &str) -> bool {
    let below = path.strip_prefix(ROOT).and_then(|below| below.strip_suffix(LIMITS));
    below.and_then(|of| of.strip_suffix('/')).is_some_and(|of| of.starts_with('/'))
}

/// The path whose usage a znode at `path` tells; directly in [`ROOT`] it is the root's.
fn stats_of(path: &str) -> Option<&str> {
    let of = path.strip_prefix(ROOT)?.strip_suffix(STATS)?.strip_suffix('/')?;
    (of.is_empty() || of.starts_with('/')).then_some(of)
}

fn data_bytes(znode: &Znode) -> i64 {
    length(znode.data())
}

fn length(data: Option<&[u8]>) -> i64 {
    signed(data.map_or(0, <[u8]>::len))
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

const ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";
const COUNT: &str = "count";
const BYTES: &str = "bytes";
const SEPARATORS: [char; 2] = [',', ';'];

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::{Amounts, is_limits, stats_of};

    #[test]
    fn texts_are_read_and_written_as_java_does() {
        for (text, expected) in [
            ("", "count=-1,bytes=-1"),
            (",;,", "count=-1,bytes=-1"),
            ("count=5", "count=5,bytes=-1"),
            ("count=5,bytes=10", "count=5,bytes=10"),
            ("bytes=10=;;count=+5,", "count=5,bytes=10"),
            (
                "count=5,bytes=10=;byteHardLimit=12;countHardLimit=4",
                "count=5,bytes=10=;byteHardLimit=12;countHardLimit=4",
            ),
            ("z=1;count=2;a=-3", "count=2,bytes=-1=;a=-3;z=1"),
            ("count=1;count=2==3", "count=2,bytes=-1"),
            ("count==7", "count=-1,bytes=-1"),
            ("=4", "count=-1,bytes=-1=;=4"),
        ] {
            let amounts = Amounts::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text:?}"));
            assert_eq!(amounts.to_string(), expected, "{text:?}");
        }
        for text in ["count", "count=", "count=x", "=", ",count=1", "count=1,bytes", "count= 1"] {
            assert_eq!(Amounts::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Amounts::parse(b"count=\xff"), None);
        assert_eq!(Amounts::parse(b"count=9223372036854775808"), None);
    }

    #[test]
    fn limits_have_four_values() {
        let text = b"count=1,bytes=2=;byteHardLimit=3;countHardLimit=4";
        let limits = Amounts::parse(text).expect("it is well-formed");
        assert_eq!((limits.count(), limits.bytes()), (1, 2));
        assert_eq!((limits.bytes_hard(), limits.count_hard()), (3, 4));
        assert_eq!(Amounts::default().count_hard(), -1);
    }

    #[test]
    fn only_znodes_below_a_path_of_the_quota_tree_mean_anything() {
        assert!(is_limits("/zookeeper/quota/a/zookeeper_limits"));
        assert!(is_limits("/zookeeper/quota/zookeeper_limits/zookeeper_limits"));
        for path in [
            "/zookeeper/quota/zookeeper_limits",
            "/zookeeper/quotas/zookeeper_limits",
            "/zookeeper/zookeeper_limits",
            "/zookeeper/quota/a/my_zookeeper_limits",
            "/zookeeper/quota/a",
            "/a/zookeeper_limits",
        ] {
            assert!(!is_limits(path), "{path}");
        }
        assert_eq!(stats_of("/zookeeper/quota/a/b/zookeeper_stats"), Some("/a/b"));
        assert_eq!(stats_of("/zookeeper/quota/zookeeper_stats"), Some(""));
        assert_eq!(stats_of("/zookeeper/quotas/zookeeper_stats"), None);
        assert_eq!(stats_of("/zookeeper/zookeeper_stats"), None);
    }
}
