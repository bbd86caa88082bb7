//! Where the requests of a load come from.

use super::options::Plan;
use super::random::Random;
use super::template::{Template, framed};
use super::workloads::Shape;
use crate::raw_client::{create, delete, get_children, get_data, set_data};

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
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Get, Self::List, Self::Set, Self::Create, Self::Delete];

    pub(crate) fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::List)
    }

    /// Its name in a report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Set => "set",
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }

    /// What the names of its figures begin with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Get => "get_",
            Self::List => "list_",
            Self::Set => "set_",
            Self::Create => "create_",
            Self::Delete => "delete_",
        }
    }
}

/// Makes the requests of one thread.
pub(crate) struct Source {
    shape: Shape,
    /// One for each of [`Kind::ALL`].
    templates: [Template; Kind::ALL.len()],
    keys: u64,
    parents: u64,
    random: Random,
    /// Creates: of znodes `next`, `next + step` … below `end`.
    next: u64,
    step: u64,
    end: u64,
}

impl Source {
    /// The share of one of `threads` threads in a plan, on znodes below `root`.
    pub(crate) fn new(plan: &Plan, root: &str, thread: u64, threads: u64) -> Self {
        let workload = &plan.workload;
        let mut random = Random::new(thread + 2);
        let data = random.bytes(workload.size_bytes);
        let templates = Kind::ALL.map(|kind| match kind {
            Kind::Get => Template::of_node(root, |path| framed(&get_data(path, false))),
            Kind::List => Template::of_parent(root, |path| framed(&get_children(path, false))),
            Kind::Set => Template::of_node(root, |path| framed(&set_data(path, &data))),
            Kind::Create => Template::of_node(root, |path| framed(&create(path, &data, 0))),
            Kind::Delete => Template::of_node(root, |path| framed(&delete(path))),
        });
        Self {
            shape: workload.shape,
            templates,
            keys: workload.keys,
            parents: u64::from(workload.parents),
            random,
            next: thread,
            step: threads,
            end: if workload.shape == Shape::Fill { workload.count } else { u64::MAX },
        }
    }

    /// Appends the next request; `None` when there is none left.
    ///
    /// `made` is what the connection has created and not deleted.
    pub(crate) fn put(
        &mut self,
        xid: i32,
        made: &mut Option<u64>,
        out: &mut Vec<u8>,
    ) -> Option<Kind> {
        let (kind, parent, number) = match self.shape {
            Shape::Create | Shape::Fill => {
                let number = self.new_number()?;
                (Kind::Create, number % self.parents, number)
            }
            Shape::Mix => self.draw_mix(made)?,
            Shape::Mixed { read_ratio } => {
                let reads = self.random.chance(read_ratio);
                let number = self.random.below(self.keys);
                (if reads { Kind::Get } else { Kind::Set }, number % self.parents, number)
            }
            Shape::Fanout | Shape::Sessions | Shape::Ready => unreachable!("no steady load"),
        };
        self.templates[kind as usize].put(xid, parent, number, out);
        Some(kind)
    }

    /// Of a hundred requests 45 get, 45 list, 8 set, 1 creates and 1 deletes.
    ///
    /// What is created lies below a parent of its own, so that lists keep their length. Creates
    /// and deletes take turns on a connection, whose order the server keeps: no delete is too
    /// early.
    fn draw_mix(&mut self, made: &mut Option<u64>) -> Option<(Kind, u64, u64)> {
        let draw = self.random.below(100);
        let number = self.random.below(self.keys);
        let parent = number % self.parents;
        Some(match draw {
            0..45 => (Kind::Get, parent, number),
            45..90 => (Kind::List, parent, number),
            90..98 => (Kind::Set, parent, number),
            _ => match made.take() {
                Some(number) => (Kind::Delete, self.parents, number),
                None => {
                    let number = self.new_number()?;
                    *made = Some(number);
                    (Kind::Create, self.parents, number)
                }
            },
        })
    }

    fn new_number(&mut self) -> Option<u64> {
        let number = self.next;
        if number >= self.end {
            return None;
        }
        self.next += self.step;
        Some(number)
    }
}
