//! The command line of `cargo xtask bench`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use super::rows::{self, Row};
use super::scale::{self, Series};
use super::servers::{Kind, Place};

const USAGE: &str = "usage: cargo xtask bench [option ...]
  Apache and Ostler in turn, as a table of ratios:
  --rows NAME,...    only these rows
  --repeat N         runs of each row, in turn for each server; the median counts (1)
  --seconds N        measured time of each load (4)
  --warmup N         time before it, for the sake of Java's compiler (3)
  --count N          znodes of the large rows (1000000)
  --quick            short times, few znodes: to see that everything works
  Ostler as things grow:
  --scale NAME,...   these series in place of the table; without names, all
  Both:
  --servers NAME,... apache, ostler or both (both; --scale: ostler)
  --json FILE        keep the raw figures
  --from FILE        begin with the figures that --json kept; what is run takes their place
  --markdown FILE    write the table there, or into the place that comments mark in it
  --svg FILE         draw the ratios there; with --scale, a directory for the plots
  --readme           write tables and plots into README.md and docs, and keep the figures there
  --ostler FILE      the binary (target/release/ostler, built if it is missing)
  --load FILE        the ostler that makes the load (the same)
  --dir DIR          where the servers keep their data (the system's temporary directory)";

/// What the command line asks for.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) rows: Vec<&'static Row>,
    /// Empty: the table is asked for.
    pub(super) series: Vec<&'static Series>,
    pub(super) servers: Vec<Kind>,
    pub(super) seconds: f64,
    pub(super) warmup: f64,
    pub(super) repeat: u32,
    pub(super) is_quick: bool,
    /// Znodes of the large rows.
    pub(super) count: u64,
    /// Sessions that are opened.
    pub(super) sessions: u64,
    /// Sessions that watch one znode.
    pub(super) watchers: u64,
    pub(super) place: Place,
    pub(super) outputs: Outputs,
    /// The command line without names of files.
    pub(super) command: String,
}

/// Where results go beside standard output.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs {
    pub(super) json: Option<PathBuf>,
    pub(super) from: Option<PathBuf>,
    pub(super) markdown: Option<PathBuf>,
    pub(super) svg: Option<PathBuf>,
    pub(super) readme: bool,
    pub(super) root: PathBuf,
}

/// What this command can do, with the names of rows and series.
pub(super) fn usage() -> String {
    let names = |names: Vec<&str>| names.join(", ");
    format!(
        "{USAGE}\nrows: {}\nseries: {}\n",
        names(rows::ALL.iter().map(|row| row.name).collect()),
        names(scale::ALL.iter().map(|series| series.name).collect())
    )
}

impl Options {
    fn new() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let root = root.parent().expect("xtask is in the root").to_path_buf();
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Self {
            rows: rows::ALL.iter().collect(),
            series: Vec::new(),
            servers: Vec::new(),
            seconds: 4.0,
            warmup: 3.0,
            repeat: 1,
            is_quick: false,
            count: 1_000_000,
            sessions: 6_000,
            watchers: 1_000,
            place: Place {
                ostler: target.join("release/ostler"),
                load: None,
                apache: root.join("interop/apache"),
                dir: std::env::temp_dir().join(format!("ostler-bench-{}", std::process::id())),
            },
            outputs: Outputs { root, ..Outputs::default() },
            command: "cargo xtask bench".to_owned(),
        }
    }

    /// `None`: the usage is asked for.
    pub(super) fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Self::new();
        let mut arguments = arguments.iter().peekable();
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--help" => return Ok(None),
                "--quick" => options.be_quick(),
                "--readme" => options.outputs.readme = true,
                "--scale" => {
                    let names = arguments.next_if(|next| !next.starts_with("--"));
                    options.series = scale::named(names.map_or("all", String::as_str))?;
                    options.command.push_str(" --scale");
                    if let Some(names) = names {
                        options.command.extend([" ", names]);
                    }
                    continue;
                }
                _ => {
                    let value = arguments.next().with_context(usage)?;
                    if !options.set_file(name, value) {
                        options.set(name, value)?;
                    }
                    continue;
                }
            }
            if name != "--readme" {
                options.command.extend([" ", name]);
            }
        }
        if options.servers.is_empty() {
            options.servers = match options.series.is_empty() {
                true => Kind::ALL.to_vec(),
                false => vec![Kind::Ostler],
            };
        }
        let outputs = &options.outputs;
        ensure!(!(options.is_quick && outputs.readme), "--quick is not for the documents");
        Ok(Some(options))
    }

    /// Times so short that only the mechanics are measured.
    fn be_quick(&mut self) {
        self.is_quick = true;
        (self.seconds, self.warmup) = (1.0, 0.5);
        (self.count, self.sessions, self.watchers) = (20_000, 600, 100);
    }

    /// Sets an option that names a file; false if there is no such option. These are not entered
    /// into the command that documents tell.
    fn set_file(&mut self, name: &str, value: &str) -> bool {
        let path = PathBuf::from(value);
        match name {
            "--json" => self.outputs.json = Some(path),
            "--from" => self.outputs.from = Some(path),
            "--markdown" => self.outputs.markdown = Some(path),
            "--svg" => self.outputs.svg = Some(path),
            "--ostler" => self.place.ostler = path,
            "--load" => self.place.load = Some(path),
            "--dir" => self.place.dir = path.join("ostler-bench"),
            _ => return false,
        }
        true
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "--rows" => {
                let find = |name| rows::ALL.iter().find(|row| row.name == name);
                self.rows = value
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(|name| find(name).with_context(|| format!("no row {name}\n{}", usage())))
                    .collect::<Result<_>>()?;
            }
            "--servers" => {
                let is_asked = |kind: &Kind| value.split(',').any(|name| name == kind.name());
                self.servers = Kind::ALL.into_iter().filter(is_asked).collect();
                ensure!(!self.servers.is_empty(), "--servers knows apache and ostler");
            }
            "--seconds" => self.seconds = value.parse().context("--seconds takes a number")?,
            "--warmup" => self.warmup = value.parse().context("--warmup takes a number")?,
            "--repeat" => self.repeat = value.parse().context("--repeat takes a number")?,
            "--count" => self.count = value.parse().context("--count takes a number")?,
            other => bail!("unknown option {other}\n{}", usage()),
        }
        self.command.extend([" ", name, " ", value]);
        Ok(())
    }
}
