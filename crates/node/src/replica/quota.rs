//! Whether a write stays within the quota that it falls under.
//!
//! The tree keeps what is used ([`ostler_tree::Quota`]); here that is held against the limits. A
//! hard limit stands in for the soft one beside it.
//!
//! Nothing is refused unless `enforceQuota` is set. Whatever exceeds a limit, refused or not, is
//! told to the operator, at most once in [`QUOTA_WARNING_INTERVAL`].

use alloc::string::String;
use core::cell::Cell;
use core::fmt;

use ostler_tree::Tree;
use ostler_wire::error::ErrorCode;

use crate::clock::Time;
use crate::limits::QUOTA_WARNING_INTERVAL;

/// By how much a write makes the subtree larger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) count: i64,
    pub(super) bytes: i64,
}

/// A write that takes a subtree beyond a limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excess {
    /// The path that has the quota.
    pub path: String,
    /// What there is too much of: `znodes` or `bytes`.
    pub what: &'static str,
    /// What would be used with the write.
    pub total: i64,
    /// The limit.
    pub limit: i64,
    /// Whether it is a hard limit.
    pub is_hard: bool,
    /// How many others were not told of since the last one was.
    pub untold: u64,
}

/// For the log.
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, total, limit, .. } = self;
        let kind = if self.is_hard { "hard" } else { "soft" };
        write!(f, "the quota of {path} is exceeded: {total} {what}, {kind} limit {limit}")?;
        if self.untold > 0 {
            write!(f, " ({} more times since the last warning)", self.untold)?;
        }
        Ok(())
    }
}

/// Judges writes by quotas.
#[derive(Clone, Copy)]
pub(super) struct QuotaJudge<'s> {
    /// What usage and limits are read off. In a multi this is the tree before it.
    // Java: ZooKeeperServer.checkQuota looks at what was applied, not at the parts before.
    pub(super) tree: &'s Tree,
    /// `enforceQuota`.
    pub(super) enforced: bool,
    /// The last excess that was met.
    pub(super) excess: &'s Cell<Option<Excess>>,
}

impl QuotaJudge<'_> {
    /// Refuses what exceeds a hard limit, if limits are enforced.
    pub(super) fn check(&self, path: &str, growth: Growth) -> Result<(), ErrorCode> {
        let Some(excess) = excess(self.tree, path, growth) else { return Ok(()) };
        let refused = self.enforced && excess.is_hard;
        self.excess.set(Some(excess));
        if refused { Err(ErrorCode::QUOTA_EXCEEDED) } else { Ok(()) }
    }
}

/// The limit that the write exceeds: a hard one rather than a soft one.
fn excess(tree: &Tree, path: &str, growth: Growth) -> Option<Excess> {
    let quota = tree.quota(path)?;
    let used = quota.used.as_ref()?;
    let limits = &quota.limits;
    let rows = [
        ("znodes", growth.count, used.count(), limits.count(), limits.count_hard()),
        ("bytes", growth.bytes, used.bytes(), limits.bytes(), limits.bytes_hard()),
    ];
    let exceeded = rows.into_iter().filter_map(|(what, growth, used, soft, hard)| {
        let is_hard = hard > -1;
        let limit = if is_hard { hard } else { soft };
        let total = used.wrapping_add(growth);
        // A change that is none is allowed even where there is too much already.
        let too_much = growth != 0 && limit > -1 && total > limit;
        too_much.then_some((what, total, limit, is_hard))
    });
    // The first of two equals, as the sort is stable and hard comes first.
    let (what, total, limit, is_hard) = exceeded.min_by_key(|(.., is_hard)| !is_hard)?;
    Some(Excess { path: quota.path, what, total, limit, is_hard, untold: 0 })
}

/// Lets a warning through from time to time.
#[derive(Debug, Default)]
pub(super) struct QuotaWarnings {
    told_at: Option<Time>,
    untold: u64,
}

impl QuotaWarnings {
    /// The warning to be given now, if any.
    pub(super) fn take(&mut self, now: Time, excess: Option<Excess>) -> Option<Excess> {
        let excess = excess?;
        if self.told_at.is_some_and(|told_at| now < told_at + QUOTA_WARNING_INTERVAL) {
            self.untold += 1;
            return None;
        }
        self.told_at = Some(now);
        let untold = core::mem::take(&mut self.untold);
        Some(Excess { untold, ..excess })
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use ostler_tree::Tree;
    use ostler_wire::acl::Acl;
    use ostler_wire::ids::{SessionId, WallMs, Xid};
    use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnHeader};

    use super::{Excess, Growth, QuotaWarnings, excess};
    use crate::clock::Time;

    /// A tree in which `/q` uses 3 znodes of 10 bytes.
    fn tree(limits: &str) -> Tree {
        let mut tree = Tree::fresh(1);
        for (path, data) in [
            ("/q", "12"),
            ("/q/a", "123456"),
            ("/q/b", "12"),
            ("/zookeeper/quota/q", ""),
            ("/zookeeper/quota/q/zookeeper_limits", limits),
            ("/zookeeper/quota/q/zookeeper_stats", ""),
        ] {
            let zxid = tree.last_zxid().next();
            let header =
                TxnHeader { session: SessionId::NONE, cxid: Xid(0), zxid, time: WallMs(0) };
            let (kind, acl) = (CreateKind::Plain { ephemeral: false }, Acl::open());
            let (path, data) = (path.into(), Some(data.as_bytes()));
            let create = CreateTxn { kind, path, data, acl, parent_cversion: -1 };
            tree.apply(&header, &Txn::Create(create), &mut Vec::new());
        }
        tree
    }

    fn told(limits: &str, count: i64, bytes: i64) -> String {
        let excess = excess(&tree(limits), "/q/new", Growth { count, bytes });
        excess.map_or_else(|| "fits".into(), |excess| excess.to_string())
    }

    #[test]
    fn hard_limits_stand_in_for_soft_ones_and_come_first() {
        let exceeded = |what| format!("the quota of /q is exceeded: {what}");
        assert_eq!(told("count=4,bytes=-1", 1, 0), "fits");
        assert_eq!(told("count=3,bytes=-1", 1, 0), exceeded("4 znodes, soft limit 3"));
        assert_eq!(told("count=3,bytes=10", 0, 1), exceeded("11 bytes, soft limit 10"));
        assert_eq!(told("count=1,bytes=1=;countHardLimit=4", 1, 0), "fits");
        let both = "count=3,bytes=10=;byteHardLimit=5";
        assert_eq!(told(both, 1, 1), exceeded("11 bytes, hard limit 5"));
        assert_eq!(told(both, 1, 0), exceeded("4 znodes, soft limit 3"));
        assert_eq!(told(both, 0, -1), exceeded("9 bytes, hard limit 5"));
        assert_eq!(told("count=0,bytes=0", 1, 1), exceeded("4 znodes, soft limit 0"));
        assert_eq!(told("count=1,bytes=1", 0, 0), "fits");
        assert_eq!(told("no limit", 1, 1), "fits");
        assert_eq!(excess(&tree("count=0"), "/other", Growth { count: 1, bytes: 1 }), None);
    }

    #[test]
    fn warnings_are_held_back_and_counted() {
        let excess = excess(&tree("count=0"), "/q/new", Growth { count: 1, bytes: 0 });
        let mut warnings = QuotaWarnings::default();
        let mut untold = |ms, excess: Option<Excess>| {
            warnings.take(Time::from_millis(ms), excess).map(|told| told.untold)
        };
        assert_eq!(untold(0, None), None);
        assert_eq!(untold(0, excess.clone()), Some(0));
        assert_eq!(untold(1, excess.clone()), None);
        assert_eq!(untold(999, excess.clone()), None);
        assert_eq!(untold(1000, excess.clone()), Some(2));
        assert_eq!(untold(5000, excess), Some(0));
    }
}
