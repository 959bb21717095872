//! Tables and statements, on SQLite and on PostgreSQL.
//!
//! The two understand the same statements, so `statements!` writes the functions twice, once for each driver; what
//! differs is how connections are kept and how a transaction begins.

use chrono::{DateTime, Utc};
use sqlx::{
    AssertSqlSafe, PgConnection, PgPool, SqliteConnection, SqlitePool,
    pool::PoolOptions,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use uuid::Uuid;

use crate::model::{Chat, ChatConfig, ChatDetails, Message, Metadata, NewChat, NewMessage, Role, now};

/// Connections that read a SQLite file while another writes.
const SQLITE_READERS: u32 = 4;
/// As many as Parlor has. PostgreSQL syncs the commits of concurrent transactions together, so it takes some more than
/// there are cores; far more would only contend for them.
const POSTGRES_CONNECTIONS: u32 = 16;

/// Microseconds since 1970 are times, JSON is text; status 0 is active and 1 closed, role 0 is a user and 1 an assistant.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS tenants (
        id UUID PRIMARY KEY NOT NULL,
        name TEXT NOT NULL UNIQUE,
        created_at BIGINT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS api_keys (
        hash BYTEA PRIMARY KEY NOT NULL,
        tenant_id UUID NOT NULL REFERENCES tenants (id),
        created_at BIGINT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS users (
        tenant_id UUID NOT NULL REFERENCES tenants (id),
        id TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (tenant_id, id)
    );
    CREATE TABLE IF NOT EXISTS chats (
        id UUID PRIMARY KEY NOT NULL,
        tenant_id UUID NOT NULL,
        user_id TEXT NOT NULL,
        title TEXT NOT NULL,
        metadata TEXT NOT NULL,
        status SMALLINT NOT NULL,
        message_count BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        last_message_at BIGINT,
        FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
    );
    CREATE INDEX IF NOT EXISTS chats_of_user ON chats (tenant_id, user_id, id);
    CREATE TABLE IF NOT EXISTS messages (
        chat_id UUID NOT NULL REFERENCES chats (id),
        seq BIGINT NOT NULL,
        id UUID NOT NULL,
        role SMALLINT NOT NULL,
        sender_id TEXT,
        content TEXT NOT NULL,
        media_type TEXT,
        media_url TEXT,
        metadata TEXT NOT NULL,
        client_message_id TEXT,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (chat_id, seq)
    );
    CREATE UNIQUE INDEX IF NOT EXISTS messages_by_client_id ON messages (chat_id, client_message_id)
        WHERE client_message_id IS NOT NULL;
";

const ADD_TENANT: &str = "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const ADD_KEY: &str = "INSERT INTO api_keys (hash, tenant_id, created_at) \
    SELECT $1, id, $3 FROM tenants WHERE name = $2 ON CONFLICT DO NOTHING";
const KEYS: &str = "SELECT hash, tenant_id FROM api_keys";
const ADD_USER: &str = "INSERT INTO users (tenant_id, id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const ADD_CHAT: &str = "INSERT INTO chats (id, tenant_id, user_id, title, metadata, status, message_count, created_at, \
    updated_at) VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $6)";
const CHAT: &str = "SELECT user_id, title, metadata, status, message_count, created_at, updated_at, last_message_at \
    FROM chats WHERE id = $1 AND tenant_id = $2";
const COUNT_MESSAGE: &str = "UPDATE chats SET message_count = message_count + 1, updated_at = $3, last_message_at = $3 \
    WHERE id = $1 AND tenant_id = $2 AND status = 0 RETURNING message_count, user_id";
const ADD_MESSAGE: &str = "INSERT INTO messages (chat_id, seq, id, role, sender_id, content, media_type, media_url, \
    metadata, client_message_id, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// What [`CHAT`] selects.
type ChatRow = (String, String, String, i16, i64, i64, i64, Option<i64>);

/// An open database.
#[derive(Clone)]
pub(crate) enum Store {
    /// A file.
    Sqlite {
        /// Reads.
        read: SqlitePool,
        /// Writes: one connection, because a file has one writer at a time, and waiting for it here costs less than there.
        write: SqlitePool,
    },
    /// A server.
    Postgres(PgPool),
}

impl Store {
    /// Connects, and creates the tables that are missing.
    pub(crate) async fn open(url: &str) -> sqlx::Result<Self> {
        if !url.starts_with("sqlite:") {
            let pool = pool(PgPoolOptions::new(), POSTGRES_CONNECTIONS).connect(url).await?;
            sqlx::raw_sql(TABLES).execute(&pool).await?;
            return Ok(Self::Postgres(pool));
        }
        let options = url
            .parse::<SqliteConnectOptions>()?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // As Parlor: an acknowledged write survives power loss.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(std::time::Duration::from_secs(5))
            .foreign_keys(true);
        let write = pool(SqlitePoolOptions::new(), 1).connect_with(options.clone()).await?;
        let read = pool(SqlitePoolOptions::new(), SQLITE_READERS).connect_with(options).await?;
        let tables = TABLES.replace("UUID", "BLOB").replace("BYTEA", "BLOB");
        sqlx::raw_sql(AssertSqlSafe(tables)).execute(&write).await?;
        Ok(Self::Sqlite { read, write })
    }
}

/// A pool that does not ask every connection before every statement whether it is still there: Parlor's does not either.
fn pool<DB: sqlx::Database>(options: PoolOptions<DB>, connections: u32) -> PoolOptions<DB> {
    options.max_connections(connections).test_before_acquire(false)
}

/// One method of [`Store`]: the function of that name, on a connection or in a transaction.
macro_rules! method {
    ($(#[$doc:meta])* read $name:ident($($argument:ident: $type:ty),*) -> $answer:ty) => {
        $(#[$doc])*
        pub(crate) async fn $name(&self, $($argument: $type),*) -> sqlx::Result<$answer> {
            match self {
                Self::Sqlite { read, .. } => sqlite::$name(&mut *read.acquire().await?, $($argument),*).await,
                Self::Postgres(pool) => postgres::$name(&mut *pool.acquire().await?, $($argument),*).await,
            }
        }
    };
    ($(#[$doc:meta])* write $name:ident($($argument:ident: $type:ty),*) -> $answer:ty) => {
        $(#[$doc])*
        pub(crate) async fn $name(&self, $($argument: $type),*) -> sqlx::Result<$answer> {
            match self {
                Self::Sqlite { write, .. } => {
                    let mut transaction = write.begin_with("BEGIN IMMEDIATE").await?;
                    let answer = sqlite::$name(&mut transaction, $($argument),*).await?;
                    transaction.commit().await?;
                    Ok(answer)
                }
                Self::Postgres(pool) => {
                    let mut transaction = pool.begin().await?;
                    let answer = postgres::$name(&mut transaction, $($argument),*).await?;
                    transaction.commit().await?;
                    Ok(answer)
                }
            }
        }
    };
}

impl Store {
    method! {
        /// Makes sure that a tenant has the key whose hash is given.
        write add_key(hash: &[u8; 32], tenant: &str) -> ()
    }
    method! {
        /// The hashes of all keys, and whose they are.
        read keys() -> Vec<(Vec<u8>, Uuid)>
    }
    method! {
        /// Creates a chat, and its user if unknown.
        write create_chat(tenant: Uuid, new: NewChat) -> Chat
    }
    method! {
        /// Finds a chat.
        read get_chat(tenant: Uuid, id: Uuid) -> Option<ChatDetails>
    }
    method! {
        /// Stores a message under the chat's next `seq`; `None` if the tenant has no such chat, or it is closed.
        write send_message(tenant: Uuid, chat: Uuid, new: NewMessage) -> Option<Message>
    }
}

/// The functions, for one driver's connections.
macro_rules! statements {
    ($connection:ty) => {
        use super::*;

        pub(super) async fn add_key(db: &mut $connection, hash: &[u8; 32], tenant: &str) -> sqlx::Result<()> {
            let now = now().timestamp_micros();
            sqlx::query(ADD_TENANT).bind(Uuid::now_v7()).bind(tenant).bind(now).execute(&mut *db).await?;
            sqlx::query(ADD_KEY).bind(&hash[..]).bind(tenant).bind(now).execute(&mut *db).await?;
            Ok(())
        }

        pub(super) async fn keys(db: &mut $connection) -> sqlx::Result<Vec<(Vec<u8>, Uuid)>> {
            sqlx::query_as(KEYS).fetch_all(db).await
        }

        pub(super) async fn create_chat(db: &mut $connection, tenant: Uuid, new: NewChat) -> sqlx::Result<Chat> {
            let chat = chat(tenant, new);
            let now = chat.created_at.timestamp_micros();
            sqlx::query(ADD_USER).bind(tenant).bind(&chat.user_id).bind(now).execute(&mut *db).await?;
            sqlx::query(ADD_CHAT)
                .bind(chat.id)
                .bind(tenant)
                .bind(&chat.user_id)
                .bind(&chat.title)
                .bind(to_text(&chat.config.metadata)?)
                .bind(now)
                .execute(&mut *db)
                .await?;
            Ok(chat)
        }

        pub(super) async fn get_chat(
            db: &mut $connection,
            tenant: Uuid,
            id: Uuid,
        ) -> sqlx::Result<Option<ChatDetails>> {
            let row: Option<ChatRow> = sqlx::query_as(CHAT).bind(id).bind(tenant).fetch_optional(db).await?;
            row.map(|row| details(tenant, id, row)).transpose()
        }

        pub(super) async fn send_message(
            db: &mut $connection,
            tenant: Uuid,
            chat: Uuid,
            new: NewMessage,
        ) -> sqlx::Result<Option<Message>> {
            let created_at = now();
            let now = created_at.timestamp_micros();
            // Locks the chat too: whoever else sends to it waits here, so `seq` has no gaps.
            let counted: Option<(i64, String)> =
                sqlx::query_as(COUNT_MESSAGE).bind(chat).bind(tenant).bind(now).fetch_optional(&mut *db).await?;
            let Some((seq, owner)) = counted else { return Ok(None) };
            let role = new.sender_role.unwrap_or_default();
            let sender_id = match (role, new.sender_id) {
                (Role::User, Some(sender)) if sender != owner => {
                    sqlx::query(ADD_USER).bind(tenant).bind(&sender).bind(now).execute(&mut *db).await?;
                    Some(sender)
                }
                (Role::User, _) => Some(owner),
                (Role::Assistant, sender) => sender,
            };
            let message = Message {
                id: Uuid::now_v7(),
                content: new.content,
                sender_role: role,
                media_type: new.media_type,
                media_url: new.media_url,
                created_at,
                metadata: new.metadata.unwrap_or_default(),
                seq,
                client_message_id: new.client_message_id,
                sender_id,
            };
            sqlx::query(ADD_MESSAGE)
                .bind(chat)
                .bind(seq)
                .bind(message.id)
                .bind(role as i16)
                .bind(&message.sender_id)
                .bind(&message.content)
                .bind(&message.media_type)
                .bind(&message.media_url)
                .bind(to_text(&message.metadata)?)
                .bind(&message.client_message_id)
                .bind(now)
                .execute(&mut *db)
                .await?;
            Ok(Some(message))
        }
    };
}

mod sqlite {
    statements!(SqliteConnection);
}

mod postgres {
    statements!(PgConnection);
}

/// A chat that is created now.
fn chat(tenant_id: Uuid, new: NewChat) -> Chat {
    let now = now();
    Chat {
        id: Uuid::now_v7(),
        user_id: new.user_id,
        tenant_id,
        title: new.title.unwrap_or_else(|| now.format("Chat of %-d %b %Y, %H:%M").to_string()),
        config: ChatConfig { metadata: new.metadata.unwrap_or_default() },
        created_at: now,
        updated_at: now,
        last_message_at: None,
    }
}

/// A chat that was found.
fn details(tenant_id: Uuid, id: Uuid, row: ChatRow) -> sqlx::Result<ChatDetails> {
    let (user_id, title, metadata, status, message_count, created_at, updated_at, last_message_at) = row;
    let metadata = serde_json::from_str(&metadata).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let chat = Chat {
        id,
        user_id,
        tenant_id,
        title,
        config: ChatConfig { metadata },
        created_at: time(created_at)?,
        updated_at: time(updated_at)?,
        last_message_at: last_message_at.map(time).transpose()?,
    };
    Ok(ChatDetails { chat, message_count, status: if status == 0 { "active" } else { "closed" } })
}

fn to_text(metadata: &Metadata) -> sqlx::Result<String> {
    serde_json::to_string(metadata).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn time(micros: i64) -> sqlx::Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| sqlx::Error::Decode("no such time".into()))
}
