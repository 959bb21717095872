// A scripted server: one step for each connection it accepts, and none after the last. It uses only the standard
// library
// because the examples in the documentation include this file too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The document's example of a chat.
pub(crate) const CHAT: &str = r#"{
    "id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
    "user_id": "user123",
    "tenant_id": "tenant-uuid-here",
    "title": "Support Session",
    "config": {"metadata": {"department": "technical", "priority": "high"}},
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": "2024-01-15T10:30:00Z",
    "last_message_at": null
}"#;

/// What to do with a connection after its request was read. It is closed afterwards.
pub(crate) type Step = Box<dyn FnOnce(&mut TcpStream) + Send>;

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method, target and version.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let line = lines.first()?.clone();
        let headers: BTreeMap<_, _> = lines[1..]
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { line, headers, body: String::from_utf8(body).unwrap() })
    }
}

/// A server on a port of its own, which is closed after the last step.
pub(crate) struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(script: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (script, seen) = (Vec::from_iter(script), Arc::clone(&requests));
        thread::spawn(move || {
            for step in script {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let request = Request::read(&stream).expect("a client that sends a whole request");
                seen.lock().unwrap().push(request);
                step(&mut stream);
            }
        });
        Self { url, requests }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// Sends raw bytes.
pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Step {
    let bytes = bytes.into();
    // Fails if the client has already disconnected, for example because it has read enough.
    Box::new(move |stream| drop(stream.write_all(&bytes)))
}

/// A complete response.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Step {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    raw(format!("{head}\r\n{body}"))
}

/// The success of `create_chat`.
pub(crate) fn created(chat: &str) -> Step {
    answer(201, &[("Content-Type", "application/json"), ("X-Request-Id", "request-1")], chat)
}

/// An error response with a problem document.
pub(crate) fn problem(status: u16, code: &str) -> Step {
    let body = format!(
        r#"{{"type":"about:blank","title":"Scripted","status":{status},"detail":"Scripted detail.","code":"{code}",
            "request_id":"request-1","errors":[{{"pointer":"/user_id","detail":"is too short"}}]}}"#
    );
    answer(status, &[("Content-Type", "application/problem+json")], &body)
}

/// A success other than that of `create_chat`.
pub(crate) fn done(body: &str) -> Step {
    answer(200, &[("Content-Type", "application/json"), ("X-Request-Id", "request-1")], body)
}

/// [`CHAT`] with its details.
pub(crate) fn details(status: &str) -> Step {
    done(&detailed(CHAT, status))
}

/// The success of `delete_chat`.
pub(crate) fn deleted() -> Step {
    done(r#"{"success": true, "message": "The chat was deleted.", "deleted_at": "2024-01-15T11:00:00Z"}"#)
}

/// The success of `send_message`.
pub(crate) fn stored(seq: u32) -> Step {
    created(&message(seq))
}

/// The success of `create_ticket`.
pub(crate) fn ticket() -> Step {
    created(r#"{"ticket": "plt_0123456789ABCDEFGHIJKLMNOPQRSTUV", "expires_at": "2024-01-15T10:31:00Z"}"#)
}

/// A page of `list_messages`.
pub(crate) fn messages(seqs: &[u32], next_cursor: Option<&str>) -> Step {
    let messages: Vec<_> = seqs.iter().map(|seq| message(*seq)).collect();
    done(&format!(
        r#"{{"messages": [{}], "total": 99, "offset": 0, "limit": 50, {}}}"#,
        messages.join(","),
        continuation(next_cursor)
    ))
}

/// A page of `list_user_chats`.
pub(crate) fn chat_list(chats: &[&str], next_cursor: Option<&str>) -> Step {
    let chats: Vec<_> = chats.iter().map(|chat| detailed(chat, "active")).collect();
    done(&format!(
        r#"{{"chats": [{}], "total": 99, "offset": 0, "limit": 50, {}}}"#,
        chats.join(","),
        continuation(next_cursor)
    ))
}

/// A page of `list_chats`.
pub(crate) fn chat_page(chats: &[&str], next_cursor: Option<&str>) -> Step {
    let chats: Vec<_> = chats.iter().map(|chat| detailed(chat, "active")).collect();
    done(&format!(r#"{{"chats": [{}], {}}}"#, chats.join(","), continuation(next_cursor)))
}

/// A message with this `seq`.
pub(crate) fn message(seq: u32) -> String {
    format!(
        r#"{{"id": "018d0c8f-1b20-7c3e-9f10-{seq:012x}", "content": "message {seq}", "sender_role": "user",
            "media_type": null, "media_url": null, "created_at": "2024-01-15T10:31:00Z", "metadata": {{"n": {seq}}},
            "seq": {seq}, "client_message_id": null, "sender_id": "user123"}}"#
    )
}

fn detailed(chat: &str, status: &str) -> String {
    let members = chat.trim_end().trim_end_matches('}');
    format!(r#"{members}, "message_count": 2, "status": "{status}"}}"#)
}

fn continuation(next_cursor: Option<&str>) -> String {
    next_cursor.map_or_else(
        || r#""has_more": false, "next_cursor": null"#.to_owned(),
        |cursor| format!(r#""has_more": true, "next_cursor": "{cursor}""#),
    )
}
