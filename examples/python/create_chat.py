"""Creates a chat with requests and prints it.

    pip install requests
    PARLOR_API_KEY=your-tenant-api-key python3 examples/python/create_chat.py

The server is expected at http://localhost:8000, or where PARLOR_URL says.
"""

import json
import os
import sys

import requests

base_url = os.environ.get("PARLOR_URL", "http://localhost:8000")
key = os.environ.get("PARLOR_API_KEY")
if not key:
    sys.exit("Set PARLOR_API_KEY to your tenant's API key.")

url = f"{base_url}/api/v1/chats/"
headers = {
    "X-API-Key": key,
    "Content-Type": "application/json"
}
data = {
    "user_id": "user123",
    "title": "Support Session",
    "metadata": {
        "department": "technical",
        "priority": "high"
    }
}

# Without a timeout, requests waits for ever.
response = requests.post(url, headers=headers, json=data, timeout=30)
if not response.ok:
    # The body of an error is a problem (RFC 9457).
    sys.exit(f"Error: {response.status_code} {response.text}")
chat_data = response.json()
print(f"Chat created with ID: {chat_data['id']}")
print(json.dumps(chat_data, indent=2))
