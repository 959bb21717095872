//! The hot paths, each with what it works on: made once, so that a call is the path alone. Neither time nor chance decides
//! what is done: the clock moves by a microsecond a look, and texts are constants.

mod requests;

use std::{
    fmt,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use parlor_server::{
    bench::{self, Cursor, Room},
    chat::{Chat, Message},
    clock::{Clock, Moments},
    config::Limits,
    internals::{Metrics, Opener, Store},
    tenant::{ApiKey, Authenticator, TenantId, Tenants},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};
use uuid::Uuid;

/// One of [`PATHS`].
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) name: &'static str,
    /// How many runs are counted: enough for what happens now and then, as when a table grows, to weigh little.
    pub(crate) runs: u64,
    prepare: fn() -> Work,
}

/// Runs a path once.
pub(crate) type Work = Box<dyn FnMut()>;

/// All of them.
pub(crate) const PATHS: &[Path] = &[
    Path::short("read_create_chat", || work(|| bench::read_create_chat(black_box(CREATE_CHAT)).unwrap())),
    Path::short("read_send_message", || work(|| bench::read_send_message(black_box(SEND_MESSAGE)).unwrap())),
    Path::short("write_chat", write_chat),
    Path::short("write_message", write_message),
    Path::short("check_key", check_key),
    Path::short("make_id", make_id),
    Path::short("write_cursor", || work(|| Cursor::of(tenant(), chat_id(), black_box(100)))),
    Path::short("read_cursor", read_cursor),
    Path::short("write_event", write_event),
    Path::short("write_token", write_token),
    Path::short("tell_1", || tell(1)),
    Path::long("tell_100", || tell(100)),
    Path::long("tell_1000", || tell(1_000)),
    Path::short("request_healthz", requests::healthz),
    Path::short("request_get_chat", requests::get_chat),
    Path::short("request_create_chat", requests::create_chat),
];

const CREATE_CHAT: &[u8] = concat!(
    r#"{"user_id": "user123", "title": "Support Session", "metadata": "#,
    r#"{"department": "technical", "priority": "high", "tags": ["printer", "fire"], "attempt": 2}}"#
)
.as_bytes();
const SEND_MESSAGE: &[u8] = concat!(
    r#"{"content": "My printer is on fire, and the manual says nothing of \"fire\".\nWhat now?", "#,
    r#""sender_role": "user", "metadata": {"client": "web", "version": 7}, "client_message_id": "9f1c2d3e-4b5a-6978"}"#
)
.as_bytes();
const KEY: &str = "benchmark-api-key";

impl Path {
    const fn short(name: &'static str, prepare: fn() -> Work) -> Self {
        Self { name, runs: 1_000, prepare }
    }

    const fn long(name: &'static str, prepare: fn() -> Work) -> Self {
        Self { name, runs: 100, prepare }
    }

    /// Makes what the path works on, and runs it until caches are filled and buffers have grown.
    pub(crate) fn prepare(&self) -> Work {
        let mut work = (self.prepare)();
        (0..self.runs).for_each(|_| work());
        work
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn work<T>(mut path: impl FnMut() -> T + 'static) -> Work {
    Box::new(move || drop(black_box(path())))
}

/// A clock that no machine's speed moves.
#[derive(Debug, Default)]
struct SteppingClock(AtomicI64);

impl Clock for SteppingClock {
    fn now(&self) -> DateTime<Utc> {
        start() + TimeDelta::microseconds(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn tenant() -> TenantId {
    TenantId(Uuid::from_u128(0x018d_0c8d_11f0_7d02_9a44_6c1f_0b7e_2d10))
}

fn chat_id() -> Uuid {
    Uuid::from_u128(0x018d_0c8e_5a40_7b7c_8c9d_0e1f_2a3b_4c5d)
}

fn stored<T: DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn chat() -> Chat {
    stored(json!({
        "id": chat_id(),
        "user_id": "user123",
        "tenant_id": tenant(),
        "title": "Support Session",
        "metadata": { "department": "technical", "priority": "high", "tags": ["printer", "fire"], "attempt": 2 },
        "status": "active",
        "message_count": 12,
        "created_at": "2024-01-15T10:30:00.123456Z",
        "updated_at": "2024-01-15T10:31:00.654321Z",
        "last_message_at": "2024-01-15T10:31:00.654321Z",
    }))
}

fn message() -> Message {
    stored(json!({
        "id": "018d0c8f-1b20-7c3e-9f10-5a6b7c8d9e0f",
        "chat_id": chat_id(),
        "seq": 12,
        "role": "user",
        "sender_id": "user123",
        "content": "My printer is on fire, and the manual says nothing of \"fire\".\nWhat now?",
        "media_type": null,
        "media_url": null,
        "metadata": { "client": "web", "version": 7 },
        "client_message_id": "9f1c2d3e-4b5a-6978",
        "created_at": "2024-01-15T10:31:00.654321Z",
    }))
}

/// An answer takes its chat apart, so each call copies one first, a small part of what it takes. So it is with messages.
fn write_chat() -> Work {
    let chat = chat();
    work(move || bench::write_chat(chat.clone()))
}

fn write_message() -> Work {
    let message = message();
    work(move || bench::write_message(message.clone()))
}

/// What every request begins with, once the key is known: nothing is asked of the database.
fn check_key() -> Work {
    let (runtime, folder) = place();
    let clock = Arc::new(SteppingClock::default());
    let moments = Moments::new(clock.clone());
    let (limits, metrics) = (Limits::default(), Metrics::new());
    let store = runtime.block_on(async {
        let url = url(&folder).parse().unwrap();
        let store = Store::open(
            &url,
            Opener::Server,
            moments.clone(),
            limits.database,
            limits.writer,
            metrics.writer,
            Arc::new(()),
        )
        .await
        .unwrap();
        Tenants::new(store.clone(), moments).bootstrap(Some(&ApiKey::chosen(KEY).unwrap()), false).await.unwrap();
        store
    });
    // What is remembered is not forgotten, however slow the machine is.
    let authenticator = Authenticator::new(store, clock, limits.key_cache_entries, Duration::from_hours(1));
    let check = async move || {
        let key = ApiKey::presented(black_box(KEY.as_bytes())).unwrap();
        authenticator.authenticate(&key).await.unwrap().unwrap()
    };
    runtime.block_on(check());
    work(move || check().now_or_never().expect("the key is known"))
}

fn make_id() -> Work {
    let moments = Moments::new(Arc::new(SteppingClock::default()));
    work(move || moments.next())
}

fn read_cursor() -> Work {
    let cursor = Cursor::of(tenant(), chat_id(), 100);
    work(move || cursor.place(tenant(), chat_id()).unwrap())
}

fn write_event() -> Work {
    let message = message();
    work(move || bench::write_event(message.clone(), start()))
}

fn write_token() -> Work {
    work(|| bench::write_token(chat_id(), tenant().0, black_box(" printer"), 7, start()))
}

fn tell(listeners: usize) -> Work {
    let message = message();
    let room = Room::new(tenant(), chat_id(), message.sender_id.as_ref().unwrap(), listeners, start());
    work(move || assert_eq!(room.tell(&message, start()), listeners))
}

/// One thread for everything that is asynchronous, so that it always runs in the same order; and a folder.
fn place() -> (Runtime, TempDir) {
    (runtime::Builder::new_current_thread().enable_all().build().unwrap(), TempDir::new().unwrap())
}

fn url(folder: &TempDir) -> String {
    format!("sqlite://{}", folder.path().join("parlor.db").display())
}
