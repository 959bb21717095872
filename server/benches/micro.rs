//! How long the hot paths take: `cargo bench -p parlor-server --features bench-internals`.

mod paths;

use divan::Bencher;
use paths::{PATHS, Path};

fn main() {
    divan::main();
}

#[divan::bench(args = PATHS)]
fn path(bencher: Bencher<'_, '_>, path: &Path) {
    let work = path.prepare();
    bencher.bench_local(work);
}
