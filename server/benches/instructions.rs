//! Runs one hot path so that its instructions can be counted: `scripts/test.sh instructions`.
//!
//! With a path's name, runs it between two calls of [`mark`], at each of which callgrind writes down what it has counted;
//! and prints how often it ran. Without a name, lists the paths.

mod paths;

use std::{env, hint::black_box, process::ExitCode};

use paths::PATHS;

/// The allocator of the server, so that what is counted is what runs.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let Some(name) = env::args().nth(1) else {
        for path in PATHS {
            println!("{path}");
        }
        return ExitCode::SUCCESS;
    };
    let Some(path) = PATHS.iter().find(|path| path.name == name) else {
        eprintln!("error: there is no path {name:?}");
        return ExitCode::FAILURE;
    };
    let mut work = path.prepare();
    mark();
    (0..path.runs).for_each(|_| work());
    mark();
    println!("{}", path.runs);
    ExitCode::SUCCESS
}

/// Where callgrind's option `--dump-before` looks.
#[inline(never)]
fn mark() {
    black_box(());
}
