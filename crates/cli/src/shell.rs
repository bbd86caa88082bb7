//! `ostler shell`: the command line shell, one command, a file of them, or a terminal.
//!
//! It does what Apache's `zkCli.sh` does, word for word: commands, options, what goes to which
//! stream, exit codes. What is different on purpose stands in COMPAT.md; what is added has names of
//! its own.
//!
//! ```text
//! arguments ─► Shell ─► words ─► table: Command ─► options: Parsed ─► commands::* ─► client
//!                │                                                         │
//!              editor (terminal only)                          console ◄── render, failure
//! ```
//!
//! Commands are plain blocking functions on the main thread. Requests are sent when they are made,
//! so a command that needs many answers makes many requests before it waits for the first; the
//! session itself, its watches and the signals live on a runtime of one thread behind it.

mod session;

mod table;

mod commands;

mod arguments;
mod client_config;

mod words;

mod options;

mod history;

mod link;
mod signals;

mod walk;

mod console;
mod failure;
mod render;

mod progress;

mod acl_text;
mod export_format;
mod quota_text;

mod editor;

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use session::Shell;

/// Runs the shell with the arguments behind `ostler shell`.
pub fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let arguments = arguments::parse(arguments);
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let is_interactive = arguments.command.is_empty() && is_terminal;
    let mut shell = match Shell::start(&arguments, is_interactive) {
        Ok(shell) => shell,
        Err(code) => return ExitCode::from(code),
    };
    if !arguments.command.is_empty() {
        shell.process(arguments.command);
    } else if is_interactive {
        editor::run(&mut shell);
    } else {
        run_lines(&mut shell);
    }
    ExitCode::from(shell.end())
}

/// Takes the lines of stdin until they or the shell end.
fn run_lines(shell: &mut Shell) {
    shell.console.line("Welcome to ZooKeeper!");
    shell.console.line("JLine support is disabled");
    shell.console.flush();
    for line in std::io::stdin().lock().split(b'\n') {
        let Ok(line) = line else { break };
        shell.take_line(String::from_utf8_lossy(&line).trim_end_matches('\r'));
        if shell.has_ended() {
            break;
        }
    }
}
