//! `cargo xtask <command>`: the chores that need more than cargo itself.
//!
//! Nothing here is part of the product; the commands are those of [`USAGE`].

mod bench;
mod counts;
mod dist;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>
  bench   measure Ostler and Apache ZooKeeper side by side; see bench --help
  counts  count the instructions of the hot paths and compare with docs/instructions.txt
  dist    build the tarball and the Debian package into target/dist
  tidy    check the rules that no compiler checks: layout, names, sizes, documents";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((command, rest)) if command == "bench" => bench::run(rest),
        Some((command, rest)) if command == "counts" => counts::run(rest),
        Some((command, rest)) if command == "dist" => dist::run(rest),
        Some((command, [])) if command == "tidy" => tidy::run(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
