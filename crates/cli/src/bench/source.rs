//! Where the requests of a load come from.

use super::random::Random;
use super::template::Template;

/// What an operation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// getData
    Get,
    /// getChildren
    List,
    /// setData
    Set,
    /// create
    Create,
    /// delete
    Delete,
}

impl Kind {
    /// All of them; the reads stand first.
    pub(crate) const ALL: [Self; 5] =
        [Self::Get, Self::List, Self::Set, Self::Create, Self::Delete];

    pub(crate) fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::List)
    }
}

/// Makes the requests of one thread.
pub(crate) enum Source {
    /// Reads and overwrites of znodes `0..keys`, drawn evenly.
    Mixed {
        read: Template,
        write: Template,
        /// Share of reads, 0.0 to 1.0.
        read_ratio: f64,
        keys: u64,
        random: Random,
    },
    /// Creates of znodes `next`, `next + step` … below `end`.
    Create { template: Template, next: u64, step: u64, end: u64 },
}

impl Source {
    /// Appends the next request; `None` when there is none left.
    pub(crate) fn put(&mut self, xid: i32, out: &mut Vec<u8>) -> Option<Kind> {
        match self {
            Self::Mixed { read, write, read_ratio, keys, random } => {
                let kind = if random.chance(*read_ratio) { Kind::Get } else { Kind::Set };
                let template = if kind == Kind::Get { read } else { write };
                template.put(xid, random.below(*keys), out);
                Some(kind)
            }
            Self::Create { template, next, step, end } => {
                if *next >= *end {
                    return None;
                }
                template.put(xid, *next, out);
                *next += *step;
                Some(Kind::Create)
            }
        }
    }
}
