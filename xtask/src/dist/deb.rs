//! The Debian package, made of the tarball's files.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive::{ar, tar_gz};
use super::{files, install, name_of, run_command};

/// Builds the package from a laid out tarball.
pub(crate) fn build(
    root: &Path,
    stage: &Path,
    dist: &Path,
    architecture: &str,
    time_s: u64,
) -> anyhow::Result<PathBuf> {
    let version = env!("CARGO_PKG_VERSION");
    let work = dist.join("deb");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let (data, control) = (work.join("data"), work.join("control"));
    fs::create_dir_all(&control)?;
    lay_out(root, stage, &data, time_s)?;
    let own = root.join("packaging/deb");
    let text = fs::read_to_string(own.join("control"))?
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@SIZE_KB@", &size_kb(&data)?.to_string());
    fs::write(control.join("control"), text)?;
    let conffiles: String = CONFFILES.iter().map(|name| format!("/etc/ostler/{name}\n")).collect();
    fs::write(control.join("conffiles"), conffiles)?;
    for script in ["postinst", "prerm", "postrm"] {
        install(&own.join(script), &control.join(script), 0o755)?;
    }
    write_sums(&data, &control.join("md5sums"))?;
    let binary = work.join("debian-binary");
    fs::write(&binary, "2.0\n")?;
    let dot: [&OsStr; 1] = [".".as_ref()];
    let (control_tar, data_tar) = (work.join("control.tar.gz"), work.join("data.tar.gz"));
    tar_gz(&control, &dot, &control_tar, time_s)?;
    tar_gz(&data, &dot, &data_tar, time_s)?;
    let package = dist.join(format!("ostler_{version}_{architecture}.deb"));
    ar(&[&binary, &control_tar, &data_tar], &package, time_s)?;
    fs::remove_dir_all(&work)?;
    Ok(package)
}

/// Puts everything where Debian wants it.
fn lay_out(root: &Path, stage: &Path, data: &Path, time_s: u64) -> anyhow::Result<()> {
    for dir in [
        "etc/ostler",
        "usr/bin",
        "usr/lib/systemd/system",
        "usr/share/bash-completion/completions",
        "usr/share/doc/ostler",
        "usr/share/fish/vendor_completions.d",
        "usr/share/lintian/overrides",
        "usr/share/man/man1",
        "usr/share/ostler/bin",
        "usr/share/zsh/vendor-completions",
    ] {
        fs::create_dir_all(data.join(dir))?;
    }
    let own = root.join("packaging/deb");
    install(&stage.join("bin/ostler"), &data.join("usr/bin/ostler"), 0o755)?;
    for script in files(&stage.join("bin"), "sh")? {
        let name = name_of(&script);
        install(&script, &data.join("usr/share/ostler/bin").join(name), 0o755)?;
        // Only sourced by the others.
        if name != "zkEnv.sh" {
            symlink(Path::new("../share/ostler/bin").join(name), data.join("usr/bin").join(name))?;
        }
    }
    // The scripts look for their configuration beside themselves.
    symlink("/etc/ostler", data.join("usr/share/ostler/conf"))?;
    for file in CONFFILES {
        install(&own.join(file), &data.join("etc/ostler").join(file), 0o644)?;
    }
    let unit = data.join("usr/lib/systemd/system/ostler.service");
    install(&stage.join("share/ostler.service"), &unit, 0o644)?;
    let completions = stage.join("share/completions");
    for (file, to) in [
        ("ostler", "usr/share/bash-completion/completions"),
        ("_ostler", "usr/share/zsh/vendor-completions"),
        ("ostler.fish", "usr/share/fish/vendor_completions.d"),
    ] {
        install(&completions.join(file), &data.join(to).join(file), 0o644)?;
    }
    for page in files(&stage.join("share/man/man1"), "1")? {
        let to = data.join("usr/share/man/man1").join(name_of(&page));
        install(&page, &to, 0o644)?;
        gzip(&to)?;
    }
    for (script, page) in MANUALS {
        let link = data.join(format!("usr/share/man/man1/{script}.1.gz"));
        symlink(format!("{page}.1.gz"), link)?;
    }
    let documents = data.join("usr/share/doc/ostler");
    install(&own.join("copyright"), &documents.join("copyright"), 0o644)?;
    install(&stage.join("README.md"), &documents.join("README.md"), 0o644)?;
    for document in files(&stage.join("docs"), "md")? {
        install(&document, &documents.join(name_of(&document)), 0o644)?;
    }
    write_changelog(&documents.join("changelog"), time_s)?;
    let overrides = data.join("usr/share/lintian/overrides/ostler");
    install(&own.join("lintian-overrides"), &overrides, 0o644)
}

/// What an administrator may change.
const CONFFILES: &[&str] = &["zoo.cfg", "zookeeper-env.sh"];

/// Which page tells about what a script does.
const MANUALS: &[(&str, &str)] = &[
    ("zkCleanup.sh", "ostler-cleanup"),
    ("zkCli.sh", "ostler-shell"),
    ("zkServer-initialize.sh", "ostler-init"),
    ("zkServer.sh", "ostler-serve"),
    ("zkSnapShotToolkit.sh", "ostler-snapshot"),
    ("zkSnapshotComparer.sh", "ostler-snapshot-compare"),
    ("zkSnapshotRecursiveSummaryToolkit.sh", "ostler-snapshot-summary"),
    ("zkTxnLogToolkit.sh", "ostler-log"),
];

/// What changed is in the repository; a package has to have the file.
fn write_changelog(to: &Path, time_s: u64) -> anyhow::Result<()> {
    let date = Command::new("date")
        .args(["--utc", "--rfc-email", &format!("--date=@{time_s}")])
        .env("LC_ALL", "C")
        .output()?;
    let text = format!(
        "ostler ({}) unstable; urgency=medium\n\n  * Built from the repository.\n\n \
         -- The Ostler developers <ostler@packages.invalid>  {}",
        env!("CARGO_PKG_VERSION"),
        String::from_utf8(date.stdout)?
    );
    fs::write(to, text)?;
    gzip(to)
}

fn gzip(path: &Path) -> anyhow::Result<()> {
    run_command(Command::new("gzip").args(["--no-name", "--best", "--force"]).arg(path))
}

fn size_kb(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for path in walk(dir)? {
        bytes += fs::symlink_metadata(&path)?.len();
    }
    Ok(bytes.div_ceil(1024))
}

fn write_sums(data: &Path, to: &Path) -> anyhow::Result<()> {
    let mut sums = String::new();
    for path in walk(data)? {
        let relative = path.strip_prefix(data)?;
        // Configuration files are watched over by other means.
        if relative.starts_with("etc") || path.is_symlink() {
            continue;
        }
        let output = Command::new("md5sum").arg("--").arg(relative).current_dir(data).output()?;
        sums.push_str(&String::from_utf8(output.stdout)?);
    }
    fs::write(to, sums)?;
    Ok(())
}

/// All files and links below a directory, sorted.
fn walk(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
