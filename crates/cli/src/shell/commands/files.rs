//! Commands that move subtrees to files and back: export, import. Apache's shell has none like
//! them.
//!
//! An export is no snapshot of one moment: znodes are read one after the other, and what changes
//! meanwhile is exported as it was when its turn came.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};

use ostler_client::{Client, CreateOptions, Data, Error, Reply};
use ostler_wire::acl::Acl;
use ostler_wire::stat::Stat;

use super::required;
use crate::shell::export_format::{self, Kind, Node, TAIL};
use crate::shell::failure::Failure;
use crate::shell::options::Parsed;
use crate::shell::progress;
use crate::shell::session::Shell;
use crate::shell::walk::walk;

/// How many znodes are asked for, or sent, before the first answer is waited for.
const AHEAD_MAX: usize = 128;

/// `export [-e] path [file]`: to stdout, unless a file is named.
pub(in crate::shell) fn export(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let root = required(parsed, 1);
    let client = shell.client(root)?;
    let mut paths = Vec::new();
    walk(shell, &client, root, false, &mut |visited| {
        let is_ephemeral = Kind::of_owner(visited.stat.ephemeral_owner.0) == Kind::Ephemeral;
        // The servers' own znodes are no part of anybody's data.
        let is_servers = root == "/" && visited.path == "/zookeeper";
        if !is_servers && (!is_ephemeral || parsed.has("e")) {
            paths.push(visited.path.to_string());
        }
        Ok(!is_servers)
    })?;
    let Some(name) = parsed.word(2) else {
        let console = std::sync::Arc::clone(&shell.console);
        write_nodes(shell, &client, root, &paths, &mut |text| {
            console.write(text);
            Ok(())
        })?;
        return Ok(());
    };
    let refuse = |error: io::Error| Failure::new(format!("{name}: {error}"));
    // What is at this name now stays until all is written.
    let partial = format!("{name}.part");
    let mut file = BufWriter::new(File::create(&partial).map_err(refuse)?);
    let count = write_nodes(shell, &client, root, &paths, &mut |text| {
        file.write_all(text.as_bytes()).map_err(refuse)
    })?;
    file.flush().map_err(refuse)?;
    std::fs::rename(&partial, name).map_err(refuse)?;
    shell.console.note_line(&format!("Exported {count} znodes to {name}"));
    Ok(())
}

type Asked = (Reply<(Option<Vec<u8>>, Stat)>, Reply<(Vec<Acl>, Stat)>);

fn write_nodes(
    shell: &Shell,
    client: &Client,
    root: &str,
    paths: &[String],
    write: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let progress = progress::bar(paths.len());
    let mut ahead = paths.iter();
    let mut asked: VecDeque<(&str, Asked)> = VecDeque::new();
    let mut count = 0;
    write(&export_format::head(root))?;
    loop {
        for path in ahead.by_ref().take(AHEAD_MAX - asked.len()) {
            asked.push_back((path, (client.get_nullable(path), client.acl(path))));
        }
        let Some((path, (data, acl))) = asked.pop_front() else { break };
        progress.inc(1);
        let (data, acl) = (shell.try_ask(data)?, shell.try_ask(acl)?);
        let ((data, stat), (acl, _)) = match (data, acl) {
            (Ok(data), Ok(acl)) => (data, acl),
            // It is gone meanwhile.
            (Err(Error::NoNode), _) | (_, Err(Error::NoNode)) if path != root => continue,
            (Err(error), _) | (_, Err(error)) => return Err(Failure::refused(&error, path)),
        };
        let relative = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
        let node = Node {
            path: if path == root { String::new() } else { relative.to_string() },
            data,
            acl,
            kind: Kind::of_owner(stat.ephemeral_owner.0),
        };
        write(if count == 0 { "" } else { ",\n" })?;
        write(&node.line())?;
        count += 1;
    }
    write(TAIL)?;
    progress.finish_and_clear();
    Ok(count)
}

/// `import [-o] file [path]`: below the path it was exported from, unless another one is named.
pub(in crate::shell) fn import(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let name = required(parsed, 1);
    let refuse = |why: String| Failure::new(format!("{name}: {why}"));
    let text = read_file(name).map_err(|error| refuse(error.to_string()))?;
    let (exported_root, nodes) = export_format::read(&text).map_err(refuse)?;
    let root = parsed.word(2).unwrap_or(&exported_root);
    let client = shell.client(root)?;
    create_parents(shell, &client, root)?;
    let progress = progress::bar(nodes.len());
    let mut under_way: VecDeque<(String, &Node, Reply<_>)> = VecDeque::new();
    let (mut created, mut present) = (0_u64, 0_u64);
    let mut nodes = nodes.iter();
    loop {
        for node in nodes.by_ref().take(AHEAD_MAX - under_way.len()) {
            let path = match format!("{}{}", root.trim_end_matches('/'), node.path) {
                path if path.is_empty() => "/".to_string(),
                path => path,
            };
            let reply = client.create(&path, node.data.clone(), &node.options());
            under_way.push_back((path, node, reply));
        }
        let Some((path, node, reply)) = under_way.pop_front() else { break };
        progress.inc(1);
        match shell.try_ask(reply)? {
            Ok(_) => created += 1,
            Err(Error::NodeExists) => {
                present += u64::from(path != "/");
                if parsed.has("o") {
                    overwrite(shell, &client, &path, node)?;
                }
            }
            Err(error) => return Err(Failure::refused(&error, &path)),
        }
    }
    progress.finish_and_clear();
    let verb = if parsed.has("o") { "overwrote" } else { "left alone" };
    shell.console.note_line(&format!("Created {created} znodes below {root}, {verb} {present}"));
    if present > 0 && !parsed.has("o") {
        return Err(Failure::new("Some znodes are there already; -o overwrites them"));
    }
    Ok(())
}

fn read_file(name: &str) -> io::Result<String> {
    if name != "-" {
        return std::fs::read_to_string(name);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn overwrite(shell: &Shell, client: &Client, path: &str, node: &Node) -> Result<(), Failure> {
    let data = client.set(path, node.data.clone(), None);
    let acl = client.set_acl(path, node.acl.clone(), None);
    shell.ask(path, data)?;
    shell.ask(path, acl)?;
    Ok(())
}

fn create_parents(shell: &Shell, client: &Client, path: &str) -> Result<(), Failure> {
    for (at, _) in path.match_indices('/').skip(1) {
        let parent = &path[..at];
        let reply = client.create(parent, Data::NULL, &CreateOptions::persistent());
        match shell.try_ask(reply)? {
            Ok(_) | Err(Error::NodeExists) => {}
            Err(error) => return Err(Failure::refused(&error, parent)),
        }
    }
    Ok(())
}
