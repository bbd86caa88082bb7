//! Rules for documents: those that must be there, links that must lead somewhere, and the reason
//! that every dependency must have.

use std::collections::BTreeSet;
use std::path::Path;

use super::Finding;
use super::arrows::Package;

const FRONT: &[&str] =
    &["README.md", "ARCHITECTURE.md", "COMPAT.md", "HACKING.md", "DEPENDENCIES.md", "STYLE.md"];
const CHECKS: &str = ".ci/run";

/// What a newcomer finds at the root.
pub(crate) fn check_front(root: &Path, findings: &mut Vec<Finding>) {
    for name in FRONT.iter().filter(|name| !root.join(name).is_file()) {
        findings.push(Finding::new(name, 0, "is missing"));
    }
    if !is_executable(&root.join(CHECKS)) {
        findings.push(Finding::new(CHECKS, 0, "is missing or not executable"));
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

/// Every foreign dependency of any package has a line, and every line a dependency.
pub(crate) fn check_dependencies(root: &Path, packages: &[Package], findings: &mut Vec<Finding>) {
    const DOCUMENT: &str = "DEPENDENCIES.md";
    // That it is missing is a finding of its own.
    let Ok(document) = std::fs::read_to_string(root.join(DOCUMENT)) else { return };
    let mut used = BTreeSet::new();
    for package in packages {
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_ours) {
            used.insert(dependency.name.as_str());
            if !rows(&document).any(|(_, name)| name == dependency.name) {
                let message = format!("{} has no row in {DOCUMENT}", dependency.name);
                findings.push(Finding::new(&package.manifest, 0, message));
            }
        }
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    for (line, name) in shared(&manifest).filter(|(_, name)| !used.contains(name)) {
        findings.push(Finding::new("Cargo.toml", line, format!("nothing depends on {name}")));
    }
    for (line, name) in rows(&document).filter(|(_, name)| !used.contains(name)) {
        findings.push(Finding::new(DOCUMENT, line, format!("nothing depends on {name}")));
    }
}

/// The foreign crates whose versions the root manifest holds for all.
fn shared(manifest: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = manifest.lines().enumerate();
    let table = lines.skip_while(|(_, line)| *line != "[workspace.dependencies]").skip(1);
    table.take_while(|(_, line)| !line.starts_with('[')).filter_map(|(index, line)| {
        let (name, value) = line.split_once(" = ")?;
        (!name.starts_with('#') && !value.contains("path = ")).then_some((index + 1, name))
    })
}

/// Lines of the document's tables, by the name in code marks that opens the row.
fn rows(document: &str) -> impl Iterator<Item = (usize, &str)> {
    document.lines().enumerate().filter_map(|(index, line)| {
        let (name, _) = line.strip_prefix("| `")?.split_once('`')?;
        Some((index + 1, name))
    })
}

/// Links inside the repository lead to files that are there.
pub(crate) fn check_links(root: &Path, path: &str, text: &str, findings: &mut Vec<Finding>) {
    let directory = root.join(path);
    let directory = directory.parent().expect("a file is in a directory");
    for (line, target) in links(text) {
        let file = target.split('#').next().unwrap_or_default();
        if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
            continue;
        }
        if file.starts_with('/') || !directory.join(file).exists() {
            findings.push(Finding::new(path, line, format!("the link {target} leads nowhere")));
        }
    }
}

/// Targets of `[text](target)`, outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second piece is between code marks.
        for piece in line.split('`').step_by(2) {
            for (at, _) in piece.match_indices("](") {
                if let Some((target, _)) = piece[at + 2..].split_once(')') {
                    links.push((index + 1, target));
                }
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "[a](b.md) and [c](d#e)\n```\n[f](g)\n```\n`[h](i)` [`j`](k)";
        assert_eq!(links(text), [(1, "b.md"), (1, "d#e"), (5, "k")]);
    }

    #[test]
    fn shared_crates_are_those_of_the_workspace_table() {
        let manifest = "[a]\nb = 1\n[workspace.dependencies]\nours = { path = \"o\" }\n\nsnap = 1\n[c]\nd = 2\n";
        assert_eq!(shared(manifest).collect::<Vec<_>>(), [(6, "snap")]);
    }

    #[test]
    fn rows_open_with_a_name_in_code_marks() {
        let document = "| need | why |\n|---|---|\n| `mio` | sockets |\n| x | `y` |\n";
        assert_eq!(rows(document).collect::<Vec<_>>(), [(3, "mio")]);
    }
}
