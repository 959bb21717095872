//! The interface: who calls, what is asked, what is answered.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{
        FromRequestParts, Path, Query, State, WebSocketUpgrade,
        ws::{Message as Frame, WebSocket},
    },
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::error::DatabaseError;
use uuid::Uuid;

use crate::{
    model::{Chat, ChatDetails, Message, NewChat, NewMessage},
    store::Store,
};

/// Whose keys they are, by the keys' hashes.
pub(crate) type Keys = HashMap<[u8; 32], Uuid>;

/// Makes sure that there is `key`, and loads all of them: no request asks the database for its key. Parlor remembers
/// keys too, but can be told of new and revoked ones.
pub(crate) async fn keys(store: &Store, key: &str) -> sqlx::Result<Keys> {
    store.add_key(&hash(key), "bench").await?;
    let keys = store.keys().await?.into_iter();
    Ok(keys.filter_map(|(hash, tenant)| Some((hash.try_into().ok()?, tenant))).collect())
}

/// The routes.
pub(crate) fn router(store: Store, keys: Keys) -> Router {
    Router::new()
        .route("/api/v1/chats/", post(create_chat))
        .route("/api/v1/chats/{chat_id}", get(get_chat))
        .route("/api/v1/chats/{chat_id}/messages", post(send_message))
        .route("/ws/chat", get(connect))
        .route("/healthz", get(StatusCode::NO_CONTENT))
        .route("/echo", post(echo))
        .with_state(App { store, keys: Arc::new(keys) })
}

/// What all requests share.
#[derive(Clone)]
struct App {
    store: Store,
    keys: Arc<Keys>,
}

impl App {
    fn tenant(&self, key: &str) -> Result<Tenant, Failure> {
        self.keys.get(&hash(key)).copied().map(Tenant).ok_or(Failure::Unauthorized)
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Who calls.
struct Tenant(Uuid);

impl FromRequestParts<App> for Tenant {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let key = parts.headers.get("x-api-key").and_then(|key| key.to_str().ok());
        app.tenant(key.ok_or(Failure::Unauthorized)?)
    }
}

/// Why a request failed.
enum Failure {
    /// The key is missing or unknown.
    Unauthorized,
    /// The tenant has no such chat.
    NotFound,
    /// A member of the request may not be as it is.
    Invalid(&'static str),
    /// The database did not do it.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            // A `client_message_id` that the chat has.
            Self::Database(error) if error.as_database_error().is_some_and(DatabaseError::is_unique_violation) => {
                StatusCode::CONFLICT
            }
            Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let detail = match &self {
            Self::Unauthorized => "The API key is unknown.",
            Self::NotFound => "There is no such chat.",
            Self::Invalid(detail) => detail,
            Self::Database(error) => {
                eprintln!("{error}");
                "The database did not do it."
            }
        };
        (self.status(), Json(json!({ "detail": detail }))).into_response()
    }
}

async fn create_chat(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Json(new): Json<NewChat>,
) -> Result<(StatusCode, Json<Chat>), Failure> {
    check(&new.user_id, 255, "user_id must have 1 to 255 characters")?;
    if let Some(title) = &new.title {
        check(title.trim(), 255, "title must have 1 to 255 characters")?;
    }
    Ok((StatusCode::CREATED, Json(app.store.create_chat(tenant, new).await?)))
}

async fn get_chat(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(chat): Path<Uuid>,
) -> Result<Json<ChatDetails>, Failure> {
    app.store.get_chat(tenant, chat).await?.map(Json).ok_or(Failure::NotFound)
}

async fn send_message(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(chat): Path<Uuid>,
    Json(new): Json<NewMessage>,
) -> Result<(StatusCode, Json<Message>), Failure> {
    Ok((StatusCode::CREATED, Json(store(&app, tenant, chat, new).await?)))
}

/// What [`create_chat`] reads, without a database: the floor under anything that takes and gives JSON over HTTP.
async fn echo(Json(new): Json<NewChat>) -> Json<NewChat> {
    Json(new)
}

/// A message that came by either way.
async fn store(app: &App, tenant: Uuid, chat: Uuid, new: NewMessage) -> Result<Message, Failure> {
    check(&new.content, 32_768, "content must have 1 to 32768 characters")?;
    app.store.send_message(tenant, chat, new).await?.ok_or(Failure::NotFound)
}

fn check(text: &str, most: usize, detail: &'static str) -> Result<(), Failure> {
    if text.is_empty() || text.chars().count() > most { Err(Failure::Invalid(detail)) } else { Ok(()) }
}

/// Who wants to talk live, and in which chat.
#[derive(Deserialize)]
struct Connect {
    api_key: String,
    user_id: String,
    chat_id: Uuid,
}

/// What a live connection hears.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Connected,
    MessageReceived(Box<Message>),
    Error { detail: &'static str },
}

impl Event {
    fn frame(&self) -> Frame {
        Frame::text(serde_json::to_string(self).expect("strings and numbers"))
    }
}

async fn connect(
    State(app): State<App>,
    Query(connect): Query<Connect>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Failure> {
    let Tenant(tenant) = app.tenant(&connect.api_key)?;
    check(&connect.user_id, 255, "user_id must have 1 to 255 characters")?;
    app.store.get_chat(tenant, connect.chat_id).await?.ok_or(Failure::NotFound)?;
    Ok(upgrade.on_upgrade(move |socket| async move {
        // An error is a connection that is gone.
        _ = talk(socket, app, tenant, connect).await;
    }))
}

/// One message after the other, each acknowledged when it is stored.
async fn talk(mut socket: WebSocket, app: App, tenant: Uuid, connect: Connect) -> Result<(), axum::Error> {
    socket.send(Event::Connected.frame()).await?;
    while let Some(frame) = socket.recv().await {
        let Frame::Text(text) = frame? else { continue };
        let event = match serde_json::from_str::<Said>(&text) {
            Ok(said) => {
                let sender_id = Some(connect.user_id.clone());
                let new = NewMessage { content: said.content, sender_id, ..NewMessage::default() };
                match store(&app, tenant, connect.chat_id, new).await {
                    Ok(message) => Event::MessageReceived(message.into()),
                    Err(Failure::Invalid(detail)) => Event::Error { detail },
                    Err(Failure::Database(error)) => {
                        eprintln!("{error}");
                        Event::Error { detail: "The database did not do it." }
                    }
                    Err(Failure::NotFound | Failure::Unauthorized) => Event::Error { detail: "There is no such chat." },
                }
            }
            Err(_) => Event::Error { detail: "A frame is a JSON object with `content`." },
        };
        socket.send(event.frame()).await?;
    }
    Ok(())
}

/// What a live connection says.
#[derive(Deserialize)]
struct Said {
    content: String,
}
