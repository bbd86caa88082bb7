//! Showing a snapshot: znode by znode, as JSON for disk usage viewers, or summed up.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use ostler_disk::names;
use ostler_wire::stat::StatPersisted;

use super::java_text::{Dates, base64, put_json};
use super::screen::{Refusal, Screen};
use super::snapshot_tree::{Place, SnapshotTree, Step};

/// Prints every znode and session.
// Java: SnapshotFormatter.
pub(crate) fn print_details(
    screen: &mut Screen<'_>,
    path: &Path,
    with_data: bool,
) -> Result<(), Refusal> {
    require_file(path, 2)?;
    let tree = SnapshotTree::load(path, with_data)?;
    let dates = Dates::local();
    // The root has two names in Java's table.
    writeln!(screen.out, "ZNode Details (count={}):", tree.count() + 1)?;
    let mut paths = Paths::new("/");
    let mut last_zxid = i64::MIN;
    tree.walk(0, |step| {
        let Step::Enter(place, depth) = step else { return Ok(()) };
        let node = tree.node(place);
        last_zxid = last_zxid.max(node.stat.mzxid.0).max(node.stat.pzxid.0);
        writeln!(screen.out, "----\n{}", paths.enter(depth, &node.name))?;
        put_stat(screen.out, &dates, &node.stat)?;
        if with_data {
            writeln!(screen.out, "  data = {}", base64(&node.data))
        } else {
            writeln!(screen.out, "  dataLength = {}", node.data_bytes)
        }
    })?;
    writeln!(screen.out, "----\nSession Details (sid, timeout, ephemeralCount):")?;
    let mut owned: HashMap<i64, u64> = HashMap::new();
    tree.walk(0, |step| {
        if let Step::Enter(place, _) = step {
            *owned.entry(tree.node(place).stat.ephemeral_owner).or_default() += 1;
        }
        Ok::<(), Refusal>(())
    })?;
    for (session, timeout_ms) in tree.sessions() {
        let count = owned.get(&session.0).copied().unwrap_or(0);
        writeln!(screen.out, "{:#016x}, {timeout_ms}, {count}", session.0)?;
    }
    writeln!(screen.out, "----\nLast zxid: {:#x}", zxid_in_name(path).max(last_zxid))?;
    doubts(&tree)
}

fn put_stat(out: &mut dyn Write, dates: &Dates, stat: &StatPersisted) -> std::io::Result<()> {
    writeln!(out, "  cZxid = {:#016x}", stat.czxid.0)?;
    writeln!(out, "  ctime = {}", dates.plain(stat.ctime))?;
    writeln!(out, "  mZxid = {:#016x}", stat.mzxid.0)?;
    writeln!(out, "  mtime = {}", dates.plain(stat.mtime))?;
    writeln!(out, "  pZxid = {:#016x}", stat.pzxid.0)?;
    writeln!(out, "  cversion = {}", stat.cversion)?;
    writeln!(out, "  dataVersion = {}", stat.version)?;
    writeln!(out, "  aclVersion = {}", stat.aversion)?;
    writeln!(out, "  ephemeralOwner = {:#016x}", stat.ephemeral_owner)
}

/// Prints names and lengths in the form of `ncdu`.
pub(crate) fn print_json(screen: &mut Screen<'_>, path: &Path) -> Result<(), Refusal> {
    require_file(path, 2)?;
    let tree = SnapshotTree::load(path, false)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    write!(
        screen.out,
        "[1,0,{{\"progname\":\"SnapshotFormatter.java\",\"progver\":\"0.01\",\"timestamp\":{}}}",
        now.as_millis()
    )?;
    let mut number = 1000_u64;
    let mut line = String::new();
    tree.walk(0, |step| {
        let (place, is_leave) = match step {
            Step::Enter(place, _) => (place, false),
            Step::Leave(place) => (place, true),
        };
        let has_children = tree.has_children(place);
        if is_leave {
            return screen.out.write_all(if has_children { b"]" } else { b"" });
        }
        let node = tree.node(place);
        number += 1;
        line.clear();
        put_json(&mut line, if place == 0 { "/" } else { &node.name });
        write!(
            screen.out,
            ",{}{{\"name\":\"{line}\",\"asize\":{bytes},\"dsize\":{bytes},\"dev\":0,\
             \"ino\":{number}}}",
            if has_children { "[" } else { "" },
            bytes = node.data_bytes,
        )
    })?;
    write!(screen.out, "]")?;
    doubts(&tree)
}

/// Prints how much is below each znode that has children, down to a depth; 0 is all.
// Java: SnapshotRecursiveSummary.
pub(crate) fn print_summary(
    screen: &mut Screen<'_>,
    path: &Path,
    start: &str,
    depth_max: i32,
) -> Result<(), Refusal> {
    require_file(path, 1)?;
    let tree = SnapshotTree::load(path, false)?;
    let Some(from) = tree.find(start) else {
        return Err(Refusal::new(1, format!("{} holds no znode {start}", path.display())));
    };
    // What is below is known after the subtree, and printed before it.
    let mut sums = vec![(0_u64, 0_u64); tree.count()];
    let mut above: Vec<Place> = Vec::new();
    tree.walk(from, |step| {
        match step {
            Step::Enter(place, _) => {
                sums[place] = (1, tree.node(place).data_bytes);
                above.push(place);
            }
            Step::Leave(place) => {
                above.pop();
                let (count, bytes) = sums[place];
                if let Some(parent) = above.last() {
                    sums[*parent].0 += count;
                    sums[*parent].1 += bytes;
                }
            }
        }
        Ok::<(), Refusal>(())
    })?;
    let mut paths = Paths::new(start);
    tree.walk(from, |step| {
        let Step::Enter(place, depth) = step else { return Ok(()) };
        let name = paths.enter(depth, &tree.node(place).name);
        let is_shown = depth_max == 0 || i32::try_from(depth).is_ok_and(|at| at <= depth_max);
        if !is_shown || !tree.has_children(place) {
            return Ok(());
        }
        let (tab, (count, bytes)) = ("--".repeat(depth), sums[place]);
        writeln!(screen.out, "{tab} {name}\n{tab}   children: {}\n{tab}   data: {bytes}", count - 1)
    })?;
    writeln!(screen.out)?;
    doubts(&tree)
}

/// The paths of a walk, made from names.
struct Paths {
    path: String,
    /// How long the path is at each depth.
    lengths: Vec<usize>,
}

impl Paths {
    fn new(start: &str) -> Self {
        Self { path: start.to_owned(), lengths: vec![start.len()] }
    }

    fn enter(&mut self, depth: usize, name: &str) -> &str {
        self.lengths.truncate(depth.max(1));
        self.path.truncate(self.lengths.last().copied().unwrap_or(0));
        if depth > 0 {
            self.path.push_str(if self.path == "/" { "" } else { "/" });
            self.path.push_str(name);
            self.lengths.push(self.path.len());
        }
        &self.path
    }
}

/// Java: ZKUtil.validateFileInput.
pub(crate) fn require_file(path: &Path, code: u8) -> Result<(), Refusal> {
    // Java: File.getAbsolutePath, which keeps dots.
    let shown = std::env::current_dir().unwrap_or_default().join(path);
    let shown = shown.display();
    let message = match (fs::metadata(path), File::open(path)) {
        (Err(_), _) => format!("File '{shown}' does not exist."),
        (_, Err(_)) => format!("Read permission is denied on the file '{shown}'"),
        (Ok(found), _) if found.is_dir() => {
            format!("'{shown}' is a directory. it must be a file.")
        }
        _ => return Ok(()),
    };
    Err(Refusal::new(code, message))
}

/// The zxid of a snapshot's name, -1 for other names.
fn zxid_in_name(path: &Path) -> i64 {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    names::parse_snapshot_name(name).map_or(-1, |(zxid, _)| zxid.0)
}

/// What is shown is shown, but not as if it were certain.
pub(crate) fn doubts(tree: &SnapshotTree) -> Result<(), Refusal> {
    tree.doubt.as_ref().map_or(Ok(()), |doubt| Err(Refusal::new(1, doubt)))
}
