//! Archives that depend on nothing but what is in them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Packs `names` of `dir`: sorted, owned by root, all of one time.
pub(crate) fn tar_gz(dir: &Path, names: &[&OsStr], to: &Path, time_s: u64) -> anyhow::Result<()> {
    let mut tar = Command::new("tar")
        .args(["--create", "--sort=name", "--format=gnu", "--numeric-owner"])
        .args(["--owner=0", "--group=0", &format!("--mtime=@{time_s}")])
        .arg("--directory")
        .arg(dir)
        .args(names)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run tar")?;
    let packed = tar.stdout.take().context("tar writes")?;
    let gzip = Command::new("gzip")
        .args(["--no-name", "--best", "--stdout"])
        .stdin(packed)
        .stdout(File::create(to)?)
        .status()
        .context("cannot run gzip")?;
    let tar = tar.wait()?;
    ensure!(tar.success() && gzip.success(), "tar ended with {tar}, gzip with {gzip}");
    Ok(())
}

/// Writes an `ar` archive, the outer layer of a Debian package.
///
/// ```text
/// archive = "!<arch>\n" member*
/// member  = name[16] time[12] owner[6] group[6] mode[8] size[10] "`\n"  content  ["\n" if odd]
/// ```
pub(crate) fn ar(files: &[&Path], to: &Path, time_s: u64) -> anyhow::Result<()> {
    let mut out = b"!<arch>\n".to_vec();
    for path in files {
        let content = fs::read(path)?;
        let name = path.file_name().unwrap_or_default().display().to_string();
        ensure!(name.len() <= 16, "{name} is too long a name");
        let size = content.len();
        writeln!(out, "{name:<16}{time_s:<12}{:<6}{:<6}{:<8}{size:<10}`", 0, 0, 100_644)?;
        out.extend_from_slice(&content);
        if size % 2 == 1 {
            out.push(b'\n');
        }
    }
    fs::write(to, out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_begin_at_even_offsets() {
        let dir = std::env::temp_dir().join(format!("ostler-ar-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let (odd, even, to) = (dir.join("odd"), dir.join("even"), dir.join("a"));
        fs::write(&odd, "abc").expect("a file");
        fs::write(&even, "de").expect("a file");
        ar(&[&odd, &even], &to, 7).expect("an archive");
        let written = fs::read_to_string(&to).expect("it is text");
        fs::remove_dir_all(&dir).expect("the directory is ours");
        let head = |name: &str, size: usize| {
            format!("{name:<16}7           0     0     100644  {size:<10}`\n")
        };
        let expected = format!("!<arch>\n{}abc\n{}de", head("odd", 3), head("even", 2));
        assert_eq!(written, expected);
    }
}
