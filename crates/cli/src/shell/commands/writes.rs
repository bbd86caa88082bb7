//! Commands that change znodes: create, delete, deleteall, set.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ostler_client::{Client, CreateOptions, Data, Error, Reply};
use ostler_wire::acl::Acl;
use ostler_wire::error::ErrorCode;

use super::{number, required, version};
use crate::shell::acl_text;
use crate::shell::failure::{self, Failure};
use crate::shell::options::Parsed;
use crate::shell::progress;
use crate::shell::render;
use crate::shell::session::Shell;
use crate::shell::walk::walk;

/// `create [-s] [-e] [-c] [-t ttl] path [data] [acl]`
pub(in crate::shell) fn create(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let mut options = create_options(parsed)?;
    let path = required(parsed, 1);
    if let Some(acl) = parsed.word(3) {
        let acl = read_acl(shell, acl);
        if acl.is_empty() {
            // Java: the client refuses it without naming a path, and the shell says so twice.
            shell.console.complain(&failure::keeper_text(ErrorCode::INVALID_ACL, ""));
            return Err(Failure::refused(&Error::InvalidAcl, "null"));
        }
        options = options.acl(acl);
    }
    let data = parsed.word(2).map_or(Data::NULL, Data::from);
    let reply = shell.client(path)?.create(path, data, &options);
    match shell.try_ask(reply)? {
        Ok(created) => {
            shell.console.note_line(&format!("Created {}", created.path));
            Ok(())
        }
        Err(error) => {
            if error == Error::InvalidAcl {
                shell.console.complain(&failure::keeper_text(ErrorCode::INVALID_ACL, path));
            } else if error == Error::EphemeralOnLocalSession {
                shell.console.complain("Unable to create ephemeral node on a local session");
            }
            Err(Failure::refused(&error, path))
        }
    }
}

fn create_options(parsed: &Parsed) -> Result<CreateOptions, Failure> {
    let [ephemeral, sequential, container] = ["e", "s", "c"].map(|option| parsed.has(option));
    if container && (ephemeral || sequential) {
        return Err(Failure::new(
            "-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.",
        ));
    }
    let ttl_ms: Option<i64> = number(parsed, "t", "a long")?;
    let options = match ttl_ms {
        Some(_) if ephemeral => {
            return Err(Failure::new("TTLs cannot be used with Ephemeral znodes"));
        }
        Some(_) if container => {
            return Err(Failure::new("TTLs cannot be used with Container znodes"));
        }
        Some(ttl_ms) => CreateOptions::ttl(ttl(ttl_ms)?),
        None if ephemeral => CreateOptions::ephemeral(),
        None if container => CreateOptions::container(),
        None => CreateOptions::persistent(),
    };
    Ok(if sequential { options.sequential() } else { options })
}

/// What 40 bits can hold.
const TTL_MS_MAX: u64 = 0xff_ffff_ffff;

fn ttl(ttl_ms: i64) -> Result<Duration, Failure> {
    let valid = u64::try_from(ttl_ms).ok().filter(|ttl_ms| (1..=TTL_MS_MAX).contains(ttl_ms));
    valid.map(Duration::from_millis).ok_or_else(|| {
        Failure::new(format!("ttl must be positive and cannot be larger than: {TTL_MS_MAX}"))
    })
}

/// A list as it was typed; complaints about it go to stderr.
pub(super) fn read_acl(shell: &Shell, text: &str) -> Vec<Acl> {
    let (list, complaints) = acl_text::parse(text);
    for complaint in complaints {
        shell.console.complain(&complaint);
    }
    list
}

/// `delete [-v version] path`
pub(in crate::shell) fn delete(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    if parsed.words.len() > 2 {
        // Java: the old form is noted and its version does not count.
        shell.console.complain(
            "'delete path [version]' has been deprecated. Please use 'delete [-v version] path' \
             instead.",
        );
    }
    let path = required(parsed, 1);
    let version = version(parsed)?;
    let client = shell.client(path)?;
    if path == "/" {
        // Java: ZooKeeper.delete. The root cannot be deleted, not even where it is a chroot.
        return Err(Failure::refused(&Error::BadArguments, path));
    }
    let reply = client.delete(path, version);
    shell.ask(path, reply)
}

/// `deleteall path [-b batch size]`
pub(in crate::shell) fn delete_all(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let batch: i32 = number(parsed, "b", "an int")?.unwrap_or(BATCH_DEFAULT);
    let root = required(parsed, 1);
    let client = shell.client(root)?;
    let mut paths = Vec::new();
    walk(shell, &client, root, false, &mut |visited| {
        paths.push(visited.path.to_string());
        Ok(true)
    })?;
    // Leaves first.
    paths.reverse();
    let Ok(batch @ 1..) = usize::try_from(batch) else {
        // One by one, and the first that is refused is named.
        return delete_each(shell, &client, &paths);
    };
    let progress = progress::bar(paths.len());
    let mut under_way: VecDeque<(usize, Reply<_>)> = VecDeque::new();
    let mut batches = paths.chunks(batch);
    let mut is_good = true;
    loop {
        for batch in batches.by_ref().take(if is_good { BATCHES_MAX - under_way.len() } else { 0 })
        {
            let multi = batch.iter().fold(client.multi(), |multi, path| multi.delete(path, None));
            under_way.push_back((batch.len(), multi.send()));
        }
        let Some((len, reply)) = under_way.pop_front() else { break };
        is_good &= shell.try_ask(reply)?.is_ok();
        progress::advance(&progress, len);
    }
    progress.finish_and_clear();
    if is_good {
        Ok(())
    } else {
        Err(Failure::new("Failed to delete some node(s) in the subtree!"))
    }
}

fn delete_each(shell: &Shell, client: &Client, paths: &[String]) -> Result<(), Failure> {
    for path in paths {
        let reply = client.delete(path, None);
        shell.ask(path, reply)?;
    }
    Ok(())
}

/// How many znodes a multi deletes, unless it is said.
const BATCH_DEFAULT: i32 = 1000;
/// How many multis are under way at most.
const BATCHES_MAX: usize = 10;

/// `set path data [-s] [-v version] [-b]`
pub(in crate::shell) fn set(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let path = required(parsed, 1);
    let typed = required(parsed, 2);
    let data = if parsed.has("b") {
        STANDARD.decode(typed).map_err(|error| Failure::new(format!("not base64: {error}")))?
    } else {
        typed.as_bytes().to_vec()
    };
    let version = version(parsed)?;
    let reply = shell.client(path)?.set(path, data, version);
    let stat = shell.ask(path, reply)?;
    if parsed.has("s") {
        shell.console.write(&render::stat(&stat));
    }
    Ok(())
}
