//! How the databases answer the queries of lists: always by an index, never by sorting, however much there is.
//!
//! SQLite's plans are in `docs/query-plans.txt`, which this compares with what they are.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbBackend, EntityTrait as _, QueryFilter as _, QueryTrait as _, Statement,
};
use uuid::Uuid;

use super::{Opener, Store, TenantScope, activity, chats::Chain, messages, reader::CHATS_AT, writer::LOOK_UPS};
use crate::{
    base::{
        clock::{Moments, SystemClock},
        metrics::Metrics,
    },
    config::Limits,
    domain::{ActivityPlace, ChatFilter, Label, Order, Start, Status, TenantId, UserId, Window},
    store::{
        entity::{chat, idempotency_record, ticket},
        test_database::TestDatabase,
    },
};

const ROWS: u32 = 50_000;

fn number(n: u32) -> Uuid {
    Uuid::from_u128(n.into())
}

/// Chats of two tenants, each tenth closed, each third with a message, each with a department and one of a thousand numbers; messages of one chat.
async fn fill(store: &Store) {
    let backend = store.read.backend();
    let (rows, id, moment) = match backend {
        DbBackend::Sqlite => (
            format!(
                "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS}) SELECT n FROM c)"
            ),
            "unhex(printf('%032x', n))",
            "n * 1000",
        ),
        _ => (format!("generate_series(1, {ROWS}) AS s(n)"), "lpad(to_hex(n), 32, '0')::uuid", "n::bigint * 1000"),
    };
    let tenant = |expression: &str| match backend {
        DbBackend::Sqlite => format!("unhex(printf('%032x', {expression}))"),
        _ => format!("lpad(to_hex({expression}), 32, '0')::uuid"),
    };
    let label = |name: &str, value: &str| {
        let label = Label { name: name.to_owned(), value: value.to_owned() };
        super::labels::digest(TenantId(number(1)), &label).simple().to_string()
    };
    let hex = |hex: String| match backend {
        DbBackend::Sqlite => format!("x'{hex}'"),
        _ => format!("'{hex}'::uuid"),
    };
    let department = hex(label("department", "technical"));
    let rare = hex(label("number", "7"));
    let of_one = tenant("1");
    for statement in [
        format!(
            "INSERT INTO tenants (id, name, created_at) SELECT {}, 'one', 0 UNION ALL SELECT {}, 'other', 0",
            tenant("1"),
            tenant("2")
        ),
        format!(
            "INSERT INTO users (tenant_id, id, created_at) SELECT DISTINCT {}, 'user' || (n % 1000), 0 FROM {rows}",
            tenant("1 + n % 2")
        ),
        format!(
            "INSERT INTO chats (tenant_id, id, user_id, title, metadata, status, message_count, created_at, updated_at, \
             last_message_at) SELECT {}, {id}, 'user' || (n % 1000), 'title', '{{}}', CASE WHEN n % 10 = 0 THEN 1 ELSE 0 \
             END, 0, {moment}, {moment}, CASE WHEN n % 3 = 0 THEN {moment} * 2 END FROM {rows}",
            tenant("1 + n % 2")
        ),
        format!("INSERT INTO chat_labels (label, chat_id) SELECT {department}, {id} FROM {rows} WHERE n % 4 = 0"),
        format!("INSERT INTO chat_labels (label, chat_id) SELECT {rare}, {id} FROM {rows} WHERE n % 1000 = 0"),
        format!(
            "INSERT INTO messages (chat_id, seq, id, role, content, metadata, created_at) \
             SELECT {of_one}, n, {id}, 0, 'content', '{{}}', {moment} FROM {rows}"
        ),
        format!(
            "INSERT INTO idempotency_records (tenant_id, key, fingerprint, chat_id, answer, expires_at) \
             SELECT {of_one}, 'key' || n, {fingerprint}, {id}, '{{}}', {moment} FROM {rows}",
            fingerprint = if backend == DbBackend::Sqlite { "x'00'" } else { "'\\x00'::bytea" },
        ),
        format!(
            "INSERT INTO tickets (hash, tenant_id, key_id, chat_id, user_id, expires_at) \
             SELECT {hash}, {of_one}, {id}, {id}, 'user', {moment} FROM {rows}",
            hash = if backend == DbBackend::Sqlite { "CAST(n AS BLOB)" } else { "n::text::bytea" },
        ),
        "ANALYZE".to_owned(),
    ] {
        store
            .write
            .permit()
            .await
            .unwrap()
            .execute_unprepared(&statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// The database's plan for `query`, a line a step.
async fn plan(store: &Store, query: Statement) -> Vec<String> {
    let (prefix, column) = match query.db_backend {
        DbBackend::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
        _ => ("EXPLAIN", "QUERY PLAN"),
    };
    let explain =
        Statement { sql: format!("{prefix} {}", query.sql), values: query.values, db_backend: query.db_backend };
    let rows = store.read.query_all_raw(explain).await.unwrap();
    rows.iter().map(|row| row.try_get("", column).unwrap()).collect()
}

/// The plans on SQLite, as the file has them.
const WRITTEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/query-plans.txt");
/// Set, it has the file written anew.
const ACCEPT: &str = "PARLOR_ACCEPT_PLANS";

fn shown(what: &str, plan: &[String]) -> String {
    format!("{what}\n    {}\n", plan.join("\n    "))
}

/// Returns the plan as it is shown.
async fn served_by_an_index(store: &Store, what: &str, query: Statement) -> String {
    let is_postgres = query.db_backend == DbBackend::Postgres;
    // Of two bounds at one end SQLite takes either, and reads everything between them.
    for bound in ["\"seq\" >", "\"seq\" <", "\"id\" >", "\"id\" <", "\"chat_id\" >", "\"chat_id\" <"] {
        assert!(query.sql.matches(bound).count() <= 1, "{what}: two bounds {bound} in {}", query.sql);
    }
    let plan = plan(store, query).await;
    let shown = shown(what, &plan);
    let has = |word: &str| plan.iter().any(|step| step.contains(word));
    assert!(has("SEARCH") || has("Index"), "{what}: no index in {plan:#?}");
    if is_postgres && (what.contains("two labels") || what.contains("by activity") && what.contains("label")) {
        // By its statistics PostgreSQL may rather intersect the two, or take the few chats of a label, and sort those.
        return shown;
    }
    for word in ["SCAN", "TEMP B-TREE", "Seq Scan", "Sort"] {
        assert!(!has(word), "{what}: {word} in {plan:#?}");
    }
    shown
}

fn windows() -> impl Iterator<Item = (String, Window<Uuid>)> {
    let deep = number(ROWS / 2);
    let starts = [("first page", Start::Offset(0)), ("deep cursor", Start::After(deep))];
    starts.into_iter().flat_map(|(name, start)| {
        [Order::Asc, Order::Desc].map(|order| (format!("{name}, {order:?}"), Window { start, limit: 50, order }))
    })
}

/// The same place in a list by activity.
fn active_from(start: Start<Uuid>) -> Start<ActivityPlace> {
    match start {
        Start::Offset(offset) => Start::Offset(offset),
        Start::After(id) => {
            let active_at = DateTime::<Utc>::UNIX_EPOCH + Duration::milliseconds(i64::from(ROWS / 2));
            Start::After(ActivityPlace { active_at, id })
        }
    }
}

fn filters() -> Vec<(&'static str, ChatFilter)> {
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let moment = |n: u32| DateTime::<Utc>::UNIX_EPOCH + Duration::milliseconds(n.into());
    let user = UserId::new("user7".to_owned()).ok();
    let (technical, rare) = (label("department", "technical"), label("number", "7"));
    vec![
        ("all", ChatFilter::default()),
        ("user", ChatFilter { user_id: user.clone(), ..ChatFilter::default() }),
        ("active", ChatFilter { status: Some(Status::Active), ..ChatFilter::default() }),
        ("closed", ChatFilter { status: Some(Status::Closed), ..ChatFilter::default() }),
        ("user and status", ChatFilter { user_id: user, status: Some(Status::Closed), ..ChatFilter::default() }),
        (
            "time",
            ChatFilter {
                created_after: Some(moment(10)),
                created_before: Some(moment(40_000)),
                ..ChatFilter::default()
            },
        ),
        ("a common label", ChatFilter { metadata: vec![technical.clone()], ..ChatFilter::default() }),
        ("a rare label", ChatFilter { metadata: vec![rare.clone()], ..ChatFilter::default() }),
        ("two labels", ChatFilter { metadata: vec![rare, technical.clone()], ..ChatFilter::default() }),
        (
            "a label, closed",
            ChatFilter { metadata: vec![technical], status: Some(Status::Closed), ..ChatFilter::default() },
        ),
    ]
}

#[tokio::test]
async fn every_query_is_served_by_an_index() {
    let database = TestDatabase::create().await;
    let moments = Moments::new(Arc::new(SystemClock));
    let url = database.url().parse().unwrap();
    let mut limits = Limits::default();
    // Filling takes longer than any request may.
    limits.database.statement = std::time::Duration::from_mins(5);
    let store =
        Store::open(&url, Opener::Server, moments, limits.database, limits.writer, Metrics::new().writer, Arc::new(()))
            .await
            .unwrap();
    fill(&store).await;
    let backend = store.read.backend();
    let scope: TenantScope<'_> = store.tenant(TenantId(number(1)));
    let mut plans = String::new();
    let user = UserId::new("user8".to_owned()).unwrap();

    for (name, window) in windows() {
        let chats = Chain::of(scope.chats_of(&user)).windowed(window);
        plans += &served_by_an_index(&store, &format!("list_user_chats, {name}"), chats.build(backend)).await;
        for (filter_name, filter) in filters() {
            let chats = scope.filtered(&filter).windowed(window);
            plans +=
                &served_by_an_index(&store, &format!("list_chats, {filter_name}, {name}"), chats.build(backend)).await;
        }
        let by_activity = Window { start: active_from(window.start), limit: window.limit, order: window.order };
        let chats = activity::windowed(scope.chats_of(&user), by_activity);
        plans +=
            &served_by_an_index(&store, &format!("list_user_chats by activity, {name}"), chats.build(backend)).await;
        for (filter_name, filter) in filters() {
            let chats = scope.by_activity(&filter, by_activity);
            let what = format!("list_chats by activity, {filter_name}, {name}");
            plans += &served_by_an_index(&store, &what, chats.build(backend)).await;
        }
        let window = Window {
            start: match window.start {
                Start::Offset(_) => Start::Offset(i64::from(ROWS / 2)),
                Start::After(_) => Start::After(i64::from(ROWS / 2)),
            },
            limit: window.limit,
            order: window.order,
        };
        let messages = messages::windowed(number(1), 1, i64::from(ROWS), window);
        plans += &served_by_an_index(&store, &format!("list_messages, {name}"), messages.build(backend)).await;
    }
    let one = scope.chats().filter(chat::Column::Id.eq(number(7)));
    plans += &served_by_an_index(&store, "get_chat", one.build(backend)).await;
    let of_chat = idempotency_record::Column::ChatId.eq(number(7));
    let records = idempotency_record::Entity::delete_many().filter(of_chat);
    plans += &served_by_an_index(&store, "delete_chat's idempotency records", records.build(backend)).await;
    let tickets = ticket::Entity::delete_many().filter(ticket::Column::ChatId.eq(number(7)));
    plans += &served_by_an_index(&store, "delete_chat's tickets", tickets.build(backend)).await;
    if backend == DbBackend::Sqlite {
        for (what, sql) in LOOK_UPS.into_iter().chain([("get_chat, many at once", CHATS_AT)]) {
            let query = Statement::from_string(backend, sql);
            let plan = plan(&store, query).await;
            plans += &shown(what, &plan);
            // The places that are asked for are scanned, which is not a table.
            assert!(
                plan.iter().all(|step| !step.starts_with("SCAN") || step.contains("VIRTUAL TABLE")),
                "{what}: {plan:?}"
            );
        }
        if std::env::var_os(ACCEPT).is_some() {
            std::fs::write(WRITTEN, &plans).unwrap();
        }
        let written = std::fs::read_to_string(WRITTEN).unwrap_or_default();
        assert!(written == plans, "docs/query-plans.txt is old; {ACCEPT}=1 has this test write it anew\n{plans}");
    }
    store.close().await;
}
