//! Telling how two snapshots differ: by depth, and by how much is below each znode.
//!
//! Lengths are compared, not contents. Ephemeral znodes count like others.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::screen::{Refusal, Screen};
use super::snapshot::{doubts, require_file};
use super::snapshot_tree::{Place, SnapshotTree, Step};

/// What is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// A larger difference in bytes below a znode is told.
    pub(crate) bytes: i32,
    /// A larger difference in znodes below a znode is told.
    pub(crate) nodes: i32,
    /// Tells each comparison.
    pub(crate) debug: bool,
    /// Asks which part to tell next.
    pub(crate) interactive: bool,
}

/// Compares two snapshots.
// Java: SnapshotComparer.
pub(crate) fn compare(
    screen: &mut Screen<'_>,
    left: &Path,
    right: &Path,
    wanted: Wanted,
) -> Result<(), Refusal> {
    let left = Side::load(screen, left)?;
    let right = Side::load(screen, right)?;
    left.introduce(screen)?;
    right.introduce(screen)?;
    let pair = Pair { left: &left, right: &right, wanted };
    let depths = left.levels.len().max(right.levels.len());
    if wanted.interactive {
        pair.converse(screen, depths)?;
    } else {
        pair.tell_thresholds(screen)?;
        for depth in 0..depths {
            writeln!(screen.out, "Analysis for depth {depth}")?;
            pair.tell_level(screen, depth)?;
        }
    }
    writeln!(screen.out, "All layers compared.")?;
    doubts(&left.tree).and_then(|()| doubts(&right.tree))
}

/// One of the two.
struct Side {
    tree: SnapshotTree,
    /// By place: path, bytes with all below, znodes below.
    labels: Vec<Box<str>>,
    sums: Vec<(i64, i64)>,
    levels: Vec<Vec<Place>>,
    by_label: HashMap<Box<str>, Place>,
}

impl Side {
    fn load(screen: &mut Screen<'_>, path: &Path) -> Result<Self, Refusal> {
        require_file(path, 1)?;
        let start = Instant::now();
        let tree = SnapshotTree::load(path, false)?;
        let name = path.file_name().unwrap_or_default().display();
        let seconds = start.elapsed().as_secs_f64();
        writeln!(screen.out, "Deserialized snapshot in {name} in {seconds:.6} seconds")?;
        let start = Instant::now();
        let side = Self::of(tree);
        let seconds = start.elapsed().as_secs_f64();
        writeln!(screen.out, "Processed data tree in {seconds:.6} seconds")?;
        Ok(side)
    }

    fn of(tree: SnapshotTree) -> Self {
        let mut labels: Vec<Box<str>> = vec![Box::default(); tree.count()];
        let mut sums = vec![(0, 0); tree.count()];
        let mut levels: Vec<Vec<Place>> = Vec::new();
        let mut above: Vec<Place> = Vec::new();
        let Ok(()) = tree.walk(0, |step| {
            match step {
                Step::Enter(place, depth) => {
                    let node = tree.node(place);
                    if let Some(parent) = above.last() {
                        labels[place] = format!("{}/{}", labels[*parent], node.name).into();
                    }
                    sums[place] = (i64::try_from(node.data_bytes).unwrap_or(i64::MAX), 0);
                    if levels.len() == depth {
                        levels.push(Vec::new());
                    }
                    levels[depth].push(place);
                    above.push(place);
                }
                Step::Leave(place) => {
                    above.pop();
                    if let Some(parent) = above.last() {
                        sums[*parent].0 += sums[place].0;
                        sums[*parent].1 += sums[place].1 + 1;
                    }
                }
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let by_label = labels.iter().enumerate().map(|(at, label)| (label.clone(), at)).collect();
        Self { tree, labels, sums, levels, by_label }
    }

    fn introduce(&self, screen: &mut Screen<'_>) -> io::Result<()> {
        writeln!(screen.out, "Node count: {}", self.tree.count())?;
        writeln!(screen.out, "Total size: {}", self.sums[0].0)?;
        writeln!(screen.out, "Max depth: {}", self.levels.len())?;
        for (depth, level) in self.levels.iter().enumerate() {
            writeln!(screen.out, "Count of nodes at depth {depth}: {}", level.len())?;
        }
        writeln!(screen.out)
    }

    fn level(&self, depth: usize) -> Vec<Place> {
        self.sorted(self.levels.get(depth).cloned().unwrap_or_default())
    }

    fn below(&self, path: &str) -> Option<Vec<Place>> {
        let place = *self.by_label.get(path)?;
        Some(self.sorted(self.tree.children(place)))
    }

    fn sorted(&self, mut places: Vec<Place>) -> Vec<Place> {
        places.sort_by(|a, b| by_utf16(&self.labels[*a], &self.labels[*b]));
        places
    }
}

/// Java: String.compareTo.
fn by_utf16(left: &str, right: &str) -> Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}

struct Pair<'a> {
    left: &'a Side,
    right: &'a Side,
    wanted: Wanted,
}

impl Pair<'_> {
    fn tell_thresholds(&self, screen: &mut Screen<'_>) -> io::Result<()> {
        let Wanted { bytes, nodes, .. } = self.wanted;
        writeln!(
            screen.out,
            "Printing analysis for nodes difference larger than {bytes} bytes or node count \
             difference larger than {nodes}."
        )
    }

    fn converse(&self, screen: &mut Screen<'_>, depths: usize) -> Result<(), Refusal> {
        let mut depth = 0;
        while depth < depths {
            write!(screen.out, "Current depth is {depth}\n{CHOICES}")?;
            screen.out.flush()?;
            let mut line = String::new();
            if screen.input.read_line(&mut line)? == 0 {
                return Err(Refusal::new(1, "The input ended before everything was compared."));
            }
            let input = line.trim_end_matches(['\n', '\r']);
            self.tell_thresholds(screen)?;
            if input.is_empty() {
                writeln!(screen.out, "Analysis for depth {depth}")?;
                self.tell_level(screen, depth)?;
                depth += 1;
            } else if input.starts_with('/') {
                writeln!(screen.out, "Analysis for node {input}")?;
                self.tell_below(screen, input)?;
            } else if let Ok(number) = input.parse::<i32>() {
                let Some(chosen) = usize::try_from(number).ok().filter(|at| *at < depths) else {
                    writeln!(screen.out, "Depth must be in range [0, {}]", depths - 1)?;
                    continue;
                };
                depth = chosen;
                writeln!(screen.out, "Analysis for depth {depth}")?;
                self.tell_level(screen, depth)?;
            } else {
                writeln!(
                    screen.out,
                    "Input {input} is not valid. Depth must be in range [0, {}]. Path must be an \
                     absolute path which starts with '/'.",
                    depths - 1
                )?;
            }
            writeln!(screen.out)?;
        }
        Ok(())
    }

    fn tell_level(&self, screen: &mut Screen<'_>, depth: usize) -> io::Result<()> {
        self.tell(screen, &self.left.level(depth), &self.right.level(depth))
    }

    fn tell_below(&self, screen: &mut Screen<'_>, path: &str) -> io::Result<()> {
        match (self.left.below(path), self.right.below(path)) {
            (None, None) => {
                writeln!(screen.out, "Path {path} is neither found in left tree nor right tree.")
            }
            (left, right) => {
                self.tell(screen, &left.unwrap_or_default(), &right.unwrap_or_default())
            }
        }
    }

    /// Goes through two sorted lists side by side.
    fn tell(
        &self,
        screen: &mut Screen<'_>,
        mut left: &[Place],
        mut right: &[Place],
    ) -> io::Result<()> {
        loop {
            let order = match (left.first(), right.first()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(l), Some(r)) => self.order(screen, *l, *r)?,
            };
            if let (Some((l, left_rest)), Some((r, right_rest)), Ordering::Equal) =
                (left.split_first(), right.split_first(), order)
            {
                self.tell_both(screen, *l, *r)?;
                (left, right) = (left_rest, right_rest);
            } else if let (Some((place, rest)), Ordering::Less) = (left.split_first(), order) {
                self.tell_one(screen, self.left, *place, "left")?;
                left = rest;
            } else if let Some((place, rest)) = right.split_first() {
                self.tell_one(screen, self.right, *place, "right")?;
                right = rest;
            }
        }
    }

    fn order(&self, screen: &mut Screen<'_>, l: Place, r: Place) -> io::Result<Ordering> {
        let (left, right) = (&self.left.labels[l], &self.right.labels[r]);
        let order = by_utf16(left, right);
        if self.wanted.debug {
            let told = match order {
                Ordering::Less => "left is less",
                Ordering::Equal => "same",
                Ordering::Greater => "right is less",
            };
            writeln!(screen.out, "Comparing {left} to {right}\n{told}")?;
        }
        Ok(order)
    }

    fn is_more(&self, bytes: i64, nodes: i64) -> bool {
        bytes > i64::from(self.wanted.bytes) || nodes > i64::from(self.wanted.nodes)
    }

    fn tells_filtered(&self) -> bool {
        self.wanted.debug || self.wanted.interactive
    }

    fn tell_one(
        &self,
        screen: &mut Screen<'_>,
        side: &Side,
        place: Place,
        name: &str,
    ) -> io::Result<()> {
        let (label, (bytes, nodes)) = (&side.labels[place], side.sums[place]);
        if self.is_more(bytes, nodes) {
            writeln!(
                screen.out,
                "Node {label} found only in {name} tree. Descendant size: {bytes}. \
                 Descendant count: {nodes}"
            )
        } else if self.tells_filtered() {
            writeln!(screen.out, "Filtered {name} node {label} of size {bytes}")
        } else {
            Ok(())
        }
    }

    fn tell_both(&self, screen: &mut Screen<'_>, l: Place, r: Place) -> io::Result<()> {
        let label = &self.left.labels[l];
        let ((left, left_nodes), (right, right_nodes)) = (self.left.sums[l], self.right.sums[r]);
        let (bytes, nodes) = (right - left, right_nodes - left_nodes);
        if self.is_more(bytes.abs(), nodes.abs()) {
            writeln!(
                screen.out,
                "Node {label} found in both trees. Delta: {bytes} bytes, {nodes} descendants"
            )
        } else if self.tells_filtered() {
            writeln!(screen.out, "Filtered node {label} of left size {left}, right size {right}")
        } else {
            Ok(())
        }
    }
}

const CHOICES: &str = "\
- Press enter to move to print current depth layer;
- Type a number to jump to and print all nodes at a given depth;
- Enter an ABSOLUTE path to print the immediate subtree of a node. Path must start with '/'.
";
