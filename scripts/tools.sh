# Makes sure of the programs that a stage needs: uses what is there, installs what is missing. Sourced after lib.sh.
# shellcheck shell=bash

tools=$PWD/.tools
# A venv and a node_modules folder hold absolute paths and fit one version of their interpreter, so both are part of
# the stamp that says which files they were installed from.
# shellcheck disable=SC2034 # The stages use it.
python_bin=$tools/python/bin
# shellcheck disable=SC2034 # The stages use it.
cargo_bin=$tools/cargo/bin
# shellcheck disable=SC2034 # The stages use it.
npm_bin=$tools/npm/node_modules/.bin

has() {
    command -v "$1" >/dev/null
}

# apt_install PACKAGE...: Debian packages, when this user may install them.
apt_install() {
    has apt-get || fail "Install the equivalent of the Debian packages '$*'; there is no apt-get here to do it."
    [[ $(id -u) == 0 ]] || fail "Install the Debian packages '$*' (as root: apt-get install $*), then run this again."
    step "apt-get install $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$@" >"$temp/apt.log" 2>&1 || {
        tail -n 40 "$temp/apt.log" >&2
        fail "apt-get could not install '$*'; its last words are above."
    }
}

need_curl() {
    has curl || apt_install curl ca-certificates
}

need_sqlite() {
    has sqlite3 || apt_install sqlite3
}

need_valgrind() {
    has valgrind || apt_install valgrind
}

need_python() {
    has python3 || apt_install python3 python3-venv
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Install Python 3.11 or newer; $(python3 --version) is too old for the tools."
}

need_node() {
    { has node && has npm; } || fail "Install Node.js 20.19 or newer with npm; they were not found in PATH."
    node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' ||
        fail "Install Node.js 20.19 or newer; $(node --version) is too old for the tools."
}

need_java() {
    has java || apt_install default-jre-headless
    local version
    version=$(java -version 2>&1 | sed -n 's/^[a-z]* version "\([0-9]*\).*/\1/p')
    ((${version:-0} >= 17)) || fail "Install Java 17 or newer; what is in PATH is too old for the tools."
}

# need_javac: Java with its compiler.
need_javac() {
    has javac || apt_install default-jdk-headless
    need_java
}

need_go() {
    has go || apt_install golang-go
    local version
    version=$(go env GOVERSION)
    [[ $version =~ ^go1\.([0-9]+) && ${BASH_REMATCH[1]} -ge 19 ]] ||
        fail "Install Go 1.19 or newer; $version is too old for the generated client."
}

# need_ruby: Ruby with the library that openapi-generator's clients send their requests by.
need_ruby() {
    { has ruby && ruby -e 'require "typhoeus"' 2>/dev/null; } || apt_install ruby ruby-typhoeus
}

# need_php: PHP with Guzzle, by which openapi-generator's clients send their requests, in PHP's include path.
need_php() {
    has_php || apt_install php-cli php-curl php-mbstring php-guzzlehttp-guzzle
    has_php || fail "Install PHP 8.1 or newer with curl, mbstring and Guzzle in its include path."
}

has_php() {
    has php && php -r 'exit((int) !(PHP_VERSION_ID >= 80100 && extension_loaded("curl") && extension_loaded("mbstring")
        && stream_resolve_include_path("GuzzleHttp/autoload.php")));'
}

# is_stamped NAME TEXT: whether the tools of this name were installed from what the text says.
is_stamped() {
    [[ -f $tools/$1.stamp && $(<"$tools/$1.stamp") == "$2" ]]
}

# need_python_tools: what scripts/tools/requirements.txt names, in `$python_bin`.
need_python_tools() {
    need_venv python scripts/tools/requirements.txt scripts/tools/constraints.txt
}

# need_venv NAME REQUIREMENTS [CONSTRAINTS]: what the file names, in .tools/NAME.
need_venv() {
    need_python
    local folder=$tools/$1 stamp options=(--requirement "$2")
    if [[ -n ${3:-} ]]; then options+=(--constraint "$3"); fi
    stamp="$PWD $(python3 --version) $(cat "${@:2}" | sha256sum)"
    if is_stamped "$1" "$stamp"; then return; fi
    # Debian has `ensurepip` in a package of its own.
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
    step "install $2 into .tools/$1"
    rm -rf "$folder" "$folder.stamp"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "${options[@]}"
    echo "$stamp" >"$folder.stamp"
}

# need_cargo_tool NAME VERSION: the program of a crate, in `$cargo_bin`. It is not optimised: it runs for seconds and is built
# for minutes.
need_cargo_tool() {
    local stamp
    stamp="$2 $(rustc --version)"
    if is_stamped "$1" "$stamp"; then return; fi
    step "cargo install $1 $2 into .tools/cargo"
    CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --debug --locked --force \
        --root "$tools/cargo" --target-dir "$temp/$1" --version "=$2" "$1"
    rm -rf "${temp:?}/$1"
    echo "$stamp" >"$tools/$1.stamp"
}

# need_npm_tools: what scripts/tools/package.json names, in `$npm_bin`.
need_npm_tools() {
    need_node
    local stamp
    stamp="$PWD $(node --version) $(cat scripts/tools/package.json scripts/tools/package-lock.json | sha256sum)"
    if is_stamped npm "$stamp"; then return; fi
    step "install scripts/tools/package-lock.json into .tools/npm"
    rm -rf "$tools/npm" "$tools/npm.stamp"
    mkdir -p "$tools/npm"
    cp scripts/tools/{package.json,package-lock.json,.npmrc} "$tools/npm"
    (cd "$tools/npm" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier)
    echo "$stamp" >"$tools/npm.stamp"
}

# need_chromium: sets `chromium`, the path of a browser of that family.
# shellcheck disable=SC2034 # The stages use it.
need_chromium() {
    find_chromium || apt_install chromium
    find_chromium || fail "The package chromium was installed, but no chromium is in PATH."
}

# shellcheck disable=SC2034 # The stages use it.
find_chromium() {
    local name
    for name in chromium chromium-browser google-chrome; do
        if chromium=$(command -v "$name"); then return; fi
    done
    return 1
}

# need_postgresql: sets `postgres_bin`, the folder of PostgreSQL's server programs.
need_postgresql() {
    find_postgresql || apt_install postgresql
    find_postgresql || fail "The package postgresql was installed, but initdb is not in /usr/lib/postgresql/*/bin."
}

# Debian keeps these programs out of PATH, a folder for each version.
find_postgresql() {
    local found
    found=$(command -v initdb || find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    [[ -n $found ]] || return 1
    postgres_bin=$(dirname "$(readlink -f "$found")")
    [[ -x $postgres_bin/postgres ]]
}
