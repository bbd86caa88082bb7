//! The hot paths, one at a time, for counting their instructions.
//!
//! ```text
//! ostler-counts                     prints each kernel's name and how many operations a round has
//! ostler-counts <kernel> <rounds>   prepares it, and runs its rounds
//! ```
//!
//! `cargo xtask counts` runs a kernel for one round and for two under valgrind: the difference is
//! what a round costs, without the preparations and without what happens only once. So every round
//! does the same work on the same state, and nothing depends on a clock, an address or a seed that
//! changes. The allocator is the one of the server, and what only the kernel does is left out.

mod kernels;
mod served;
mod znodes;

use std::process::ExitCode;

use kernels::{KERNELS, Kernel};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => list(),
        [name, rounds] => {
            let kernel = KERNELS.iter().find(|kernel| kernel.name == *name);
            let (Some(kernel), Ok(rounds @ 1..=ROUNDS_MAX)) = (kernel, rounds.parse()) else {
                return usage();
            };
            run(kernel, rounds);
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

#[allow(clippy::print_stdout)]
fn list() {
    for Kernel { name, operations, .. } in KERNELS {
        println!("{name} {operations}");
    }
}

fn run(kernel: &Kernel, rounds: usize) {
    let mut round = (kernel.prepare)();
    for _ in 0..rounds {
        round();
    }
    // Giving it back would cost more after fewer rounds, where prepared input is left.
    std::mem::forget(round);
}

fn usage() -> ExitCode {
    eprintln!("usage: ostler-counts [<kernel> <rounds up to {ROUNDS_MAX}>]");
    ExitCode::from(2)
}

/// Some kernels prepare their input for so many rounds.
const ROUNDS_MAX: usize = 2;
