//! The `ostler` binary: a server, a shell, and tools around them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
// Only for its feature: see the manifest.
use crc32fast as _;
use ostler_cli::{bench, shell, tools};

// Views of the tree are dropped on other threads than the one that made them. With the C library's
// allocator that makes threads wait for each other's arenas; this one hands such memory back
// without waiting.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A server for ZooKeeper clients, in one binary.
#[derive(Parser)]
#[command(name = "ostler", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a server in the foreground
    ///
    /// Without arguments it serves port 2181 with its data in ./data. With one it reads that
    /// configuration file (zoo.cfg). The form `PORT DATADIR [TICKTIME] [MAXCNXNS]` needs no file.
    /// Options `-Dname=value` set what are system properties elsewhere, such as
    /// `-Djute.maxbuffer=4194304`.
    ///
    /// Exit status: 0 after SIGTERM or SIGINT, 1 for an unexpected error such as a port in use,
    /// 2 for a wrong configuration, 3 for an unusable data directory.
    #[command(override_usage = "ostler serve [-Dname=value]... [ZOO_CFG]\n       \
                                ostler serve [-Dname=value]... PORT DATADIR [TICKTIME] [MAXCNXNS]")]
    Serve {
        /// Handed to the server as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<String>,
    },

    /// Talk to servers: one command, a file of commands, or a terminal
    ///
    /// With a command it is run once; without one, commands are read from stdin. `help` lists them.
    /// Everything is as with zkCli.sh: commands, output, exit codes. At a terminal lines are
    /// completed and kept; `OSTLER_HISTORY` names a file to keep them in, `NO_COLOR` turns colours
    /// off.
    ///
    /// Exit status: 0, 1 when the last command failed, 2 when the client configuration cannot be
    /// used, 127 when there is no such command.
    #[command(override_usage = "ostler shell [-server HOST:PORT[,HOST:PORT]...[/CHROOT]] \
                                [-timeout MS] [-r] [-waitforconnection]\n             \
                                [-client-configuration FILE] [COMMAND [WORD]...]")]
    Shell {
        /// Read by the shell itself, which has options of its own kind.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<String>,
    },

    /// Load a server of the ZooKeeper protocol and report rates and latencies
    Bench(Box<bench::Options>),

    /// Show a transaction log, or write a repaired or cut copy of it
    Log(tools::LogOptions),

    /// Look into snapshots
    #[command(subcommand)]
    Snapshot(tools::SnapshotCommand),

    /// Remove old snapshots and logs
    Cleanup(tools::CleanupOptions),

    /// Prepare an empty data directory
    Init(tools::InitOptions),

    /// Print ids for ACLs of the scheme digest
    Digest(tools::DigestOptions),

    /// Print a script that completes the words of this command in a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },

    /// Write manual pages
    #[command(hide = true)]
    Man {
        /// The directory for them
        dir: PathBuf,
    },

    /// What the scripts in bin call
    #[command(hide = true, disable_help_flag = true)]
    Script {
        name: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },

    /// Print the version
    Version,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { arguments } => ostler_server::serve(&arguments),
        Command::Shell { arguments } => shell::run(arguments),
        Command::Bench(options) => conclude(bench::run(&options)),
        Command::Log(options) => tools::log(&options),
        Command::Snapshot(command) => tools::snapshot(&command),
        Command::Cleanup(options) => tools::cleanup(&options),
        Command::Init(options) => tools::init(&options),
        Command::Digest(options) => tools::digest(&options),
        Command::Completions { shell } => tools::completions(Cli::command(), shell),
        Command::Man { dir } => tools::man(Cli::command(), &dir),
        Command::Script { name, arguments } => tools::script(&name, &arguments),
        Command::Version => {
            let line = concat!("ostler ", env!("CARGO_PKG_VERSION"), "\n");
            conclude(std::io::stdout().write_all(line.as_bytes()).map_err(anyhow::Error::from))
        }
    }
}

fn conclude(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ostler: {error:#}");
            ExitCode::FAILURE
        }
    }
}
