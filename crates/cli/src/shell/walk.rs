//! Walking a subtree: depth first, names sorted, many requests on their way at once.
//!
//! The order is that in which one would ask one by one; what is asked for ahead are the children of
//! the znodes that come next. Znodes that vanish meanwhile are passed over.

use ostler_client::{Client, Error, OneshotWatch, Reply};
use ostler_wire::stat::Stat;

use super::failure::Failure;
use super::link::Slot;
use super::session::Shell;

/// How many requests are on their way at most.
const AHEAD_MAX: usize = 64;

/// What is known of a znode when it is visited.
pub(super) struct Visited<'a> {
    /// Its path.
    pub path: &'a str,
    /// The names of its children, sorted.
    pub children: &'a [String],
    /// Its stat.
    pub stat: &'a Stat,
    /// How far below the root of the walk it is.
    pub depth: usize,
}

enum Asked {
    Plain(Reply<(Vec<String>, Stat)>),
    Watching(Reply<(Vec<String>, Stat, OneshotWatch)>),
}

struct Next {
    path: String,
    depth: usize,
    asked: Option<Asked>,
}

/// Visits a znode and everything below it, unless `visit` says to stay away from the children of
/// one. With `watch`, a watch for the children is left on each.
///
/// # Errors
/// What the server refuses, or what `visit` does; [`Error::NoNode`] only of the root.
pub(super) fn walk(
    shell: &mut Shell,
    client: &Client,
    root: &str,
    watch: bool,
    visit: &mut dyn FnMut(&Visited<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    // The next one to visit is the last.
    let mut ahead = vec![Next { path: root.to_string(), depth: 0, asked: None }];
    loop {
        for next in ahead.iter_mut().rev().take(AHEAD_MAX).filter(|next| next.asked.is_none()) {
            next.asked = Some(ask(client, &next.path, watch));
        }
        let Some(Next { path, depth, asked: Some(asked) }) = ahead.pop() else { return Ok(()) };
        let (mut children, stat) = match answer(shell, &path, asked)? {
            Ok(known) => known,
            Err(Error::NoNode) if depth > 0 => continue,
            Err(error) => return Err(Failure::refused(&error, &path)),
        };
        children.sort_unstable();
        if shell.console.is_broken() {
            return Ok(());
        }
        if visit(&Visited { path: &path, children: &children, stat: &stat, depth })? {
            ahead.extend(children.iter().rev().map(|name| Next {
                path: child(&path, name),
                depth: depth + 1,
                asked: None,
            }));
        }
    }
}

fn ask(client: &Client, path: &str, watch: bool) -> Asked {
    if watch {
        Asked::Watching(client.children_and_watch(path))
    } else {
        Asked::Plain(client.children(path))
    }
}

fn answer(
    shell: &mut Shell,
    path: &str,
    asked: Asked,
) -> Result<Result<(Vec<String>, Stat), Error>, Failure> {
    match asked {
        Asked::Plain(reply) => shell.try_ask(reply),
        Asked::Watching(reply) => match shell.try_ask(reply)? {
            Ok((children, stat, watch)) => {
                shell.link()?.follow_once(Slot::Children, path, watch);
                Ok(Ok((children, stat)))
            }
            Err(error) => Ok(Err(error)),
        },
    }
}

/// The path of a child: `/a` and `b` give `/a/b`.
pub(super) fn child(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}
