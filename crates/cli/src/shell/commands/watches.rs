//! Commands about watches that stay: addWatch, removewatches, watch.

use ostler_client::runtime::{Either, race};
use ostler_client::{EventKind, State, WatchKind, WatchMode};

use super::{number, required};
use crate::shell::failure::Failure;
use crate::shell::link::{Slot, event_name};
use crate::shell::options::Parsed;
use crate::shell::session::Shell;
use crate::shell::table;

/// `addWatch [-m mode] path`
pub(in crate::shell) fn add(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let usage = || Failure::new(table::find("addWatch").expect("this command").usage());
    if parsed.words.len() != 2 {
        return Err(usage());
    }
    let (mode, slot) = match parsed.value("m").map(str::to_uppercase).as_deref() {
        None | Some("PERSISTENT_RECURSIVE") => (WatchMode::PersistentRecursive, Slot::Recursive),
        Some("PERSISTENT") => (WatchMode::Persistent, Slot::Persistent),
        Some(_) => return Err(usage()),
    };
    let path = required(parsed, 1);
    let reply = shell.client(path)?.watch(path, mode);
    let watch = shell.ask(path, reply)?;
    shell.link()?.follow(slot, path, watch);
    Ok(())
}

/// `removewatches path [-c|-d|-p|-r|-a] [-l]`
pub(in crate::shell) fn remove(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let kinds = [
        ("c", WatchKind::Children),
        ("d", WatchKind::Data),
        ("p", WatchKind::Persistent),
        ("r", WatchKind::PersistentRecursive),
        ("a", WatchKind::Any),
    ];
    let kind = kinds.iter().find(|(option, _)| parsed.has(option));
    let kind = kind.map_or(WatchKind::Any, |(_, kind)| *kind);
    let path = required(parsed, 1);
    let is_local = parsed.has("l");
    // What is removed here needs nobody to be told.
    let client = if is_local { shell.link()?.client().clone() } else { shell.client(path)? };
    let reply = client.remove_watches(path, kind, is_local);
    shell.ask(path, reply)
}

/// `watch [-R] [-n count] path`: prints what happens until Ctrl-C.
pub(in crate::shell) fn stream(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let path = required(parsed, 1);
    let count_max: Option<u64> = number(parsed, "n", "a number")?;
    let mode = if parsed.has("R") { WatchMode::PersistentRecursive } else { WatchMode::Persistent };
    let client = shell.client(path)?;
    let mut states = client.states();
    let reply = client.watch(path, mode);
    let mut watch = shell.ask(path, reply)?;
    let mut count = 0;
    let mut was_connected = true;
    while count_max.is_none_or(|count_max| count < count_max) && !shell.console.is_broken() {
        // An event goes before the state that came after it.
        let next = async { race(watch.next(), states.next()).await };
        let event = match shell.wait(next)? {
            Either::Left(Some(event)) => event,
            Either::Right(Some(state)) => {
                if was_connected && state == State::Suspended {
                    shell.console.complain("Connection lost: what happens now is not seen");
                } else if !was_connected && state.is_connected() {
                    shell.console.complain("Connected again");
                }
                was_connected = state.is_connected();
                continue;
            }
            Either::Left(None) | Either::Right(None) => break,
        };
        match event_name(event.kind) {
            Some(name) => {
                shell.console.line(&format!("{name} {} {}", event.path, event.zxid));
                shell.console.flush();
                count += 1;
            }
            None if event.kind == EventKind::SessionLost => {
                return Err(Failure::new("The session is gone, and the watch with it"));
            }
            None => break,
        }
    }
    Ok(())
}
