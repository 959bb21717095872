#!/usr/bin/env bash
# A person's way through Swagger UI and through the demo in headless Chromium, and a page of another origin that uses the API.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

need_curl
need_npm_tools
need_chromium
start_server

# The pictures are kept when they are asked for: PARLOR_SCREENSHOTS=docs scripts/test.sh browser
pictures=${PARLOR_SCREENSHOTS:-$temp}

in_browser() {
    TMPDIR=$temp timeout --foreground --kill-after=10s 300 node "scripts/browser/$1.mjs" --chromium "$chromium" \
        --screenshot "$pictures/$1.png" "${@:2}"
}

step "Swagger UI in $("$chromium" --version 2>/dev/null)"
PARLOR_URL=$server_url PARLOR_API_KEY=$server_key in_browser swagger-ui

step "a page of another origin"
PARLOR_URL=$server_url PARLOR_API_KEY=$server_key in_browser cross-origin

step "the demo's Markdown"
timeout --foreground --kill-after=10s 300 node --test --test-reporter=dot scripts/browser/markdown.test.mjs

step "the demo"
in_browser demo --parlor "$parlor"
