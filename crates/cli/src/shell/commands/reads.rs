//! Commands that look at znodes: get, ls, stat, sync, getAllChildrenNumber, getEphemerals.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ostler_client::Error;
use ostler_wire::stat::Stat;

use super::required;
use crate::shell::failure::Failure;
use crate::shell::link::Slot;
use crate::shell::options::{self, Parsed};
use crate::shell::render;
use crate::shell::session::Shell;
use crate::shell::table;
use crate::shell::walk::{child, walk};

/// Whether to leave a watch: with `-w`, or in the old form with any second word, which is noted.
fn wants_watch(shell: &Shell, parsed: &Parsed, new_form: &str) -> bool {
    let is_old_form = parsed.words.len() > 2;
    if is_old_form {
        let name = required(parsed, 0);
        shell.console.complain(&format!(
            "'{name} path [watch]' has been deprecated. Please use '{new_form}' instead."
        ));
    }
    is_old_form || parsed.has("w")
}

/// `get [-s] [-w] [-b] [-x] path`
pub(in crate::shell) fn get(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let watches = wants_watch(shell, parsed, "get [-s] [-w] path");
    let path = required(parsed, 1);
    let client = shell.client(path)?;
    let (data, stat) = if watches {
        let reply = client.get_and_watch(path);
        let (data, stat, watch) = shell.ask(path, reply)?;
        shell.link()?.follow_once(Slot::Data, path, watch);
        // A watch does not come with the difference between no data and null.
        (data, stat)
    } else {
        (Vec::new(), Stat::default())
    };
    let (data, stat) = if data.is_empty() {
        let reply = client.get_nullable(path);
        let (data, stat) = shell.ask(path, reply)?;
        // Java: GetCommand writes the word, in whatever form is asked for.
        (data.unwrap_or_else(|| b"null".to_vec()), stat)
    } else {
        (data, stat)
    };
    let text = if parsed.has("x") {
        render::hex_dump(&data)
    } else if parsed.has("b") {
        STANDARD.encode(&data)
    } else {
        String::from_utf8_lossy(&data).into_owned()
    };
    shell.console.line(&text);
    if parsed.has("s") {
        shell.console.write(&render::stat(&stat));
    }
    Ok(())
}

/// `ls [-s] [-w] [-R] path`
pub(in crate::shell) fn ls(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let command = table::find("ls").expect("this command");
    if parsed.has("?") {
        shell.console.line("usage: ls [options] path");
        shell.console.write(&options::list(command.options));
    }
    let Some(path) = parsed.word(1) else { return Err(Failure::new(command.usage())) };
    let watches = wants_watch(shell, parsed, "ls [-w] path");
    let client = shell.client(path)?;
    if parsed.has("R") {
        return ls_subtree(shell, path, watches);
    }
    let (mut children, stat) = if watches {
        let reply = client.children_and_watch(path);
        let (children, stat, watch) = shell.ask(path, reply)?;
        shell.link()?.follow_once(Slot::Children, path, watch);
        (children, stat)
    } else {
        let reply = client.children(path);
        shell.ask(path, reply)?
    };
    children.sort_unstable();
    shell.console.line(&render::list(&children));
    if parsed.has("s") {
        shell.console.write(&render::stat(&stat));
    }
    Ok(())
}

fn ls_subtree(shell: &mut Shell, path: &str, watches: bool) -> Result<(), Failure> {
    let client = shell.client(path)?;
    // Java: ZKUtil.visitSubTreeDFS reads the data of the root, which has to be allowed.
    if watches {
        let reply = client.get_and_watch(path);
        let (_, _, watch) = shell.ask(path, reply)?;
        shell.link()?.follow_once(Slot::Data, path, watch);
    } else {
        let reply = client.get(path);
        shell.ask(path, reply)?;
    }
    shell.console.line(path);
    let console = std::sync::Arc::clone(&shell.console);
    walk(shell, &client, path, watches, &mut |visited| {
        for name in visited.children {
            console.line(&child(visited.path, name));
        }
        Ok(true)
    })
}

/// `stat [-w] path`
pub(in crate::shell) fn stat(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let watches = wants_watch(shell, parsed, "stat [-w] path");
    let path = required(parsed, 1);
    let client = shell.client(path)?;
    let stat = if watches {
        let reply = client.exists_and_watch(path);
        let (stat, watch) = shell.ask(path, reply)?;
        // It waits for the znode if there is none yet.
        shell.link()?.follow_once(Slot::Data, path, watch);
        stat
    } else {
        let reply = client.exists(path);
        shell.ask(path, reply)?
    };
    let stat = stat.ok_or_else(|| Failure::refused(&Error::NoNode, path))?;
    shell.console.write(&render::stat(&stat));
    Ok(())
}

/// `sync path`
pub(in crate::shell) fn sync(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let path = required(parsed, 1);
    let reply = shell.client(path)?.sync(path);
    match shell.try_ask(reply)? {
        Ok(()) => {
            shell.console.line("Sync is OK");
            Ok(())
        }
        Err(error) => match error.code() {
            Some(code) => {
                shell.console.line(&format!("Sync has failed. rc={code}"));
                Err(Failure::told())
            }
            None => Err(Failure::refused(&error, path)),
        },
    }
}

/// `getAllChildrenNumber path`
pub(in crate::shell) fn count(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let path = required(parsed, 1);
    let reply = shell.client(path)?.descendants_count(path);
    let count = shell.ask(path, reply)?;
    shell.console.line(&count.to_string());
    Ok(())
}

/// `getEphemerals [prefix]`
pub(in crate::shell) fn ephemerals(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let prefix = parsed.word(1).unwrap_or("/");
    let reply = shell.client(prefix)?.ephemerals(prefix);
    let paths = shell.ask(prefix, reply)?;
    shell.console.line(&render::list(&paths));
    Ok(())
}
