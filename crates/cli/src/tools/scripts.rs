//! The tools as the scripts in `bin` call them: arguments, usage lines and exit codes of Apache's.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::old_options::{OldOption, parse};
use super::screen::{self, Refusal, Screen};
use super::{cleanup, init, log, parse_zxid, snapshot, snapshot_compare};

/// Runs the tool of this name with the arguments of its script.
#[must_use]
pub fn script(name: &str, arguments: &[String]) -> ExitCode {
    screen::run(|screen| match name {
        "TxnLogToolkit" => log_toolkit(screen, arguments),
        "SnapshotFormatter" => snapshot_formatter(screen, arguments),
        "SnapshotComparer" => snapshot_comparer(screen, arguments),
        "SnapshotRecursiveSummary" => recursive_summary(screen, arguments),
        "PurgeTxnLog" => purge(screen, arguments),
        "initialize" => initialize(screen, arguments),
        _ => Err(Refusal::new(2, format!("there is no script for {name}"))),
    })
}

fn log_toolkit(screen: &mut Screen<'_>, arguments: &[String]) -> Result<(), Refusal> {
    let told = |code, message: String| Refusal { code, message, usage: LOG_USAGE };
    let parsed = parse(LOG_OPTIONS, arguments).map_err(|why| told(1, format!("{why}\n")))?;
    if parsed.has('h') {
        return Err(told(0, String::new()));
    }
    let Some(file) = parsed.rest.first().map(PathBuf::from) else {
        return Err(told(1, String::new()));
    };
    if let (true, Some(zxid)) = (parsed.has('c'), parsed.value('z')) {
        let zxid = parse_zxid(zxid).map_err(|why| Refusal::new(1, why))?;
        // A failure has been told, and was never one of the process.
        return log::chop(screen, &file, zxid).or_else(|refusal| match &*refusal.message {
            "" => Ok(()),
            _ => Err(refusal),
        });
    }
    if parsed.has('r') {
        let how = log::Repair { yes: parsed.has('y'), verbose: parsed.has('v') };
        return log::repair(screen, &file, how);
    }
    log::dump(screen, &file)
}

fn snapshot_formatter(screen: &mut Screen<'_>, arguments: &[String]) -> Result<(), Refusal> {
    let (mut with_data, mut as_json) = (false, false);
    let mut arguments = arguments.iter();
    let file = arguments.find(|argument| {
        with_data |= *argument == "-d";
        as_json |= *argument == "-json";
        !matches!(argument.as_str(), "-d" | "-json")
    });
    let (Some(file), None) = (file, arguments.next()) else {
        return Err(Refusal::new(2, FORMATTER_USAGE));
    };
    let file = Path::new(file);
    snapshot::require_file(file, 2)?;
    match (with_data, as_json) {
        (true, true) => Err(Refusal::new(
            2,
            "Cannot specify both data dump (-d) and json mode (-json) in same call",
        )),
        (_, true) => snapshot::print_json(screen, file),
        _ => snapshot::print_details(screen, file, with_data),
    }
}

fn snapshot_comparer(screen: &mut Screen<'_>, arguments: &[String]) -> Result<(), Refusal> {
    let parsed = parse(COMPARER_OPTIONS, arguments).map_err(|message| Refusal {
        code: 2,
        message,
        usage: COMPARER_USAGE,
    })?;
    let number = |option| {
        let text = parsed.value(option).unwrap_or_default();
        text.parse::<i32>().map_err(|_| Refusal::new(1, format!("{text} is no number")))
    };
    let wanted = snapshot_compare::Wanted {
        bytes: number('b')?,
        nodes: number('n')?,
        debug: parsed.has('d'),
        interactive: parsed.has('i'),
    };
    writeln!(screen.out, "Successfully parsed options!")?;
    let file = |option| Path::new(parsed.value(option).unwrap_or_default());
    snapshot_compare::compare(screen, file('l'), file('r'), wanted)
}

fn recursive_summary(screen: &mut Screen<'_>, arguments: &[String]) -> Result<(), Refusal> {
    let [file, start, depth_max] = arguments else { return Err(Refusal::new(2, SUMMARY_USAGE)) };
    let depth_max = depth_max.parse().map_err(|_| Refusal::new(2, SUMMARY_USAGE))?;
    snapshot::print_summary(screen, Path::new(file), start, depth_max)
}

fn purge(screen: &mut Screen<'_>, arguments: &[String]) -> Result<(), Refusal> {
    let told = |message: String| Refusal { code: 1, message, usage: PURGE_USAGE };
    let (log_dir, snap_dir, option, count) = match arguments {
        [dir, option, count] => (dir, dir, option, count),
        [log_dir, snap_dir, option, count] => (log_dir, snap_dir, option, count),
        _ => return Err(told(String::new())),
    };
    for dir in [log_dir, snap_dir] {
        if !Path::new(dir).exists() {
            let dir = std::path::absolute(dir).unwrap_or_else(|_| PathBuf::from(dir));
            return Err(told(format!("Path '{}' does not exist. ", dir.display())));
        }
    }
    let keep = match count.parse::<i32>() {
        Err(_) => return Err(told(format!("'{count}' can not be parsed to integer."))),
        Ok(count) => usize::try_from(count).unwrap_or(0),
    };
    if keep < 3 {
        return Err(told("count should be greater than or equal to 3".to_owned()));
    }
    if option != "-n" {
        return Err(told(String::new()));
    }
    let what = cleanup::Cleanup {
        log_dir: log_dir.into(),
        snap_dir: snap_dir.into(),
        keep,
        // The script was always for timers beside a running server.
        may_be_in_use: true,
    };
    cleanup::clean_up(screen, &what)
}

/// The arguments begin with the name of the script and its configuration file.
fn initialize(screen: &mut Screen<'_>, arguments: &[String]) -> Result<(), Refusal> {
    let [script, config, arguments @ ..] = arguments else {
        return Err(Refusal::new(2, "the script and its configuration file are not named"));
    };
    let usage = |screen: &mut Screen<'_>, config: &Path| {
        write!(screen.out, "usage: {script} <parameters>\n{}", init_usage(config))?;
        Err(Refusal::new(1, ""))
    };
    let mut what = init::Init { config: config.into(), my_id: None, force: false };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next().filter(|argument| !argument.is_empty()) {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) if !value.is_empty() => (name, Some(value)),
            _ => (argument.as_str(), None),
        };
        match (name, value) {
            ("-h" | "--help", None) => return usage(screen, &what.config),
            ("--force", None) => what.force = true,
            ("--configfile" | "--myid", value) => {
                let next = || arguments.next().map(String::as_str);
                let Some(value) = value.or_else(next) else {
                    return Err(Refusal::new(1, format!("{name} needs a value")));
                };
                match name {
                    "--myid" => what.my_id = Some(value.to_owned()).filter(|id| !id.is_empty()),
                    _ => what.config = value.into(),
                }
            }
            _ => {
                writeln!(screen.out, "Unknown option: {argument}")?;
                return usage(screen, &what.config);
            }
        }
    }
    init::initialize(screen, &what)
}

fn init_usage(config: &Path) -> String {
    let config: &OsStr = config.as_ref();
    let config = config.display().to_string();
    format!(
        "  Optional parameters:
     -h                                                    Display this message
     --help                                                Display this message
     --configfile={config:<40} ZooKeeper config file
     --myid=#                                              Set the myid to be used, if any (1-255)
     --force                                               Force creation of the data/txnlog dirs
"
    )
}

const fn flag(short: char, long: &'static str) -> OldOption {
    OldOption { short, long, takes_value: false, is_required: false }
}

const fn required(short: char, long: &'static str) -> OldOption {
    OldOption { short, long, takes_value: true, is_required: true }
}

const LOG_OPTIONS: &[OldOption] = &[
    flag('h', "help"),
    flag('r', "recover"),
    flag('v', "verbose"),
    flag('d', "dump"),
    flag('y', "yes"),
    flag('c', "chop"),
    OldOption { short: 'z', long: "zxid", takes_value: true, is_required: false },
];

const LOG_USAGE: &str = "\
usage: TxnLogToolkit [-dhrvc] <txn_log_file_name> (-z <zxid>)
 -c,--chop         Chop mode. Chop txn file to a zxid.
 -d,--dump         Dump mode. Dump all entries of the log file with printing the content of a \
nodepath (default)
 -h,--help         Print help message
 -r,--recover      Recovery mode. Re-calculate CRC for broken entries.
 -v,--verbose      Be verbose in recovery mode: print all entries, not just fixed ones.
 -y,--yes          Non-interactive mode: repair all CRC errors without asking
 -z,--zxid <arg>   Used with chop. Zxid to which to chop.
";

const FORMATTER_USAGE: &str = "\
USAGE: SnapshotFormatter [-d|-json] snapshot_file
       -d dump the data for each znode
       -json dump znode info in json format";

const COMPARER_OPTIONS: &[OldOption] = &[
    required('l', "left"),
    required('r', "right"),
    required('b', "bytes"),
    required('n', "nodes"),
    flag('d', "debug"),
    flag('i', "interactive"),
];

const COMPARER_USAGE: &str = "\
usage: java -cp <classPath> org.apache.zookeeper.server.SnapshotComparer
 -b,--bytes <BYTETHRESHOLD>   (Required) The node data delta size threshold, in bytes, for printing \
the node.
 -d,--debug                   Use debug output.
 -i,--interactive             Enter interactive mode.
 -l,--left <LEFT>             (Required) The left snapshot file.
 -n,--nodes <NODETHRESHOLD>   (Required) The descendant node delta size threshold, in nodes, for \
printing the node.
 -r,--right <RIGHT>           (Required) The right snapshot file.
";

const SUMMARY_USAGE: &str = "\
USAGE:


SnapshotRecursiveSummary  <snapshot_file>  <starting_node>  <max_depth>


snapshot_file:    path to the zookeeper snapshot
starting_node:    the path in the zookeeper tree where the traversal should begin
max_depth:        defines the depth where the tool still writes to the output. 0 means there is \
no depth limit, every non-leaf node's stats will be displayed, 1 means it will only contain the \
starting node's and it's children's stats, 2 ads another level and so on. This ONLY affects the \
level of details displayed, NOT the calculation.";

const PURGE_USAGE: &str = "\
Usage:
PurgeTxnLog dataLogDir [snapDir] -n count
\tdataLogDir -- path to the txn log directory
\tsnapDir -- path to the snapshot directory
\tcount -- the number of old snaps/logs you want to keep, value should be greater than or equal to 3
";
