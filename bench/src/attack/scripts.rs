//! The attacks: what each connection does, and how many there are.

use std::time::Duration;

use super::crowd::{SMALL_RECEIVE_BUFFER, Script, Then};
use crate::{
    http::{CHATS, get, request},
    server::KEY,
};

/// What attacks with a key refer to.
pub(super) struct Target {
    /// A chat with [`MESSAGES`] messages of [`MESSAGE_BYTES`].
    pub(super) chat: String,
}

/// Messages in the target's chat: as many as one page can have.
pub(super) const MESSAGES: usize = 100;
/// The length of each of them, in bytes.
pub(super) const MESSAGE_BYTES: usize = 4 * 1024;

/// An attack.
#[derive(Clone, Copy)]
pub(super) struct Attack {
    /// Its name in tables.
    pub(super) name: &'static str,
    /// Connections that it tries to hold.
    pub(super) connections: usize,
    /// How they open.
    pub(super) opening: Opening,
    /// The script of each connection.
    pub(super) script: fn(&Target) -> Script,
    /// The only statuses that may be answered; empty: any.
    pub(super) statuses: &'static [u16],
    /// Whether the server must end its connections.
    pub(super) ended: bool,
    /// Whether members of the chat talk meanwhile.
    pub(super) talk: bool,
    /// Whether it is among the stuck connections beside which a stop is timed.
    pub(super) stop: bool,
}

/// How the connections of an attack open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// Evenly within the first third of the time.
    Evenly,
    /// All at once, and again every second.
    AtOnce,
}

/// The pause before a connection that the server has closed is opened again.
const AGAIN: Duration = Duration::from_secs(2);
/// The same for attacks that consist of opening connections.
const AT_ONCE: Duration = Duration::from_millis(10);
/// Four bytes that mask nothing.
const MASK: [u8; 4] = [0; 4];
/// The head of a request that never ends.
const HALF_A_HEAD: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Endless: ";
/// The length that a slow body announces, in bytes.
const SLOW_BODY: usize = 4_096;

const fn attack(name: &'static str, connections: usize, script: fn(&Target) -> Script) -> Attack {
    Attack {
        name,
        connections,
        opening: Opening::Evenly,
        script,
        statuses: &[],
        ended: false,
        talk: false,
        stop: false,
    }
}

impl Attack {
    const fn at_once(self) -> Self {
        Self { opening: Opening::AtOnce, ..self }
    }

    const fn answered_by(self, statuses: &'static [u16]) -> Self {
        Self { statuses, ..self }
    }

    const fn ended(self) -> Self {
        Self { ended: true, ..self }
    }

    const fn while_others_talk(self) -> Self {
        Self { talk: true, ..self }
    }

    const fn stopped(self) -> Self {
        Self { stop: true, ..self }
    }
}

/// All attacks.
pub(super) const ATTACKS: [Attack; 27] = [
    attack("connect, say nothing", 10_000, |_| script("", Then::Hold)).stopped(),
    attack("half a head", 10_000, |_| script(HALF_A_HEAD, Then::Hold)).stopped(),
    attack("a head byte by byte", 10_000, |_| script(HALF_A_HEAD, Then::Drip(b'x'))).stopped(),
    attack("/openapi.json, never read", 9_500, |_| unread(&get("/openapi.json"))).stopped(),
    attack("/asyncapi.json, never read", 9_500, |_| unread(&get("/asyncapi.json"))),
    attack("a file of Swagger UI, never read", 9_500, |_| unread(&get("/docs/swagger-ui-bundle.js"))).stopped(),
    attack("/openapi.json, one byte a second", 9_500, |_| Script { then: Then::Sip, ..unread(&get("/openapi.json")) })
        .stopped(),
    attack("/openapi.json pipelined, never read", 2_000, |_| Script {
        then: Then::Repeat(get("/openapi.json").repeat(64)),
        ..unread(b"")
    })
    .stopped(),
    attack("slow bodies, valid key", 10_000, |_| script(slow_body(KEY), Then::Drip(b' '))).stopped(),
    attack("slow bodies, wrong key", 10_000, |_| script(slow_body("an-unknown-api-key"), Then::Drip(b' '))),
    attack("half a body, valid key", 10_000, |_| script(slow_body(KEY) + "{\"user_id\":", Then::Hold)).stopped(),
    attack("half a chunked body, valid key", 10_000, |_| script(chunked("chunked") + "400\r\n{", Then::Hold)),
    attack("connect storm", 3_000, |_| script("", Then::Hold)).at_once(),
    attack("connect and reset", 64, |_| Script { again: AT_ONCE, ..script("", Then::Reset) }),
    attack("connect, send a request and reset", 64, |_| Script {
        again: AT_ONCE,
        ..script(get("/openapi.json"), Then::Reset)
    }),
    attack("distinct wrong keys", 64, |_| script("", Then::Ask(wrong_key))).answered_by(&[401, 429]),
    attack("heads of 1 MB", 64, |_| Script { again: AT_ONCE, ..script("", Then::Ask(huge_head)) })
        .answered_by(&[400, 431]),
    attack("heads of 10,000 lines", 64, |_| Script { again: AT_ONCE, ..script("", Then::Ask(many_lines)) })
        .answered_by(&[400, 431]),
    attack("Transfer-Encoding: gzip, chunked", 16, |_| Script { again: AT_ONCE, ..script("", Then::Ask(gzip)) })
        .answered_by(&[501]),
    attack("lists, never read", 2_000, |target| {
        unread(&get(&format!("/api/v1/chats/{}/messages?limit={MESSAGES}", target.chat)))
    })
    .stopped(),
    attack("lists pipelined, never read", 200, |target| Script {
        then: Then::Repeat(get(&format!("/api/v1/chats/{}/messages?limit={MESSAGES}", target.chat)).repeat(16)),
        ..unread(b"")
    }),
    attack("WebSocket handshake half done", 10_000, |target| {
        let handshake = handshake(target);
        script(handshake.trim_end(), Then::Hold)
    }),
    attack("WebSocket, empty fragments", 8, |target| Script {
        then: Then::Repeat(client_frame(0x00, 0).repeat(4_096)),
        ..live(target, client_frame(0x01, 0))
    })
    .ended(),
    attack("WebSocket, pings, pongs never read", 8, |target| Script {
        then: Then::Repeat(client_frame(0x89, 0).repeat(4_096)),
        ..live(target, Vec::new())
    })
    .stopped(),
    attack("WebSocket, half a frame's head", 2_000, |target| live(target, vec![0x81, 0xfe, 0x01])).stopped(),
    attack("WebSocket, a frame byte by byte", 2_000, |target| Script {
        then: Then::Drip(b'x'),
        ..live(target, vec![0x81, 0xfe, 0x10, 0x00, 0, 0, 0, 0])
    }),
    attack("WebSocket, never read while others talk", 200, |target| live(target, Vec::new()))
        .while_others_talk()
        .stopped(),
];

fn script(opening: impl Into<Vec<u8>>, then: Then) -> Script {
    Script { opening: opening.into(), upgraded: None, then, receive_buffer: None, again: AGAIN }
}

/// A request whose answer is not read.
fn unread(request: &[u8]) -> Script {
    Script { receive_buffer: Some(SMALL_RECEIVE_BUFFER), ..script(request, Then::Hold) }
}

/// A WebSocket connection that sends `frames` and then nothing, and reads nothing.
fn live(target: &Target, frames: Vec<u8>) -> Script {
    Script { upgraded: Some(frames), ..unread(handshake(target).as_bytes()) }
}

fn handshake(target: &Target) -> String {
    format!(
        "GET /ws/chat?api_key={KEY}&user_id=attacker&chat_id={} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        target.chat
    )
}

/// A client's frame without content: `first` has the final bit and the opcode, and `length` is announced only.
fn client_frame(first: u8, length: u8) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | length];
    frame.extend(MASK);
    frame
}

/// The head of a request to create a chat whose body does not follow.
fn slow_body(key: &str) -> String {
    format!(
        "POST {CHATS} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {SLOW_BODY}\r\n\r\n"
    )
}

/// The head of a request to create a chat with this transfer encoding.
fn chunked(encoding: &str) -> String {
    format!(
        "POST {CHATS} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: {encoding}\r\n\r\n"
    )
}

fn wrong_key(number: u64) -> Vec<u8> {
    format!("GET {CHATS} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: wrong-key-{number:012}\r\n\r\n").into_bytes()
}

fn huge_head(_: u64) -> Vec<u8> {
    request("GET", "/healthz", &[("X-Long", &"x".repeat(1_000_000))], None)
}

fn many_lines(_: u64) -> Vec<u8> {
    request("GET", "/healthz", &vec![("X-Many", "1"); 10_000], None)
}

fn gzip(_: u64) -> Vec<u8> {
    (chunked("gzip, chunked") + "2\r\n{}\r\n0\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_have_names_of_their_own_and_some_are_timed_at_a_stop() {
        let names: std::collections::BTreeSet<_> = ATTACKS.iter().map(|attack| attack.name).collect();
        assert_eq!(names.len(), ATTACKS.len());
        assert!(ATTACKS.iter().filter(|attack| attack.stop).count() >= 8);
    }

    #[test]
    fn what_never_ends_has_no_end() {
        let target = Target { chat: "00000000-0000-7000-8000-000000000000".to_owned() };
        for name in ["half a head", "WebSocket handshake half done"] {
            let attack = ATTACKS.iter().find(|attack| attack.name == name).unwrap();
            assert_eq!(crate::http::end_of_head(&(attack.script)(&target).opening), None, "{name}");
        }
    }
}
