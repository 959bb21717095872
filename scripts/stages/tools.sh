#!/usr/bin/env bash
# Install what the other stages need and this machine lacks.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

need_curl
need_sqlite
need_valgrind
need_python_tools
need_npm_tools
need_postgresql
need_chromium
need_java
need_go

echo "curl:       $(curl --version | sed -n '1s/^\(curl [^ ]*\).*/\1/p')"
echo "SQLite:     $(sqlite3 --version | sed 's/ .*//')"
echo "Valgrind:   $(valgrind --version)"
echo "PostgreSQL: $("$postgres_bin/postgres" --version)"
echo "Chromium:   $("$chromium" --version 2>/dev/null)"
echo "Java:       $(java -version 2>&1 | head -n 1)"
echo "Go:         $(go version)"
echo "Python:     $(python3 --version), with$(grep '==' scripts/tools/requirements.txt | sed 's/^/ /' | paste -sd,)"
echo "Node.js:    $(node --version), with $(node -p \
    'Object.entries(require("./scripts/tools/package.json").devDependencies).map(pair => pair.join(" ")).join(", ")')"
