//! Commands about who may do what: getAcl, setAcl, addauth, whoami.

use ostler_client::Error;

use super::writes::read_acl;
use super::{required, version};
use crate::shell::failure::Failure;
use crate::shell::options::Parsed;
use crate::shell::render;
use crate::shell::session::Shell;
use crate::shell::walk::walk;

/// `getAcl [-s] path`
pub(in crate::shell) fn show(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let path = required(parsed, 1);
    let reply = shell.client(path)?.acl(path);
    let (list, stat) = shell.ask(path, reply)?;
    shell.console.write(&render::acl(&list));
    if parsed.has("s") {
        shell.console.write(&render::stat(&stat));
    }
    Ok(())
}

/// `setAcl [-s] [-v version] [-R] path acl`
pub(in crate::shell) fn set(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let path = required(parsed, 1);
    let acl = read_acl(shell, required(parsed, 2));
    let version = version(parsed)?;
    if acl.is_empty() {
        // Java: the client refuses it without naming a path.
        return Err(Failure::refused(&Error::InvalidAcl, "null"));
    }
    let client = shell.client(path)?;
    if !parsed.has("R") {
        let reply = client.set_acl(path, acl, version);
        let stat = shell.ask(path, reply)?;
        if parsed.has("s") {
            shell.console.write(&render::stat(&stat));
        }
        return Ok(());
    }
    // Java: ZKUtil.visitSubTreeDFS reads the data of the root, which has to be allowed.
    let reply = client.get(path);
    shell.ask(path, reply)?;
    let mut paths = Vec::new();
    walk(shell, &client, path, false, &mut |visited| {
        paths.push(visited.path.to_string());
        Ok(true)
    })?;
    let mut is_good = true;
    for batch in paths.chunks(BATCH) {
        let replies: Vec<_> =
            batch.iter().map(|path| client.set_acl(path, acl.clone(), version)).collect();
        for (path, reply) in batch.iter().zip(replies) {
            if let Err(error) = shell.try_ask(reply)? {
                shell.console.complain(&Failure::refused(&error, path).text.unwrap_or_default());
                is_good = false;
            }
        }
    }
    if is_good { Ok(()) } else { Err(Failure::told()) }
}

/// How many requests are under way at most.
const BATCH: usize = 64;

/// `addauth scheme [auth]`
pub(in crate::shell) fn add_auth(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let scheme = required(parsed, 1);
    let auth = parsed.word(2).unwrap_or("");
    let reply = shell.client("")?.add_auth(scheme, auth.as_bytes());
    shell.ask("", reply)
}

/// `whoami`
pub(in crate::shell) fn who_am_i(shell: &mut Shell, _: &Parsed) -> Result<(), Failure> {
    let reply = shell.client("")?.whoami();
    let identities = shell.ask("", reply)?;
    shell.console.line("Auth scheme: User");
    for (scheme, id) in identities {
        shell.console.line(&format!("{scheme}: {id}"));
    }
    Ok(())
}
