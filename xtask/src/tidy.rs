//! The rules of STYLE.md that no compiler checks, as a command and as a test.
//!
//! Looks at every file that git knows or would add. All findings are printed, each with its place;
//! nothing is ever changed. Rules are rough where exactness would need a Rust parser: the scanner
//! of [`source`] tells code, comments and strings apart, and that is enough.

mod arrows;
mod documents;
mod rust_files;
mod source;
mod texts;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// One broken rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Finding {
    /// Relative to the root.
    path: String,
    /// 1 is the first; 0 stands for the whole file.
    line: usize,
    /// What is wrong, as a clause.
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Checks the workspace and prints what is wrong.
pub(crate) fn run() -> anyhow::Result<()> {
    let findings = findings(&root())?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} findings"),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the root").to_path_buf()
}

/// Everything that is wrong, by file and line.
fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let files = files(root)?;
    for path in &files {
        let bytes = std::fs::read(root.join(path)).with_context(|| path.clone())?;
        // What is not text is data.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        texts::check(path, &text, &mut findings);
        if path.ends_with(".rs") {
            rust_files::check(path, &text, &mut findings);
        }
        if path.ends_with(".md") {
            documents::check_links(root, path, &text, &mut findings);
        }
    }
    let packages = arrows::packages(root, &files)?;
    arrows::check(&packages, &mut findings);
    documents::check_front(root, &mut findings);
    documents::check_dependencies(root, &packages, &mut findings);
    findings.sort();
    Ok(findings)
}

/// Relative paths of all files that are or would be in the repository.
fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git must be there to list the files")?;
    if !listing.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&listing.stderr).trim());
    }
    let names = String::from_utf8(listing.stdout).context("a file name is not UTF-8")?;
    // A file can be listed and have been removed from the work tree.
    let there = |name: &&str| !name.is_empty() && root.join(name).is_file();
    Ok(names.split('\0').filter(there).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let findings = findings(&root()).expect("the workspace can be read");
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
    }
}
