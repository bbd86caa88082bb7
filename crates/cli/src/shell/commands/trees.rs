//! Commands that show a subtree at a glance: tree, du. Apache's shell has none like them.

use std::collections::HashMap;

use super::{number, required};
use crate::shell::console::Paint;
use crate::shell::failure::Failure;
use crate::shell::options::Parsed;
use crate::shell::render;
use crate::shell::session::Shell;
use crate::shell::walk::{child, walk};

/// How a znode stands in the picture.
struct Branch {
    /// In front of its own line.
    own: String,
    /// In front of the lines of its children.
    below: String,
}

/// `tree [-d depth] [-s] path`
pub(in crate::shell) fn tree(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let depth_max: usize = number(parsed, "d", "a number")?.unwrap_or(usize::MAX);
    let shows_sizes = parsed.has("s");
    let root = required(parsed, 1);
    let client = shell.client(root)?;
    let console = std::sync::Arc::clone(&shell.console);
    let mut branches = HashMap::new();
    branches.insert(root.to_string(), Branch { own: String::new(), below: String::new() });
    let mut count = 0_u64;
    walk(shell, &client, root, false, &mut |visited| {
        let branch = branches.remove(visited.path).expect("its parent came before");
        let name = match visited.path.rsplit_once('/') {
            Some((_, name)) if visited.depth > 0 => name,
            _ => visited.path,
        };
        let name = match visited.children {
            [] => name.to_string(),
            _ => console.painted(Paint::Inner, name),
        };
        let size = match visited.stat.data_length {
            0 => String::new(),
            bytes if shows_sizes => console.painted(Paint::Dim, &format!(" ({bytes})")),
            _ => String::new(),
        };
        console.line(&format!("{}{name}{size}", branch.own));
        count += 1;
        if visited.depth >= depth_max {
            return Ok(false);
        }
        for (index, name) in visited.children.iter().enumerate() {
            let is_last = index + 1 == visited.children.len();
            let (own, below) =
                if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
            let branch = Branch {
                own: format!("{}{own}", branch.below),
                below: format!("{}{below}", branch.below),
            };
            branches.insert(child(visited.path, name), branch);
        }
        Ok(true)
    })?;
    let plural = if count == 1 { "" } else { "s" };
    console.line(&console.painted(Paint::Dim, &format!("{count} znode{plural}")));
    Ok(())
}

/// What there is at a znode and below it.
struct Usage {
    path: String,
    depth: usize,
    nodes: u64,
    bytes: u64,
}

/// `du [-d depth] [-h] path`: bytes of data and number of znodes, a line for each subtree down to
/// the depth (1, if it is not said), the whole last.
pub(in crate::shell) fn du(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let depth_max: usize = number(parsed, "d", "a number")?.unwrap_or(1);
    let root = required(parsed, 1);
    let client = shell.client(root)?;
    let mut usages: Vec<Usage> = Vec::new();
    // The subtrees that the walk is in, the root first.
    let mut open: Vec<usize> = Vec::new();
    walk(shell, &client, root, false, &mut |visited| {
        open.truncate(visited.depth);
        if visited.depth <= depth_max {
            open.push(usages.len());
            usages.push(Usage {
                path: visited.path.to_string(),
                depth: visited.depth,
                nodes: 0,
                bytes: 0,
            });
        }
        for index in &open {
            usages[*index].nodes += 1;
            usages[*index].bytes += u64::try_from(visited.stat.data_length).unwrap_or(0);
        }
        Ok(true)
    })?;
    let mut lines = Vec::new();
    post_order(&usages, &mut lines);
    for usage in lines {
        let bytes =
            if parsed.has("h") { render::size(usage.bytes) } else { usage.bytes.to_string() };
        shell.console.line(&format!("{bytes:>12} {:>9}  {}", usage.nodes, usage.path));
    }
    Ok(())
}

/// Puts each subtree behind those in it.
fn post_order<'a>(usages: &'a [Usage], lines: &mut Vec<&'a Usage>) {
    let mut open: Vec<&Usage> = Vec::new();
    for usage in usages {
        while open.last().is_some_and(|last| last.depth >= usage.depth) {
            lines.extend(open.pop());
        }
        open.push(usage);
    }
    lines.extend(open.into_iter().rev());
}
