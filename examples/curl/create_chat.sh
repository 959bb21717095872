#!/usr/bin/env bash
# Creates a chat with curl and prints it.
#
#     PARLOR_API_KEY=your-tenant-api-key examples/curl/create_chat.sh
#
# The server is expected at http://localhost:8000, or where PARLOR_URL says.

set -euo pipefail

url="${PARLOR_URL:-http://localhost:8000}"
key="${PARLOR_API_KEY:?set it to your tenant\'s API key}"

# With --fail-with-body an error status makes curl fail, and the server's problem is printed all the same.
curl --fail-with-body --silent --show-error --write-out '\n' -X POST "$url/api/v1/chats/" \
  -H "X-API-Key: $key" \
  -H "Content-Type: application/json" \
  -d '{
    "user_id": "user123",
    "title": "Support Session",
    "metadata": {
      "department": "technical",
      "priority": "high"
    }
  }'
