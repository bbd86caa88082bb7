//! Preparing an empty data directory.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ostler_server::config::properties;

use super::in_use::lock_all;
use super::screen::{Refusal, Screen};

/// What is prepared.
#[derive(Clone, Debug)]
pub(crate) struct Init {
    /// Names the directories.
    pub(crate) config: PathBuf,
    /// The server's number in its ensemble.
    pub(crate) my_id: Option<String>,
    /// Whether what is there may be removed.
    pub(crate) force: bool,
}

/// Makes the directories, `myid`, and the marker that lets a member begin with nothing.
///
/// All of it is told on standard output, failures too, as it always was.
pub(crate) fn initialize(screen: &mut Screen<'_>, what: &Init) -> Result<(), Refusal> {
    match prepare(screen, what) {
        Err(refusal) if !refusal.message.is_empty() => {
            writeln!(screen.out, "{}", refusal.message)?;
            Err(Refusal::new(refusal.code, ""))
        }
        other => other,
    }
}

fn prepare(screen: &mut Screen<'_>, what: &Init) -> Result<(), Refusal> {
    let config = what.config.display();
    let Ok(text) = fs::read(&what.config) else {
        return Err(Refusal::new(1, format!("Unable to find config file at {config}")));
    };
    let Some(data_dir) = value_of(&text, "dataDir") else {
        return Err(Refusal::new(1, format!("Unable to determine dataDir from {config}")));
    };
    let log_dir = value_of(&text, "dataLogDir").filter(|log_dir| *log_dir != data_dir);
    let mut dirs = vec![(data_dir.as_path(), "data")];
    dirs.extend(log_dir.iter().map(|log_dir| (log_dir.as_path(), "txnlog")));
    if what.force {
        writeln!(screen.out, "Force enabled, data/txnlog directories will be re-initialized")?;
    } else if let Some((dir, kind)) = dirs.iter().find(|(dir, _)| dir.join("version-2").is_dir()) {
        let dir = dir.display();
        return Err(Refusal::new(
            1,
            format!(
                "ZooKeeper {kind} directory already exists at {dir} (or use --force to force \
                 re-initialization)"
            ),
        ));
    }
    let paths: Vec<&Path> = dirs.iter().map(|(dir, _)| *dir).collect();
    let _locks = lock_all(&paths).map_err(|error| Refusal::new(1, error))?;
    for dir in &paths {
        begin_anew(dir).map_err(|error| failed(dir, &error))?;
        // Servers look for it beside the logs, people beside the snapshots.
        fs::write(dir.join("initialize"), "").map_err(|error| failed(dir, &error))?;
    }
    match &what.my_id {
        Some(my_id) => {
            writeln!(screen.out, "Using myid of {my_id}")?;
            let file = data_dir.join("myid");
            fs::write(&file, format!("{my_id}\n")).map_err(|error| failed(&file, &error))?;
        }
        None => writeln!(
            screen.out,
            "No myid provided, be sure to specify it in {}/myid if using non-standalone",
            data_dir.display()
        )?,
    }
    Ok(())
}

fn begin_anew(dir: &Path) -> io::Result<()> {
    let absent_is_fine = |result: io::Result<()>| match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    absent_is_fine(fs::remove_file(dir.join("myid")))?;
    absent_is_fine(fs::remove_dir_all(dir.join("version-2")))?;
    fs::create_dir_all(dir.join("version-2"))
}

/// The directory of a key, if the configuration has it and can be read.
pub(crate) fn value_of(text: &[u8], key: &str) -> Option<PathBuf> {
    let entries = properties::parse(text).ok()?;
    let found = entries.into_iter().find(|entry| entry.key == key)?;
    (!found.value.is_empty()).then(|| PathBuf::from(found.value))
}

fn failed(path: &Path, error: &io::Error) -> Refusal {
    Refusal::new(1, format!("cannot prepare {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_as_the_server_reads_them() {
        let text = b"# dataDir=/no\n dataDir = /data\ndataLogDir:/log\nclientPort=2181\nx=\n";
        assert_eq!(value_of(text, "dataDir"), Some("/data".into()));
        assert_eq!(value_of(text, "dataLogDir"), Some("/log".into()));
        assert_eq!(value_of(text, "x"), None);
        assert_eq!(value_of(text, "y"), None);
    }
}
