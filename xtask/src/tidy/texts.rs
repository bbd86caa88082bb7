//! Rules for every text file: it speaks of no machine and no mirror, and has clean lines.

use super::Finding;

/// Directories of one machine. Written in pieces, since this file is checked as well.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/tm", "p/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// The data directory of Apache's sample configuration, which ours has as well.
const SAMPLE_DIRECTORY: &str = concat!("/tm", "p/zookeeper");

/// Package registries; which one is used is the business of the machine.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("npmjs", ".org"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("maven", ".org"),
    concat!("repo.maven.apache", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("sum.golang", ".org"),
    concat!("docker", ".io"),
    concat!("ghcr", ".io"),
    concat!("deb.debian", ".org"),
];

/// Files that tools write, with hosts in them.
const LOCK_FILES: &[&str] = &["Cargo.lock", "package-lock.json", "go.sum"];

/// Checks one file.
pub(crate) fn check(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let is_lock = LOCK_FILES.contains(&path.rsplit('/').next().unwrap_or(path));
    // Captured bytes are what they are.
    let is_data = path.contains("/golden/") || path.contains("/corpus/");
    if is_lock || is_data {
        return;
    }
    for (index, line) in text.lines().enumerate() {
        let line = line.replace(SAMPLE_DIRECTORY, "");
        let mut find = |message| findings.push(Finding::new(path, index + 1, message));
        for machine_path in MACHINE_PATHS.iter().filter(|start| starts_path(&line, start)) {
            find(format!("{machine_path} is a path of some machine"));
        }
        for host in REGISTRY_HOSTS.iter().filter(|host| line.contains(**host)) {
            find(format!("{host} is a registry"));
        }
        let is_code = [".rs", ".toml", ".sh", ".py"].iter().any(|ending| path.ends_with(ending));
        if is_code && line.ends_with([' ', '\t', '\r']) {
            find("ends in blanks".to_owned());
        }
    }
}

/// Whether an absolute path begins like this; `a/b/` in the middle of one is not that.
fn starts_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-/)}$".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_line(path: &str, line: &str, findings: usize) {
        let mut found = Vec::new();
        check(path, line, &mut found);
        assert_eq!(found.len(), findings, "{line}: {found:?}");
    }

    #[test]
    fn machines_and_registries_are_found() {
        check_line("a.md", &format!("in {}x", MACHINE_PATHS[0]), 1);
        check_line("a.sh", &format!("$dir{}x", MACHINE_PATHS[1]), 0);
        check_line("a.md", &format!("from https://{}/x", REGISTRY_HOSTS[0]), 1);
        check_line("x/Cargo.lock", &format!("from https://{}/x", REGISTRY_HOSTS[0]), 0);
    }

    #[test]
    fn lines_of_code_end_where_they_end() {
        check_line("a.rs", "x ", 1);
        check_line("a.md", "x  ", 0);
    }
}
