//! `cargo xtask dist`: what is given to people who do not build.
//!
//! ```text
//! target/dist/ostler-<version>-<target>.tar.gz   bin, conf, docs, share, in one directory
//! target/dist/ostler_<version>_<arch>.deb        the same where Debian wants it, with a service
//! ```
//!
//! The binary is linked statically: with musl where that target and a C compiler for it are there,
//! else with the C library of this machine. All times in the archives are that of the last commit,
//! and files come sorted, so the same sources give the same archives.

mod archive;
mod deb;

use std::env::consts::ARCH;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

pub(crate) const USAGE: &str = "\
usage: cargo xtask dist [--target TRIPLE] [--binary PATH]
  --target   musl or gnu; musl where it can be built, else gnu
  --binary   takes this binary instead of building one";

/// Builds the archives.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is in the root")?;
    let (target, binary) = parse(arguments)?;
    let target = target.unwrap_or_else(default_target);
    let binary = match binary {
        Some(binary) => binary,
        None => build(root, &target)?,
    };
    let dist = root.join("target/dist");
    let name = format!("ostler-{}-{target}", env!("CARGO_PKG_VERSION"));
    let stage = dist.join(&name);
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    let time_s = commit_time_s(root)?;
    fill(root, &stage, &binary)?;
    let tarball = dist.join(format!("{name}.tar.gz"));
    archive::tar_gz(&dist, &[name.as_ref()], &tarball, time_s)?;
    report(&tarball)?;
    let package = deb::build(root, &stage, &dist, debian_architecture(&target)?, time_s)?;
    report(&package)
}

fn parse(arguments: &[String]) -> anyhow::Result<(Option<String>, Option<PathBuf>)> {
    let (mut target, mut binary) = (None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--target" => target = Some(value?.clone()),
            "--binary" => binary = Some(PathBuf::from(value?)),
            _ => bail!("{USAGE}"),
        }
    }
    Ok((target, binary))
}

fn default_target() -> String {
    let musl = format!("{ARCH}-unknown-linux-musl");
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    let has_target = installed.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).lines().any(|line| line == musl)
    });
    let has_compiler = Command::new("musl-gcc").arg("--version").output().is_ok();
    if has_target && has_compiler {
        return musl;
    }
    eprintln!(
        "no {musl} here (rustup target add {musl}, and musl-gcc of Debian's musl-tools): \
         linking this machine's C library statically"
    );
    format!("{ARCH}-unknown-linux-gnu")
}

/// Builds the binary and returns a copy without the tables that only debuggers want.
fn build(root: &Path, target: &str) -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root);
    cargo.args(["build", "--release", "--package", "ostler-cli", "--bin", "ostler"]);
    cargo.args(["--target", target]);
    if target.ends_with("musl") {
        cargo.env(format!("CC_{}", target.replace('-', "_")), "musl-gcc");
    } else {
        // Named by target, so that build scripts are left alone.
        let name = target.replace('-', "_").to_uppercase();
        cargo.env(format!("CARGO_TARGET_{name}_RUSTFLAGS"), "-C target-feature=+crt-static");
    }
    run_command(&mut cargo)?;
    let target_dir =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let built = target_dir.join(target).join("release/ostler");
    let stripped = built.with_file_name("ostler-stripped");
    run_command(Command::new("strip").arg("--strip-debug").arg("-o").arg(&stripped).arg(&built))?;
    Ok(stripped)
}

/// Lays out the directory that the tarball holds.
fn fill(root: &Path, stage: &Path, binary: &Path) -> anyhow::Result<()> {
    for dir in ["bin", "conf", "docs", "share/man/man1", "share/completions"] {
        fs::create_dir_all(stage.join(dir))?;
    }
    let ostler = stage.join("bin/ostler");
    install(binary, &ostler, 0o755)?;
    for script in files(&root.join("bin"), "sh")? {
        install(&script, &stage.join("bin").join(name_of(&script)), 0o755)?;
    }
    install(&root.join("conf/zoo_sample.cfg"), &stage.join("conf/zoo_sample.cfg"), 0o644)?;
    install(&root.join("packaging/ostler.service"), &stage.join("share/ostler.service"), 0o644)?;
    for document in files(&root.join("docs"), "md")? {
        install(&document, &stage.join("docs").join(name_of(&document)), 0o644)?;
    }
    for document in ["ARCHITECTURE.md", "COMPAT.md"] {
        install(&root.join(document), &stage.join("docs").join(document), 0o644)?;
    }
    for document in ["LICENSE", "README.md"] {
        install(&root.join(document), &stage.join(document), 0o644)?;
    }
    run_command(Command::new(&ostler).arg("man").arg(stage.join("share/man/man1")))?;
    for (shell, file) in [("bash", "ostler"), ("zsh", "_ostler"), ("fish", "ostler.fish")] {
        let output = Command::new(&ostler).args(["completions", shell]).output()?;
        ensure!(output.status.success(), "ostler completions {shell}: {}", output.status);
        fs::write(stage.join("share/completions").join(file), output.stdout)?;
    }
    Ok(())
}

/// The time of the last commit, in seconds since 1970.
fn commit_time_s(root: &Path) -> anyhow::Result<u64> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return given.trim().parse().context("SOURCE_DATE_EPOCH");
    }
    let output =
        Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root).output()?;
    String::from_utf8(output.stdout)?.trim().parse().context("the time of the last commit")
}

fn debian_architecture(target: &str) -> anyhow::Result<&'static str> {
    Ok(match target.split('-').next() {
        Some("x86_64") => "amd64",
        Some("aarch64") => "arm64",
        _ => bail!("Debian has no name for {target} here"),
    })
}

fn report(path: &Path) -> anyhow::Result<()> {
    let size_kb = fs::metadata(path)?.len() / 1024;
    println_line(&format!("{} ({size_kb} KiB)", path.display()));
    Ok(())
}

#[allow(clippy::print_stdout)] // It is what the command is asked for.
fn println_line(line: &str) {
    println!("{line}");
}

fn run_command(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

fn install(from: &Path, to: &Path, mode: u32) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn files(dir: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new(extension)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}
