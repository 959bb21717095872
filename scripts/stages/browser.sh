#!/usr/bin/env bash
# A person's way through Swagger UI in headless Chromium: authorize, create a chat, reload, use a wrong key.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

need_curl
need_npm_tools
need_chromium
start_server

step "Swagger UI in $("$chromium" --version 2>/dev/null)"
# The picture is kept when it is asked for: PARLOR_SCREENSHOT=docs/swagger-ui.png scripts/test.sh browser
TMPDIR=$temp PARLOR_URL=$server_url PARLOR_API_KEY=$server_key timeout --foreground --kill-after=10s 120 \
    node scripts/browser/swagger-ui.mjs --chromium "$chromium" --screenshot "${PARLOR_SCREENSHOT:-$temp/swagger-ui.png}"
