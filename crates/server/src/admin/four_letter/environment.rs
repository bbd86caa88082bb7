//! `envi`: the process and the machine that it runs on.
//!
//! Apache's list has the properties of a Java machine too; there is none, so those lines are
//! missing. Memory is that of the machine, not of a heap.

use super::line;
use crate::version;
use rustix::process::getuid;
use rustix::system::uname;
use std::fs;

pub(super) fn text() -> String {
    let system = uname();
    let (name, home) = user();
    let directory = std::env::current_dir().unwrap_or_default();
    let mut out = String::new();
    line(&mut out, format_args!("Environment:"));
    line(&mut out, format_args!("zookeeper.version={}", version::full()));
    line(&mut out, format_args!("host.name={}", system.nodename().to_string_lossy()));
    line(&mut out, format_args!("os.name={}", system.sysname().to_string_lossy()));
    line(&mut out, format_args!("os.arch={}", architecture(&system.machine().to_string_lossy())));
    line(&mut out, format_args!("os.version={}", system.release().to_string_lossy()));
    line(&mut out, format_args!("user.name={name}"));
    line(&mut out, format_args!("user.home={home}"));
    line(&mut out, format_args!("user.dir={}", directory.display()));
    if let Some(Memory { free_mb, total_mb }) = memory() {
        line(&mut out, format_args!("os.memory.free={free_mb}MB"));
        line(&mut out, format_args!("os.memory.max={total_mb}MB"));
        line(&mut out, format_args!("os.memory.total={total_mb}MB"));
    }
    out
}

/// Java has a name of its own for the most common one.
fn architecture(machine: &str) -> &str {
    if machine == "x86_64" { "amd64" } else { machine }
}

/// Name and home of the user; Java too has `?` for what it cannot find.
fn user() -> (String, String) {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    find_user(&users, getuid().as_raw()).unwrap_or_else(|| ("?".to_owned(), "?".to_owned()))
}

fn find_user(users: &str, uid: u32) -> Option<(String, String)> {
    users.lines().find_map(|user| {
        let mut fields = user.split(':');
        let name = fields.next()?;
        let is_it = fields.nth(1)?.parse() == Ok(uid);
        let home = fields.nth(2)?;
        is_it.then(|| (name.to_owned(), home.to_owned()))
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Memory {
    free_mb: u64,
    total_mb: u64,
}

fn memory() -> Option<Memory> {
    parse_memory(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse_memory(text: &str) -> Option<Memory> {
    let field_mb = |name: &str| -> Option<u64> {
        let value = text.lines().find_map(|field| field.strip_prefix(name))?;
        let kb: u64 = value.split_ascii_whitespace().next()?.parse().ok()?;
        Some(kb / 1024)
    };
    Some(Memory { free_mb: field_mb("MemAvailable:")?, total_mb: field_mb("MemTotal:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# odd\nzk:x:101:104::/var/lib/zk:/bin/false\n";
        assert_eq!(find_user(users, 101), Some(("zk".to_owned(), "/var/lib/zk".to_owned())));
        assert_eq!(find_user(users, 0), Some(("root".to_owned(), "/root".to_owned())));
        assert_eq!(find_user(users, 104), None);
    }

    #[test]
    fn memory_is_told_in_mebibytes() {
        let text = "MemTotal:  2097152 kB\nMemFree: 1 kB\nMemAvailable:  1049599 kB\n";
        assert_eq!(parse_memory(text), Some(Memory { free_mb: 1024, total_mb: 2048 }));
        assert_eq!(parse_memory(""), None);
    }

    #[test]
    fn keys_are_the_ones_that_tools_know() {
        let text = text();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("Environment:"));
        let keys: Vec<&str> = lines.filter_map(|line| Some(line.split_once('=')?.0)).collect();
        let expected = "zookeeper.version host.name os.name os.arch os.version user.name user.home \
                        user.dir os.memory.free os.memory.max os.memory.total";
        assert_eq!(keys.join(" "), expected);
        assert!(text.contains("zookeeper.version=3.9.5-ostler-"), "{text}");
    }
}
