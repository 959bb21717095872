//! PostgreSQL: a failing statement or COMMIT at every place of every write, a connection that is cut or frozen at every
//! message, locks of others, and backends that are ended.

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, TransactionTrait as _};

use super::{
    server::{Server, side_by_side},
    world::{World, Write},
};
use crate::support::{Cut, MessageProxy, StatementFaults, Strike, TestDatabase};

/// SQLSTATEs of faults outside the server's statements: full disk, I/O error, serialisation failure, deadlock, cancelled,
/// ended by an operator, read-only, lock not available.
const STATES: [&str; 8] = ["53100", "58030", "40001", "40P01", "57014", "57P01", "25006", "55P03"];
/// States, and the places from which they last until an operator makes room.
const LASTING: [(&str, u64); 3] = [("53100", 1), ("53100", 3), ("58030", 1)];
/// Places at most at which one write is struck; none has so many.
const PLACES: u64 = 100;
/// Writes and the message at which the link freezes. A frozen one takes seconds, so that not every place can be tried.
const FROZEN: [(Write, u64); 8] = [
    (Write::CreateChatWithKey, 1),
    (Write::CreateChatWithKey, 5),
    (Write::CreateChatWithKey, 13),
    (Write::UpdateChat, 2),
    (Write::UpdateChat, 8),
    (Write::SendLive, 1),
    (Write::RedeemTicket, 3),
    (Write::Join, 2),
];

/// Servers at the same time. Each has many connections to open, whose passwords take long to check in a debug build.
const AT_ONCE: usize = 3;
/// Rounds of writes beside a chat that another session locks.
const BESIDE: u32 = 10;

/// A proxy in front of the database's server, and the URL that leads over it.
pub(super) async fn proxied(database: &TestDatabase) -> (MessageProxy, String) {
    let (front, rest) = database.url().split_once('@').expect("the URL names a user");
    let (host, name) = rest.split_once('/').expect("the URL names a database");
    let proxy = MessageProxy::to(host.to_owned()).await;
    // What is encrypted cannot be counted.
    let url = format!("{front}@{}/{name}?sslmode=disable", proxy.address);
    (proxy, url)
}

/// A database with a running server and one client's world; `None` on SQLite.
async fn setup(name: &str) -> Option<(TestDatabase, Server, World)> {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        return None;
    }
    let server = Server::start(database.url(), |_| {}).await;
    let mut world = World::new(name, server.process().address);
    world.renew().await;
    Some((database, server, world))
}

/// The same over a proxy.
async fn setup_proxied(name: &str) -> Option<(TestDatabase, MessageProxy, Server, World)> {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        return None;
    }
    let (proxy, url) = proxied(&database).await;
    let server = Server::start(&url, |_| {}).await;
    let mut world = World::new(name, server.process().address);
    world.renew().await;
    Some((database, proxy, server, world))
}

/// One strike, then everything works again; or strikes until the fault is lifted, while a client does not give up.
async fn strike(faults: &StatementFaults, world: &mut World, write: Write, at: (Strike, u64), state: &str) -> bool {
    let (strike, place) = at;
    let is_lasting = LASTING.contains(&(state, place));
    world.context = format!("{write:?}, {state} at {strike:?} {place}");
    let victim = if is_lasting { Some(world.prepare(Write::DeleteChat).await) } else { None };
    let prepared = world.prepare(write).await;
    faults.arm(strike, state, place, if is_lasting { u64::MAX } else { 1 }).await;
    world.attempt(prepared).await;
    let is_struck = faults.seen().await >= place;
    if let Some(victim) = victim {
        world.insist(victim).await;
    }
    faults.disarm().await;
    world.recovers().await;
    is_struck
}

#[tokio::test]
async fn a_failing_statement_or_commit_of_any_write_loses_nothing_acknowledged() {
    side_by_side(AT_ONCE, Write::ALL, async |write| {
        let Some((database, mut server, mut world)) = setup("statement").await else { return };
        let faults = StatementFaults::install(&database).await;
        for at in [Strike::Row, Strike::Commit] {
            let (full, others) = STATES.split_first().unwrap();
            let mut place = 1;
            while strike(&faults, &mut world, write, (at, place), full).await {
                place += 1;
                assert!(place < PLACES, "{}: the write never ends", world.context);
            }
            assert!(place > 1, "{}: no statement was struck", world.context);
            for state in others {
                strike(&faults, &mut world, write, (at, 1), state).await;
            }
            server.verify([&mut world], |_| {}).await;
            world.renew().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_cut_at_any_message_of_any_write_loses_nothing_acknowledged() {
    side_by_side(AT_ONCE, Write::ALL, async |write| {
        let Some((_database, proxy, mut server, mut world)) = setup_proxied("cut").await else { return };
        // A connection cut after one message is mostly one cut before the next, which may be tried less often.
        for (cut, step) in [(Cut::After, 1), (Cut::Before, 3)] {
            for place in (1..).step_by(step) {
                assert!(place < PLACES, "{}: the write never ends", world.context);
                world.context = format!("{write:?}, {cut:?} message {place}");
                let prepared = world.prepare(write).await;
                proxy.arm(cut, place, 1);
                world.attempt(prepared).await;
                let is_struck = proxy.disarm() > 0;
                world.recovers().await;
                if !is_struck {
                    assert!(place > 1, "{}: no message was struck", world.context);
                    break;
                }
            }
            server.verify([&mut world], |_| {}).await;
            world.renew().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_503_and_recovers() {
    let Some((_database, proxy, mut server, mut world)) = setup_proxied("away").await else { return };
    for (cut, place) in [(Cut::Before, 1), (Cut::Before, 5), (Cut::After, 1), (Cut::After, 4)] {
        world.context = format!("{cut:?} message {place} and all later ones");
        let victim = world.prepare(Write::DeleteChat).await;
        proxy.arm(cut, place, u64::MAX);
        world.insist(victim).await;
        world.until_ready_is(503).await;
        proxy.disarm();
        world.until_ready_is(200).await;
        world.recovers().await;
    }
    server.verify([&mut world], |_| {}).await;
}

#[tokio::test]
async fn a_link_that_freezes_at_any_message_is_503_and_recovers() {
    side_by_side(AT_ONCE, FROZEN, async |(write, place)| {
        let Some((_database, proxy, mut server, mut world)) = setup_proxied("frozen").await else { return };
        world.context = format!("{write:?}, frozen at message {place}");
        let victim = world.prepare(Write::DeleteChat).await;
        let prepared = world.prepare(write).await;
        proxy.arm(Cut::Freeze, place, u64::MAX);
        world.attempt(prepared).await;
        world.attempt(victim).await;
        world.until_ready_is(503).await;
        assert_eq!(world.read().await, 503, "{}", world.context);
        proxy.disarm();
        world.until_ready_is(200).await;
        world.recovers().await;
        server.verify([&mut world], |_| {}).await;
    })
    .await;
}

#[tokio::test]
async fn many_reads_on_a_frozen_link_are_503_and_do_not_keep_the_connections() {
    const READS: usize = 40;
    let Some((_database, proxy, mut server, mut world)) = setup_proxied("reads").await else { return };
    proxy.arm(Cut::Freeze, 1, u64::MAX);
    world.context = "reads on a frozen link".to_owned();
    for status in join_all((0..READS).map(|_| world.read())).await {
        assert_eq!(status, 503, "{}", world.context);
    }
    world.until_ready_is(503).await;
    proxy.disarm();
    world.until_ready_is(200).await;
    world.recovers().await;
    for status in join_all((0..READS).map(|_| world.read())).await {
        assert_eq!(status, 200, "{}: after it thawed", world.context);
    }
    server.verify([&mut world], |_| {}).await;
}

async fn sessions_ended(connection: &DatabaseConnection) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    connection.execute_unprepared(end).await.unwrap();
}

#[tokio::test]
async fn ended_backends_are_replaced() {
    let Some((database, mut server, mut world)) = setup("ended").await else { return };
    let connection = database.connect().await;
    for write in Write::ALL {
        world.context = format!("{write:?} after its backend was ended");
        let prepared = world.prepare(write).await;
        sessions_ended(&connection).await;
        world.attempt(prepared).await;
        world.until_ready_is(200).await;
        world.recovers().await;
    }
    connection.close().await.unwrap();
    server.verify([&mut world], |_| {}).await;
}

#[tokio::test]
async fn a_read_only_database_is_503_and_recovers() {
    let Some((database, mut server, mut world)) = setup("readonly").await else { return };
    let connection = database.connect().await;
    world.context = "a database that became a standby".to_owned();
    let victim = world.prepare(Write::DeleteChat).await;
    let name = database.url().rsplit_once('/').unwrap().1;
    let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    connection.execute_unprepared(&set).await.unwrap();
    sessions_ended(&connection).await;
    world.until_ready_is(503).await;
    world.insist(victim).await;
    assert_eq!(world.ready().await, 503, "{}: writes still fail", world.context);
    let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    // This session may have been begun meanwhile, too.
    connection.execute_unprepared(&format!("BEGIN READ WRITE; {reset}; COMMIT")).await.unwrap();
    // The sessions that were begun meanwhile stay read-only, as after a fail-over.
    world.until_ready_is(200).await;
    world.recovers().await;
    connection.close().await.unwrap();
    server.verify([&mut world], |_| {}).await;
}

#[tokio::test]
async fn a_chat_that_another_session_locks_is_503_and_the_others_are_written() {
    let Some((database, mut server, mut world)) = setup("row").await else { return };
    let mut other = World::new("other", server.process().address);
    (world.context, other.context) = ("the locked chat".to_owned(), "the chats beside a locked one".to_owned());
    other.renew().await;
    let connection = database.connect().await;
    let lock = connection.begin().await.unwrap();
    let owner = "SELECT * FROM chats WHERE user_id LIKE 'row-%' FOR UPDATE";
    lock.execute_unprepared(owner).await.unwrap();
    let (locked, ()) = tokio::join!(
        async {
            let message = world.next_message();
            world.attempt(message).await
        },
        async {
            for round in 0..BESIDE {
                // So that a batch may hold both.
                let message = other.next_message();
                assert!(other.attempt(message).await, "{}: a message is 503 in round {round}", other.context);
                let chat = other.prepare(Write::CreateChatWithKey).await;
                assert!(other.attempt(chat).await, "{}: a chat is 503 in round {round}", other.context);
            }
        }
    );
    assert!(!locked, "{}: a message went into it", world.context);
    lock.rollback().await.unwrap();
    connection.close().await.unwrap();
    world.recovers().await;
    server.verify([&mut world, &mut other], |_| {}).await;
}

#[tokio::test]
async fn locked_tables_are_503_and_recover() {
    /// Tables, and writes that need them.
    const TABLES: [(&str, Write); 7] = [
        ("chats", Write::UpdateChat),
        ("messages", Write::SendMessage),
        ("users", Write::Join),
        ("chat_labels", Write::DeleteChat),
        ("tickets", Write::RedeemTicket),
        ("idempotency_records", Write::CreateChatWithKey),
        ("api_keys", Write::CreateTicket),
    ];
    side_by_side(AT_ONCE, TABLES, async |(table, write)| {
        let Some((database, mut server, mut world)) = setup("table").await else { return };
        let connection = database.connect().await;
        world.context = format!("{write:?} with LOCK TABLE {table}");
        let prepared = world.prepare(write).await;
        let lock = connection.begin().await.unwrap();
        lock.execute_unprepared(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
        world.attempt(prepared).await;
        let message = world.next_message();
        world.attempt(message).await;
        lock.rollback().await.unwrap();
        connection.close().await.unwrap();
        world.until_ready_is(200).await;
        world.recovers().await;
        server.verify([&mut world], |_| {}).await;
    })
    .await;
}
