//! Commands about quotas: setquota, listquota, delquota.
//!
//! The quota of `/a` is kept in two znodes: `/zookeeper/quota/a/zookeeper_limits` has what was set,
//! `zookeeper_stats` beside it what is in use. The server counts as soon as they are there. No
//! znode with a quota may have another one above or below it.

use ostler_client::{Client, CreateOptions, Data, Error};

use super::required;
use crate::shell::failure::Failure;
use crate::shell::options::Parsed;
use crate::shell::quota_text::{BYTES, BYTES_HARD, COUNT, COUNT_HARD, Quota};
use crate::shell::session::Shell;
use crate::shell::walk::walk;

const PROC: &str = "/zookeeper";
const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// The options and the limits that they are about.
const LIMIT_OPTIONS: [(&str, &str); 4] =
    [("n", COUNT), ("b", BYTES), ("N", COUNT_HARD), ("B", BYTES_HARD)];

/// `setquota -n|-b|-N|-B val path`
pub(in crate::shell) fn set(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let path = required(parsed, 1);
    if path.starts_with(QUOTA) {
        return Err(Failure::new(format!("cannot set a quota under the path: {QUOTA}")));
    }
    let wanted = wanted(parsed)?;
    let client = shell.client(path)?;
    let reply = client.exists(path);
    if shell.ask(path, reply)?.is_none() {
        return Err(Failure::new(format!("{path} does not exist.")));
    }
    check_below(shell, &client, path)?;
    check_above(shell, &client, path)?;
    let home = create_home(shell, &client, path)?;
    let (limits, stats) = (format!("{home}/{LIMITS}"), format!("{home}/{STATS}"));
    let reply = client.get(&limits);
    let (quota, is_new) = match shell.try_ask(reply)? {
        Ok((data, _)) => {
            let mut quota = Quota::parse(&data);
            for (_, name) in LIMIT_OPTIONS {
                if wanted.value(name) > -1 {
                    quota.set(name, wanted.value(name));
                }
            }
            (quota, false)
        }
        Err(Error::NoNode) => (wanted, true),
        Err(error) => return Err(Failure::refused(&error, &limits)),
    };
    if is_new {
        create(shell, &client, &limits, quota.text().into(), false)?;
        create(shell, &client, &stats, "count=0,bytes=0".into(), false)?;
    }
    let reply = client.get(&stats);
    let (usage, _) = shell.ask(&stats, reply)?;
    for warning in quota.exceeded_by(&Quota::parse(&usage)) {
        shell.console.line(&warning);
    }
    if !is_new {
        let reply = client.set(&limits, quota.text(), None);
        shell.ask(&limits, reply)?;
    }
    Ok(())
}

/// The limits as they were typed.
fn wanted(parsed: &Parsed) -> Result<Quota, Failure> {
    let mut quota = Quota::unlimited();
    for (option, name) in LIMIT_OPTIONS {
        let Some(value) = parsed.value(option) else { continue };
        let no_number =
            || Failure::new("NumberFormatException happens when parsing the option value");
        let value: i64 = value.parse().map_err(|_| no_number())?;
        if name == COUNT || name == COUNT_HARD {
            i32::try_from(value).map_err(|_| no_number())?;
            if value <= 0 {
                return Err(Failure::new("the num quota must be greater than zero"));
            }
        } else if value < 0 {
            return Err(Failure::new("the bytes quota must be greater than or equal to zero"));
        }
        quota.set(name, value);
    }
    Ok(quota)
}

/// Refuses a quota above another one.
fn check_below(shell: &mut Shell, client: &Client, path: &str) -> Result<(), Failure> {
    let home = format!("{QUOTA}{path}");
    let reply = client.exists(&home);
    if shell.ask(&home, reply)?.is_none() {
        return Ok(());
    }
    walk(shell, client, &home, false, &mut |visited| {
        if visited.depth > 0 && visited.children.iter().any(|name| name == LIMITS) {
            return Err(Failure::new(format!(
                "{path} has a child {} which has a quota",
                &visited.path[QUOTA.len()..]
            )));
        }
        Ok(true)
    })
}

/// Refuses a quota below another one.
fn check_above(shell: &Shell, client: &Client, path: &str) -> Result<(), Failure> {
    for (at, _) in path.match_indices('/').skip(1) {
        let above = &path[..at];
        let home = format!("{QUOTA}{above}");
        let reply = client.children(&home);
        let names = match shell.try_ask(reply)? {
            Ok((names, _)) => names,
            Err(Error::NoNode) => return Ok(()),
            Err(error) => return Err(Failure::refused(&error, &home)),
        };
        if names.iter().any(|name| name == LIMITS) {
            return Err(Failure::new(format!("{path} has a parent {above} which has a quota")));
        }
    }
    Ok(())
}

/// Creates what is missing down to the znode that keeps the quota of a path.
fn create_home(shell: &Shell, client: &Client, path: &str) -> Result<String, Failure> {
    create(shell, client, PROC, Data::NULL, true)?;
    create(shell, client, QUOTA, Data::NULL, true)?;
    let mut home = QUOTA.to_string();
    for name in path.split('/').skip(1) {
        home = format!("{home}/{name}");
        create(shell, client, &home, Data::NULL, true)?;
    }
    Ok(home)
}

fn create(
    shell: &Shell,
    client: &Client,
    path: &str,
    data: Data,
    may_exist: bool,
) -> Result<(), Failure> {
    if may_exist {
        // Asking first needs no right to create.
        let reply = client.exists(path);
        if shell.ask(path, reply)?.is_some() {
            return Ok(());
        }
    }
    let reply = client.create(path, data, &CreateOptions::persistent());
    match shell.try_ask(reply)? {
        Ok(_) => Ok(()),
        Err(Error::NodeExists) if may_exist => Ok(()),
        Err(error) => Err(Failure::refused(&error, path)),
    }
}

/// `listquota path`
pub(in crate::shell) fn list(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let path = required(parsed, 1);
    let (limits, stats) = (format!("{QUOTA}{path}/{LIMITS}"), format!("{QUOTA}{path}/{STATS}"));
    shell.console.note_line(&format!("absolute path is {limits}"));
    let client = shell.client(&limits)?;
    let mut texts = Vec::new();
    for znode in [&limits, &stats] {
        let reply = client.get(znode);
        match shell.try_ask(reply)? {
            Ok((data, _)) => texts.push(Quota::parse(&data).text()),
            Err(Error::NoNode) => {
                // Java: ListQuotaCommand. It is an answer, not a failure.
                shell.console.note_line(&format!("quota for {path} does not exist."));
                return Ok(());
            }
            Err(error) => return Err(Failure::refused(&error, znode)),
        }
    }
    shell.console.line(&format!("Output quota for {path} {}", texts[0]));
    shell.console.line(&format!("Output stat for {path} {}", texts[1]));
    Ok(())
}

/// `delquota [-n|-b|-N|-B] path`
pub(in crate::shell) fn delete(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let path = required(parsed, 1);
    let (home, limits) = (format!("{QUOTA}{path}"), format!("{QUOTA}{path}/{LIMITS}"));
    let client = shell.client(&limits)?;
    let reply = client.get(&limits);
    let mut quota = match shell.try_ask(reply)? {
        Ok((data, _)) => Quota::parse(&data),
        Err(Error::NoNode) => {
            shell.console.line(&format!("Quota does not exist for {path}"));
            return Ok(());
        }
        Err(error) => return Err(Failure::refused(&error, &limits)),
    };
    if let Some((_, name)) = LIMIT_OPTIONS.iter().find(|(option, _)| parsed.has(option)) {
        quota.set(name, -1);
        let reply = client.set(&limits, quota.text(), None);
        shell.ask(&limits, reply)?;
        return Ok(());
    }
    let reply = client.children(&home);
    let (names, _) = shell.ask(&home, reply)?;
    for name in names {
        let znode = format!("{home}/{name}");
        let reply = client.delete(&znode, None);
        shell.ask(&znode, reply)?;
    }
    trim(shell, &client, home)
}

/// Deletes a znode of the quotas, and those above it, as long as they have no children.
fn trim(shell: &Shell, client: &Client, mut home: String) -> Result<(), Failure> {
    while home != QUOTA {
        let reply = client.children(&home);
        let (names, _) = shell.ask(&home, reply)?;
        if !names.is_empty() {
            break;
        }
        let reply = client.delete(&home, None);
        shell.ask(&home, reply)?;
        home.truncate(home.rfind('/').unwrap_or(0));
    }
    Ok(())
}
