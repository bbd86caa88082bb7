//! What shells and manuals want to know of the command line, made from its definition.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use super::screen::{self, Refusal};

/// `ostler completions`: prints a script that completes words for a shell.
#[must_use]
pub fn completions(mut command: Command, shell: Shell) -> ExitCode {
    screen::run(|screen| {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, name, &mut script);
        screen.out.write_all(&script).map_err(Refusal::from)
    })
}

/// `ostler man`: writes a manual page for the command and one for each subcommand.
#[must_use]
pub fn man(command: Command, dir: &Path) -> ExitCode {
    screen::run(|_| {
        let told = |error: io::Error| Refusal::new(1, format!("{}: {error}", dir.display()));
        std::fs::create_dir_all(dir).map_err(told)?;
        clap_mangen::generate_to(command, dir).map_err(told)
    })
}
