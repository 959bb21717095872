// Creates a chat with fetch and prints it. Needs Node.js 18 or newer and no package.
//
//     PARLOR_API_KEY=your-tenant-api-key node examples/javascript/create_chat.mjs
//
// The server is expected at http://localhost:8000, or where PARLOR_URL says.

const url = process.env.PARLOR_URL ?? 'http://localhost:8000';
const key = process.env.PARLOR_API_KEY;
if (!key) {
  console.error("Set PARLOR_API_KEY to your tenant's API key.");
  process.exit(1);
}

fetch(`${url}/api/v1/chats/`, {
  method: 'POST',
  headers: {
    'X-API-Key': key,
    'Content-Type': 'application/json'
  },
  body: JSON.stringify({
    user_id: 'user123',
    title: 'Support Session',
    metadata: {
      department: 'technical',
      priority: 'high'
    }
  })
})
.then(async response => {
  // An error status is an answer like any other to fetch; its body is a problem (RFC 9457).
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response.json();
})
.then(data => {
  console.log('Chat created:', data);
  const chatId = data.id;
  // Use chatId for WebSocket connection
})
.catch(error => {
  console.error('Error:', error);
  process.exitCode = 1;
});
