//! Which crate may depend on which: the arrows of ARCHITECTURE.md, held against cargo's own view.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Finding;

/// Every crate of ours and all of ours that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("ostler-wire", &[]),
    ("ostler-wire-fuzz", &["ostler-wire"]),
    ("ostler-tree", &["ostler-wire"]),
    ("ostler-zab", &["ostler-wire"]),
    ("ostler-node", &["ostler-wire", "ostler-tree", "ostler-zab"]),
    ("ostler-node-fuzz", &["ostler-wire", "ostler-tree", "ostler-node"]),
    ("ostler-disk", &["ostler-wire", "ostler-tree"]),
    ("ostler-client", &["ostler-wire"]),
    ("ostler-server", &["ostler-wire", "ostler-tree", "ostler-zab", "ostler-node", "ostler-disk"]),
    (
        "ostler-cli",
        &[
            "ostler-wire",
            "ostler-tree",
            "ostler-node",
            "ostler-disk",
            "ostler-client",
            "ostler-server",
        ],
    ),
    ("ostler-counts", &["ostler-wire", "ostler-tree", "ostler-node", "ostler-disk"]),
    (
        "ostler-sim",
        &[
            "ostler-wire",
            "ostler-tree",
            "ostler-zab",
            "ostler-node",
            "ostler-disk",
            "ostler-client",
        ],
    ),
    ("xtask", &[]),
];

/// The pure ones: the compiler keeps clocks, sockets, files and threads out of them.
const NO_STD: &[&str] = &["ostler-wire", "ostler-tree", "ostler-zab", "ostler-node"];

/// A package of this repository.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Path of its manifest, relative to the root.
    pub(crate) manifest: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// The text of `src/lib.rs`, if it has one.
    lib: Option<String>,
    /// The text of all Rust files around the manifest.
    sources: String,
}

/// A dependency of any kind: ordinary, for tests, or for build scripts.
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Whether it is a package of this repository.
    pub(crate) is_ours: bool,
    /// Whether the manifest says above it why it is there; some are there for a feature alone.
    is_explained: bool,
}

/// All packages, also those outside the workspace.
pub(crate) fn packages(root: &Path, files: &[String]) -> anyhow::Result<Vec<Package>> {
    let mut packages = Vec::new();
    for manifest in files.iter().filter(|file| file.rsplit('/').next() == Some("Cargo.toml")) {
        for package in metadata(root, manifest, files)? {
            // Any member leads to all members of its workspace.
            if packages.iter().all(|known: &Package| known.name != package.name) {
                packages.push(package);
            }
        }
    }
    Ok(packages)
}

fn metadata(root: &Path, manifest: &str, files: &[String]) -> anyhow::Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"])
        .arg(root.join(manifest))
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata of {manifest}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    packages.iter().map(|package| read_package(root, package, files)).collect()
}

fn read_package(root: &Path, package: &Value, files: &[String]) -> anyhow::Result<Package> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("not a string");
    let manifest = text(&package["manifest_path"])?;
    let manifest = Path::new(&manifest);
    let lib = manifest.with_file_name("src").join("lib.rs");
    let directory = manifest.parent().context("a manifest is in a directory")?;
    let mut sources = String::new();
    for file in files.iter().map(|file| root.join(file)) {
        if file.starts_with(directory) && file.extension().is_some_and(|ending| ending == "rs") {
            sources.push_str(&std::fs::read_to_string(file)?);
        }
    }
    let dependencies = package["dependencies"].as_array().context("no dependencies")?;
    let manifest_text = std::fs::read_to_string(manifest)?;
    Ok(Package {
        name: text(&package["name"])?,
        manifest: manifest.strip_prefix(root)?.to_string_lossy().into_owned(),
        dependencies: dependencies
            .iter()
            .map(|dependency| {
                let name = text(&dependency["name"])?;
                let is_explained = is_explained(&manifest_text, &name);
                Ok(Dependency { name, is_ours: dependency["path"].is_string(), is_explained })
            })
            .collect::<anyhow::Result<_>>()?,
        lib: std::fs::read_to_string(lib).ok(),
        sources,
    })
}

/// Whether a comment stands right above the line of this dependency.
fn is_explained(manifest: &str, name: &str) -> bool {
    let lines: Vec<&str> = manifest.lines().collect();
    lines.windows(2).any(|pair| {
        let rest = pair[1].strip_prefix(name);
        pair[0].starts_with('#') && rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    })
}

/// Checks the arrows, that they are needed, and that the pure crates say that they are pure.
pub(crate) fn check(packages: &[Package], findings: &mut Vec<Finding>) {
    for package in packages {
        let mut find = |message| findings.push(Finding::new(&package.manifest, 0, message));
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            find(format!("{} has no place in the arrows", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.is_ours) {
            if !allowed.contains(&dependency.name.as_str()) {
                find(format!("{} must not depend on {}", package.name, dependency.name));
            }
        }
        for dependency in package.dependencies.iter().filter(|d| !d.is_ours && !d.is_explained) {
            if !package.sources.contains(&dependency.name.replace('-', "_")) {
                find(format!("{} does not use {}", package.name, dependency.name));
            }
        }
        let lib = package.lib.as_deref().unwrap_or_default();
        if NO_STD.contains(&package.name.as_str()) && !lib.contains("\n#![no_std]\n") {
            find(format!("{} must be #![no_std]", package.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependency: &str, lib: &str) -> Package {
        let is_explained = false;
        let dependencies =
            vec![Dependency { name: dependency.into(), is_ours: true, is_explained }];
        Package {
            name: name.into(),
            manifest: "m".into(),
            dependencies,
            lib: Some(lib.into()),
            sources: dependency.replace('-', "_"),
        }
    }

    #[track_caller]
    fn check_package(package: Package, expected: &[&str]) {
        let mut findings = Vec::new();
        check(&[package], &mut findings);
        let found: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn arrows_point_one_way() {
        check_package(package("ostler-disk", "ostler-tree", ""), &[]);
        check_package(
            package("ostler-disk", "ostler-node", ""),
            &["ostler-disk must not depend on ostler-node"],
        );
        check_package(
            package("ostler-sim", "ostler-server", ""),
            &["ostler-sim must not depend on ostler-server"],
        );
        check_package(package("other", "x", ""), &["other has no place in the arrows"]);
    }

    #[test]
    fn what_is_declared_is_used() {
        let mut package = package("ostler-disk", "simd-adler32", "");
        package.dependencies[0].is_ours = false;
        package.sources = "use simd_adler32::Adler32;".into();
        check_package(package, &[]);
        let mut package = self::package("ostler-disk", "simd-adler32", "");
        package.dependencies[0].is_ours = false;
        package.sources = "use other;".into();
        check_package(package, &["ostler-disk does not use simd-adler32"]);
        assert!(is_explained("# For a feature.\nsnap.workspace = true\n", "snap"));
        assert!(!is_explained("# For a feature.\nsnapper = \"1\"\nsnap = \"1\"\n", "snap"));
    }

    #[test]
    fn the_core_has_no_std() {
        let wire = "ostler-wire";
        check_package(package("ostler-tree", wire, "//! x\n\n#![no_std]\n"), &[]);
        check_package(package("ostler-tree", wire, "\n"), &["ostler-tree must be #![no_std]"]);
    }
}
