//! Tools for data directories while nobody serves them: logs, snapshots, cleaning up, preparing,
//! and ids for ACLs.
//!
//! Each exists twice: as a subcommand with options of its own ([`LogOptions`] and the others), and
//! behind the scripts in `bin` that are called, print and end as those of the same names that
//! Apache's release 3.9.5 has (`scripts`). What they do is one and the same.
//!
//! No tool changes a directory that an Ostler server uses, unless it is told to.

mod cleanup;
mod digest;
mod in_use;
mod init;
mod java_order;
mod java_text;
mod log;
mod manual;
mod old_options;
mod screen;
mod scripts;
mod snapshot;
mod snapshot_compare;
mod snapshot_tree;
mod txn_text;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ostler_node::auth::DigestAlgorithm;

use screen::Refusal;

pub use manual::{completions, man};
pub use scripts::script;

/// What `ostler log` is asked for.
#[derive(Args, Debug)]
pub struct LogOptions {
    /// A transaction log: `version-2/log.<zxid>` in a data directory
    file: PathBuf,

    /// Write FILE.fixed, a copy with right checksums
    ///
    /// Asks for each record whose checksum is wrong. The copy is there only when it is whole.
    #[arg(short, long)]
    recover: bool,

    /// With --recover: print all records, not only those with wrong checksums
    #[arg(short, long, requires = "recover")]
    verbose: bool,

    /// With --recover: correct all checksums without asking
    #[arg(short, long, requires = "recover")]
    yes: bool,

    /// Write a copy that ends with that transaction: FILE.chopped and the zxid
    ///
    /// The zxid is decimal, or hexadecimal behind 0x. It has to be in the log, and another one
    /// behind it.
    #[arg(short, long, value_name = "ZXID", conflicts_with = "recover")]
    #[arg(value_parser = parse_zxid, allow_negative_numbers = true)]
    chop: Option<i64>,
}

/// `ostler log`: prints a transaction log, or writes a repaired or cut copy.
#[must_use]
pub fn log(options: &LogOptions) -> ExitCode {
    let LogOptions { file, recover, verbose, yes, chop } = options;
    screen::run(|screen| match chop {
        Some(zxid) => log::chop(screen, file, *zxid),
        None if *recover => log::repair(screen, file, log::Repair { yes: *yes, verbose: *verbose }),
        None => log::dump(screen, file),
    })
}

/// What `ostler snapshot` is asked for.
#[derive(Subcommand, Debug)]
pub enum SnapshotCommand {
    /// Print every znode and session of a snapshot
    Dump {
        /// A snapshot: `version-2/snapshot.<zxid>` in a data directory, or one with .gz or .snappy
        file: PathBuf,
        /// Print the data, as Base64, and not only their length
        #[arg(short, long)]
        data: bool,
        /// Print names and lengths in the JSON form of ncdu
        #[arg(short, long, conflicts_with = "data")]
        json: bool,
    },
    /// Print how much is below each znode that has children
    Summary {
        /// A snapshot
        file: PathBuf,
        /// The znode to begin with
        #[arg(default_value = "/")]
        path: String,
        /// How many levels below that are printed; 0 is all
        #[arg(short, long, default_value_t = 0)]
        depth: i32,
    },
    /// Tell how two snapshots differ, by the lengths of data and the numbers of znodes
    Compare {
        /// One snapshot
        left: PathBuf,
        /// The other
        right: PathBuf,
        /// Tell a znode when what is below it differs by more bytes than that
        #[arg(short, long, default_value_t = 0)]
        bytes: i32,
        /// Tell a znode when what is below it differs by more znodes than that
        #[arg(short, long, default_value_t = 0)]
        nodes: i32,
        /// Tell each comparison
        #[arg(short, long)]
        debug: bool,
        /// Ask which depth or path to tell
        #[arg(short, long)]
        interactive: bool,
    },
}

/// `ostler snapshot`: looks into snapshots.
#[must_use]
pub fn snapshot(command: &SnapshotCommand) -> ExitCode {
    screen::run(|screen| match command {
        SnapshotCommand::Dump { file, json: true, .. } => snapshot::print_json(screen, file),
        SnapshotCommand::Dump { file, data, .. } => snapshot::print_details(screen, file, *data),
        SnapshotCommand::Summary { file, path, depth } => {
            snapshot::print_summary(screen, file, path, *depth)
        }
        SnapshotCommand::Compare { left, right, bytes, nodes, debug, interactive } => {
            let wanted = snapshot_compare::Wanted {
                bytes: *bytes,
                nodes: *nodes,
                debug: *debug,
                interactive: *interactive,
            };
            snapshot_compare::compare(screen, left, right, wanted)
        }
    })
}

/// What `ostler cleanup` is asked for.
#[derive(Args, Debug)]
pub struct CleanupOptions {
    /// The configuration file that names the directories
    #[arg(short, long, value_name = "ZOO_CFG", required_unless_present = "data_dir")]
    config: Option<PathBuf>,

    /// The dataDir, instead of a configuration file
    #[arg(long, conflicts_with = "config")]
    data_dir: Option<PathBuf>,

    /// The dataLogDir, if it is another one
    #[arg(long, requires = "data_dir")]
    data_log_dir: Option<PathBuf>,

    /// How many snapshots stay, with the logs that follow the oldest of them
    #[arg(short = 'n', long = "keep", value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u32).range(3..))]
    keep: u32,

    /// Clean up while a server uses the directories, as it does itself with autopurge
    #[arg(long)]
    in_use: bool,
}

/// `ostler cleanup`: removes old snapshots and logs.
#[must_use]
pub fn cleanup(options: &CleanupOptions) -> ExitCode {
    screen::run(|screen| {
        let (snap_dir, log_dir) = directories(options)?;
        let keep = usize::try_from(options.keep).unwrap_or(usize::MAX);
        let what = cleanup::Cleanup { log_dir, snap_dir, keep, may_be_in_use: options.in_use };
        cleanup::clean_up(screen, &what)
    })
}

/// `dataDir` and `dataLogDir`.
fn directories(options: &CleanupOptions) -> Result<(PathBuf, PathBuf), Refusal> {
    let (data_dir, log_dir) = match (&options.data_dir, &options.config) {
        (Some(data_dir), _) => (data_dir.clone(), options.data_log_dir.clone()),
        (None, config) => {
            let config = config.as_deref().unwrap_or_else(|| Path::new("zoo.cfg"));
            let shown = config.display();
            let text = fs::read(config)
                .map_err(|error| Refusal::new(1, format!("cannot read {shown}: {error}")))?;
            let data_dir = init::value_of(&text, "dataDir")
                .ok_or_else(|| Refusal::new(1, format!("{shown} sets no dataDir")))?;
            (data_dir, init::value_of(&text, "dataLogDir"))
        }
    };
    Ok((data_dir.clone(), log_dir.unwrap_or(data_dir)))
}

/// What `ostler init` is asked for.
#[derive(Args, Debug)]
pub struct InitOptions {
    /// The configuration file that names the directories
    #[arg(long = "configfile", visible_alias = "config", value_name = "ZOO_CFG")]
    config: PathBuf,

    /// The server's number in its ensemble, 1 to 255
    #[arg(long = "myid", value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    my_id: Option<u8>,

    /// Remove the data that are there
    #[arg(long)]
    force: bool,
}

/// `ostler init`: prepares an empty data directory.
#[must_use]
pub fn init(options: &InitOptions) -> ExitCode {
    let InitOptions { config, my_id, force } = options;
    let my_id = my_id.map(|my_id| my_id.to_string());
    let what = init::Init { config: config.clone(), my_id, force: *force };
    screen::run(|screen| init::initialize(screen, &what))
}

/// What `ostler digest` is asked for.
#[derive(Args, Debug)]
pub struct DigestOptions {
    /// USER:PASSWORD; without any, one is read from each line of standard input
    #[arg(value_name = "USER:PASSWORD")]
    pairs: Vec<String>,

    /// The hash, by the name that `DigestAuthenticationProvider.digestAlg` has for it
    #[arg(short, long, default_value = "SHA1", value_parser = parse_algorithm)]
    algorithm: DigestAlgorithm,
}

/// `ostler digest`: prints ids for ACLs.
#[must_use]
pub fn digest(options: &DigestOptions) -> ExitCode {
    screen::run(|screen| digest::print_ids(screen, options.algorithm, &options.pairs))
}

fn parse_algorithm(name: &str) -> Result<DigestAlgorithm, String> {
    DigestAlgorithm::from_name(name).ok_or_else(|| "no such hash; try SHA-256".to_owned())
}

// Java: Long.decode.
fn parse_zxid(text: &str) -> Result<i64, String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let digits = if sign.is_empty() { digits.strip_prefix('+').unwrap_or(digits) } else { digits };
    let hex = ["0x", "0X", "#"].iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (radix, digits) = match (hex, digits.strip_prefix('0')) {
        (Some(hex), _) => (16, hex),
        (None, Some(octal)) if !octal.is_empty() => (8, octal),
        _ => (10, digits),
    };
    match digits.starts_with(['+', '-']) {
        true => None,
        false => i64::from_str_radix(&format!("{sign}{digits}"), radix).ok(),
    }
    .ok_or_else(|| format!("{text} is no zxid"))
}

#[cfg(test)]
mod tests {
    use super::parse_zxid;

    #[test]
    fn zxids_are_read_in_three_bases() {
        for (text, number) in
            [("5", 5), ("0x1f", 31), ("#1F", 31), ("017", 15), ("0", 0), ("-0x1", -1), ("+7", 7)]
        {
            assert_eq!(parse_zxid(text), Ok(number), "{text}");
        }
        for text in ["", "x", "0x", "1f", "08", "0x-1", "--1", "99999999999999999999"] {
            assert!(parse_zxid(text).is_err(), "{text}");
        }
    }
}
