#!/usr/bin/env bash
# Clients for six languages, generated from openapi.json, do the same on a real server; models of asyncapi.json compile.
# The patterns of both documents mean the same to four regular expression engines.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

# What one run of any scenario makes the server answer.
cat >"$temp/expected" <<'END'
create_chat 201 4
create_chat 413 1
create_chat 422 1
create_ticket 201 1
delete_chat 200 3
get_chat 200 1
get_chat 401 1
get_chat 404 1
list_chats 200 3
list_messages 200 2
list_user_chats 200 4
list_user_chats 400 1
list_user_chats 404 1
send_message 201 2
send_message 409 1
update_chat 200 1
END

# Warnings of openapi-generator that any document gets: when it writes Python, one that has a schema; when it writes Rust,
# one that has a media type or a member `type`.
not_ours='ModelUtils - Failed to get the schema name: null$'
not_ours+='|AbstractRustCodegen - (type cannot be used as a field/variable name|Application[^ ]+ cannot be used as a model name)'

# client NAME: the examples of this name are worked with from here on. Generates its client, as a user does.
client() {
    name=$1
    no_fault='^$'
    cd "$copy/examples/generate/$name"
    step "$name: ./generate.sh"
    timeout --foreground 120 ./generate.sh >"$temp/generate.log" 2>&1 || failed "does not generate"
    if grep -Ev "$not_ours" "$temp/generate.log" | grep -Eiw '⚠|warn|warning|error'; then failed "generates with a warning"; fi
    echo "no warning; files: $(find client -type f | wc -l)"
}

failed() {
    cat "$temp/generate.log" >&2
    fail "$name $1; the generator's words are above."
}

# checked COMMAND...: whether the types of the scenario and of the client go together.
checked() {
    step "$name: $*"
    timeout --foreground 300 "$@" || fail "$name does not pass: $*"
}

# does_its_work COMMAND...: the scenario reaches its end without a warning, and the server has answered what is expected.
# `no_fault` matches the warnings that are about other code than the scenario's.
does_its_work() {
    step "$name: $*"
    answers >"$temp/before"
    PARLOR_API_KEY=$server_key timeout --foreground 60 "$@" >"$temp/out" 2>"$temp/err" || {
        cat "$temp/out" "$temp/err" >&2
        fail "$name fails; its output is above."
    }
    cat "$temp/out"
    if grep -Ev "$no_fault" "$temp/err" >&2; then fail "$name warns; its words are above."; fi
    [[ $(tail -n 1 "$temp/out") == "done" ]] || fail "$name does not end with the line 'done'."
    answers >"$temp/after"
    awk 'FILENAME == ARGV[1] { before[$1, $2] = $3; next } $3 > before[$1, $2] { print $1, $2, $3 - before[$1, $2] }' \
        "$temp/before" "$temp/after" >"$temp/answered"
    diff "$temp/expected" "$temp/answered" >&2 ||
        fail "The server has answered $name otherwise ('>') than it answers such a scenario ('<')."
    if env -u PARLOR_API_KEY timeout --foreground 60 "$@" >"$temp/out" 2>"$temp/err"; then
        fail "$name succeeds without a key."
    fi
    grep -q PARLOR_API_KEY "$temp/err" || fail "$name does not say that PARLOR_API_KEY is missing."
}

# syntax_of_php FILE_OR_FOLDER...: checks the syntax of all PHP files; fails on an error, a warning or a notice.
syntax_of_php() {
    local file files
    mapfile -t files < <(find "$@" -name '*.php')
    for file in "${files[@]}"; do php "${php_strict[@]}" --syntax-check "$file"; done >"$temp/out" 2>&1 || true
    if grep -v '^No syntax errors detected in ' "$temp/out"; then return 1; fi
    echo "no error in ${#files[@]} files"
}

# How often the server has answered each operation of the API, which has a verb and a noun, with which status.
answers() {
    curl --silent --show-error --fail "$server_url/metrics" |
        sed -n 's/^parlor_http_requests_total{operation="\([a-z]*_[a-z_]*\)",status="\([0-9]*\)"} /\1 \2 /p' | LC_ALL=C sort
}

# Any notice or deprecation is said.
php_strict=(-d error_reporting=E_ALL -d display_errors=stderr -d log_errors=0)

need_curl
need_javac
need_go
need_ruby
need_php
need_python_tools
need_npm_tools
start_server

# Compiles while the first clients are tried, which leave a processor to it.
need_cargo_tool cargo-progenitor 0.15.1 >"$temp/progenitor.log" 2>&1 &
installing=$!
ends_with_stage "$installing"

# In a copy, so that nothing which was generated before is taken for what is generated now.
root=$PWD
copy=$temp/copy
mkdir -p "$copy/examples"
cp -r examples/generate "$copy/examples"
rm -rf "$copy"/examples/generate/*/{client,node_modules,target}
cp openapi.json openapi-3.1.json rustfmt.toml "$copy"
ln -s "$tools/npm/node_modules" "$copy/node_modules"
export PARLOR_URL=$server_url PATH=$python_bin:$npm_bin:$PATH
# No Go module is needed: the standard library is all.
export GOFLAGS=-mod=mod GOPROXY=off
# The clients for Rust have most of their dependencies in common.
CARGO_TARGET_DIR=$(target_dir)/clients
export CARGO_TARGET_DIR

# Stand in for what installs: all that is needed is in .tools or comes from Debian.
mkdir "$temp/bin"
for installs in pip npm gem; do
    printf '#!/usr/bin/env bash\n' >"$temp/bin/$installs"
done
printf '#!/usr/bin/env bash\nexec "$@"\n' >"$temp/bin/npx"
# cargo has to build and run; what it would install is there.
cat >"$temp/bin/cargo" <<END
#!/usr/bin/env bash
[[ \$1 == install ]] || exec '$(command -v cargo)' "\$@"
END
# composer writes a file that finds the client's classes and Guzzle's.
cat >"$temp/bin/composer" <<'END'
#!/usr/bin/env bash
mkdir -p client/vendor
cat >client/vendor/autoload.php <<'PHP'
<?php
require 'GuzzleHttp/autoload.php';
spl_autoload_register(function (string $class): void {
    $file = dirname(__DIR__) . '/lib/' . strtr(preg_replace('/^Parlor/', '', $class), '\\', '/') . '.php';
    if (str_starts_with($class, 'Parlor\\') && is_file($file)) {
        require $file;
    }
});
PHP
END
chmod +x "$temp"/bin/*
export PATH=$temp/bin:$cargo_bin:$PATH

for name in openapi-generator-python openapi-python-client datamodel-code-generator; do
    client "$name"
    export PYTHONPATH=client MYPYPATH=client
    # As with an installed package, what is inside the client is the generator's own matter.
    checked mypy --strict --follow-imports=silent scenario.py
    does_its_work python3 -W error scenario.py
done

for name in openapi-generator-typescript openapi-typescript hey-api orval; do
    client "$name"
    checked tsc --project .
    does_its_work tsx scenario.ts
done

client openapi-generator-go
checked go vet ./...
does_its_work go run .

client openapi-generator-ruby
# The generated classes define most setters twice. What is in /usr are Debian's libraries.
no_fault='/client/lib/.*: warning: (method redefined; discarding old|previous definition of) |^/usr/'
checked ruby -wc scenario.rb
does_its_work ruby -w -I client/lib scenario.rb

client openapi-generator-php
step "$name: the syntax of scenario.php and client/lib"
syntax_of_php scenario.php client/lib || fail "$name has errors; they are above."
composer install --no-dev --working-dir client
# Of a newer PHP, Debian's Guzzle uses what is deprecated.
no_fault='Deprecated: .* in /usr/share/php/'
does_its_work php "${php_strict[@]}" scenario.php

wait "$installing" || {
    cat "$temp/progenitor.log" >&2
    fail "cargo-progenitor cannot be installed; the reason is above."
}
for name in openapi-generator-rust progenitor; do
    client "$name"
    checked rustfmt --check --edition 2024 src/main.rs
    checked cargo clippy --quiet --no-deps -- -D warnings
    checked cargo build --quiet
    does_its_work cargo run --quiet
done

step "patterns of both documents in ECMAScript, PHP, Ruby and Python"
node "$root/scripts/check_patterns.mjs" "$root/openapi.json" "$root/asyncapi.json"

step "models of asyncapi.json"
node "$root/scripts/check_models.mjs" "$root/asyncapi.json" "$temp/models"
(cd "$temp/models/typescript" && tsc --strict --noEmit --target es2022 --module nodenext ./*.ts)
(cd "$temp/models/go" && go mod init models 2>/dev/null && go vet ./...)
# The generator casts words of enumerations to what they are.
(cd "$temp/models/java" && javac -Xlint:all,-cast -Werror -d "$temp/models/classes" ./*.java)

step "examples/generate/README.md: its commands, as it shows them"
rm -rf "$copy"/examples/generate/*/client
cd "$copy"
blocks examples/generate/README.md sh
sed -i "s/=your-tenant-api-key$/=$server_key/" "$temp/sh.1"
env -u PYTHONPATH -u MYPYPATH timeout --foreground 300 bash -eu "$temp/sh.1" >"$temp/out" 2>&1 || {
    cat "$temp/out" >&2
    fail "The commands of examples/generate/README.md fail; their output is above."
}
done=$(grep -c '^done$' "$temp/out")
folders=$(find examples/generate -mindepth 1 -maxdepth 1 -type d | wc -l)
((done == folders)) || fail "The commands ran $done of $folders scenarios to their end."

step "examples/generate/README.md: what it says of each client"
python3 "$root/scripts/check_clients_page.py" examples/generate
