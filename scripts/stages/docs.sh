#!/usr/bin/env bash
# What README.md shows is typed as it shows it: the commands, the program; and the backup of docs/OPERATIONS.md.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

# serves BLOCK DATABASE: runs a block that starts the server, in the folder of somebody who has just begun, where this
# file becomes its database.
serves() {
    if [[ -n ${server_pid:-} ]]; then
        kill -INT "$server_pid"
        wait "$job" || fail "Parlor ended with the exit status $?."
    fi
    : >"$temp/parlor.out"
    rm -f "$temp/pid"
    (cd "$temp/begun" && PARLOR_LISTEN=127.0.0.1:0 bash -eu "$1") >"$temp/parlor.out" 2>"$temp/parlor.log" &
    job=$!
    wait_until 30 test -s "$temp/pid" || fail "The block starts no server."
    server_pid=$(<"$temp/pid")
    ends_with_stage "$server_pid"
    wait_until 30 server_has_decided || fail "Parlor was not ready within 30 seconds."
    server_runs || fail "Parlor ended before it was ready."
    [[ -f $temp/begun/$2 ]] || fail "The server has not opened ./$2."
    echo "Parlor listens on $server_url"
}

# creates_chats BLOCK: runs a block that calls the server, which lists more chats afterwards than it did before.
creates_chats() {
    local before
    before=$(created)
    sed "s#http://localhost:8000#$server_url#" "$1" >"$1.here"
    (cd "$temp/begun" && PARLOR_URL=$server_url timeout --foreground 120 bash -eu "$1.here") >"$temp/out" 2>&1 || {
        cat "$temp/out" >&2
        fail "The block fails; its output is above."
    }
    has_created_more_than "$before" || {
        cat "$temp/out" >&2
        fail "The block has created no chat; its output is above."
    }
    echo "created $(($(created) - before))"
}

# How many chats this server has created.
created() {
    local requests
    requests=$(curl --silent --show-error --fail "$server_url/metrics" |
        sed -n 's/^parlor_http_requests_total{operation="create_chat",status="201"} //p')
    echo "${requests:-0}"
}

has_created_more_than() {
    (($(created) > $1))
}

# The greeting's command, as one pastes it.
greeted() {
    sed -n '/^Create a chat:$/,$ { /^Create a chat:$/! p }' "$temp/parlor.out"
}

need_curl
need_python
need_sqlite

step "build Parlor and its examples"
cargo build -p parlor-server
cargo build -p parlor-examples --examples
target_dir=$(target_dir)
mkdir "$temp/bin" "$temp/begun"
# Cargo as in the repository, with its settings too, wherever it is called, and without the optimizer, which takes
# minutes. It becomes what it runs, so its number is the server's.
cat >"$temp/bin/cargo" <<END
#!/usr/bin/env bash
echo \$\$ >"$temp/pid"
command=\$1
shift
for argument; do
    shift
    [[ \$argument == --release ]] || set -- "\$@" "\$argument"
done
exec "$(command -v cargo)" "\$command" --quiet --config "$PWD/.cargo/config.toml" \
    --manifest-path "$PWD/Cargo.toml" "\$@"
END
chmod +x "$temp/bin/cargo"
real_cargo=$(command -v cargo)
export PATH=$temp/bin:$PATH
# rustup looks for rust-toolchain.toml in the folder that Cargo is called in, which is not always this one.
if has rustup; then
    RUSTUP_TOOLCHAIN=$(rustup show active-toolchain | cut -d ' ' -f 1)
    export RUSTUP_TOOLCHAIN
fi
shown_on_failure "$temp/parlor.log"
: >"$temp/parlor.log"

blocks README.md sh
for block in "$temp"/sh.?; do
    step "README.md: $(tr -s ' \\\n' ' ' <"$block")"
    case $(<"$block") in
        # This is one of its stages.
        scripts/test.sh) ;;
        # The address is the reader's to fill in.
        "git clone "*) ;;
        *" --demo "*)
            serves "$block" demo.db
            curl --silent --show-error --fail --output "$temp/out" "$server_url/demo/"
            [[ ! -f $temp/begun/parlor.db ]] || fail "The demo has opened ./parlor.db, so that the next start greets nobody."
            ;;
        "cargo run --release")
            serves "$block" parlor.db
            greeted >"$temp/greeting"
            creates_chats "$temp/greeting"
            ;;
        *"cargo run --release") serves "$block" parlor.db ;;
        curl*)
            creates_chats "$block"
            request=$block.here
            ;;
        *) creates_chats "$block" ;;
    esac
done

step "README.md: its program, with the dependencies it names"
blocks README.md toml
blocks README.md rust
# It stays, so that the next time there is less to compile.
package=$target_dir/readme/mine
mkdir -p "$package/src"
ln -sfn "$PWD" "$target_dir/readme/parlor"
cp Cargo.lock "$package"
{
    printf '[package]\nname = "readme"\nversion = "0.0.0"\nedition = "2024"\n\n[workspace]\n\n'
    cat "$temp/toml.1"
} >"$package/Cargo.toml"
sed "s#http://localhost:8000#$server_url#" "$temp/rust.1" >"$package/src/main.rs"
CARGO_TARGET_DIR=$target_dir "$real_cargo" run --quiet --offline --manifest-path "$package/Cargo.toml" | tee "$temp/out"
grep -Eq '^[0-9a-f-]{36} belongs to user123$' "$temp/out" || fail "The program says something else."

step "docs/OPERATIONS.md: a backup beside a busy server"
backup=$(grep -o 'sqlite3 [^"]*"[^"]*"' docs/OPERATIONS.md)
sync=$(grep -om1 'sync copy\.db' docs/OPERATIONS.md)
echo "$backup; $sync"
key=$(sed -n 's/.*X-API-Key: \([^"]*\)".*/\1/p' "$request")
before=$(created)
stored_before=$(sqlite3 "$temp/begun/parlor.db" "SELECT count(*) FROM chats")
# As large as a copy must be that takes longer than the pause between two writes: one which begins again at each write, as
# the shell's `.backup` does, then never ends. Beside a running server this waits for its turn like any writer.
sqlite3 "$temp/begun/parlor.db" ".timeout 10000" "CREATE TABLE padding (bytes BLOB)" \
    "WITH RECURSIVE rows (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM rows WHERE n < 80)
     INSERT INTO padding SELECT randomblob(1000000) FROM rows"
# Four clients create chats, one after the other without a pause, until there is the file `enough`, at
# most for two minutes. Prints how many were created; anything but 201 fails.
cat >"$temp/load.py" <<'END'
import http.client, json, os, sys, threading, time

address, key, enough = sys.argv[1:]
body = json.dumps({"user_id": "busy", "metadata": {"n": 1}})
headers = {"X-API-Key": key, "Content-Type": "application/json"}
deadline = time.monotonic() + 120
counts, failures = [], []


def create():
    connection = http.client.HTTPConnection(address, timeout=30)
    count = 0
    while not failures and not os.path.exists(enough) and time.monotonic() < deadline:
        connection.request("POST", "/api/v1/chats/", body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 201:
            failures.append(f"{response.status} {answer}")
        count += 1
    counts.append(count)


threads = [threading.Thread(target=create) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures or len(counts) < len(threads):
    sys.exit(f"not every chat was created: {failures}")
print(sum(counts))
END
python3 "$temp/load.py" "${server_url#http://}" "$key" "$temp/enough" >"$temp/out" &
load=$!
ends_with_stage "$load"
wait_until 60 has_created_more_than $((before + 100)) || fail "The server is not busy."
(cd "$temp/begun" && timeout --foreground 60 bash -eu -c "$backup; $sync") ||
    fail "The backup does not end beside a busy server."
created_meanwhile=$(created)
kill -0 "$load" 2>/dev/null || fail "The server was not busy until the backup had ended."
touch "$temp/enough"
wait "$load" || fail "Not every request was answered with 201 while the backup was made."
(($(created) == before + $(<"$temp/out"))) || fail "The server has counted other chats than were answered."
[[ $(sqlite3 "$temp/begun/copy.db" "PRAGMA integrity_check") == ok ]] || fail "The copy is damaged."
copied=$(sqlite3 "$temp/begun/copy.db" "SELECT count(*) FROM chats")
((copied >= stored_before + 100)) || fail "The copy has $copied chats; there were more when it was made."
((copied <= stored_before + created_meanwhile - before + 4)) || fail "The copy has $copied chats, more than there were."
echo "the copy is sound and has $copied chats; $(($(created) - before)) were created by the load"
