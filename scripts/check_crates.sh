#!/usr/bin/env bash
# Checks the crates as their users build them: features, public interfaces, lower bounds of dependencies, breaking changes.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source scripts/tools.sh

usage() {
    cat <<'USAGE'
Usage: scripts/check_crates.sh [--accept]

Checks each set of the SDK's features, the public interfaces of the SDK and the server against sdk/public-api.txt and
server/public-api.txt, the lower bounds of the SDK's dependencies, and the SDK against its last release.

  --accept    writes the two files anew instead of comparing: then read what git says has changed
USAGE
}

accept=
case ${1:-} in
    "") ;;
    --accept) accept=yes ;;
    *)
        usage
        [[ $1 == --help || $1 == -h ]]
        exit
        ;;
esac

need_python_tools
need_cargo_tool cargo-public-api 0.52.0

# rustdoc's JSON is unstable. Only rustdoc is told to write it all the same: for the compiler, the variable would build every
# dependency anew. No nightly compiler is needed, so the files do not depend on which one is installed.
printf '#!/usr/bin/env bash\nRUSTC_BOOTSTRAP=1 exec rustdoc "$@"\n' >"$temp/rustdoc"
chmod +x "$temp/rustdoc"

# public_interface CRATE FILE [OPTION...]: the public interface of a crate, built with these options, is what the file says.
public_interface() {
    local crate=$1 file=$2 json
    step "the public interface of $crate"
    RUSTDOC=$temp/rustdoc RUSTDOCFLAGS='-Z unstable-options --output-format json --cap-lints allow' \
        cargo rustdoc --quiet --package "$crate" --lib "${@:3}"
    json=$target_dir/doc/${crate//-/_}.json
    "$cargo_bin/cargo-public-api" public-api --rustdoc-json "$json" -sss >"$temp/interface"
    if [[ -n $accept ]]; then
        cp "$temp/interface" "$file"
        return
    fi
    diff --unified=0 "$file" "$temp/interface" >&2 || fail "The public interface of $crate ('+') is not what $file says ('-').
If the change is meant, run scripts/check_crates.sh --accept, and name it in CHANGELOG.md."
}

target_dir=$(target_dir)
public_interface parlor-sdk sdk/public-api.txt --all-features
public_interface parlor-server server/public-api.txt
if [[ -n $accept ]]; then exit; fi

step "each set of the SDK's features"
# Clippy's `incompatible_msrv` holds the `rust-version` of sdk/Cargo.toml.
"$python_bin/cargo-hack" hack clippy --package parlor-sdk --lib --feature-powerset -- -D warnings

step "the lower bounds of the SDK's dependencies"
# In a copy, whose lock file has the oldest version of each direct dependency that its manifest allows.
mkdir "$temp/lowest"
git ls-files -z -- Cargo.toml Cargo.lock rust-toolchain.toml '*/Cargo.toml' '*.rs' | tar --null --files-from=- --create | tar --extract --directory "$temp/lowest"
(
    cd "$temp/lowest"
    RUSTC_BOOTSTRAP=1 cargo update --quiet -Z direct-minimal-versions
    cargo check --quiet --package parlor-sdk --lib --all-features --locked --target-dir "$target_dir/lowest"
)

step "breaking changes of the SDK since the last release"
version() {
    sed -n 's/^ *"\?version"\?[ :=]*"\([0-9.]*\)".*/\1/p' | head -n 1
}
# What users have to change is allowed between 0.1 and 0.2, and between 1 and 2.
compatible() {
    if [[ $1 == 0.* ]]; then cut -d. -f1,2 <<<"$1"; else cut -d. -f1 <<<"$1"; fi
}
now=$(version <Cargo.toml)
released=$(version <docs/released/openapi.json)
release=$(git log -1 --format=%H -- docs/released/openapi.json)
if [[ $(compatible "$now") != "$(compatible "$released")" ]]; then
    echo "$now may break users of $released: nothing to compare."
elif [[ -z $release ]]; then
    echo "There is no history to find $released in: not compared."
else
    need_cargo_tool cargo-semver-checks 0.51.0
    "$cargo_bin/cargo-semver-checks" semver-checks --package parlor-sdk --all-features --baseline-rev "$release"
fi
