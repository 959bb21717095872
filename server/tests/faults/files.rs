//! A SQLite file that is taken away, replaced or damaged under a running server, or locked by another program.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use futures_util::future::join_all;

use super::{
    server::Server,
    sqlite::path_of,
    world::{World, Write},
};
use crate::support::{TestDatabase, WriteLock};

/// Writes that are tried after the damage.
const ATTEMPTS: u32 = 10;
/// Where the header of a SQLite file ends, in bytes.
const HEADER: usize = 100;

/// The database's file or one that SQLite keeps beside it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// All three files of a database, moved to another name; moved back when undone.
fn move_all(path: &Path, from: &str, to: &str) {
    for suffix in ["", "-wal", "-shm"] {
        fs::rename(beside(path, &format!("{from}{suffix}")), beside(path, &format!("{to}{suffix}"))).unwrap();
    }
}

/// Overwrites the beginning of the file in place.
fn overwrite(path: &Path, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, 0).unwrap();
}

/// What is done to the file, and how it is undone where that makes the database whole again.
struct Damage {
    name: &'static str,
    strike: fn(&Path),
    mend: Option<fn(&Path)>,
}

const DAMAGES: [Damage; 8] = [
    Damage { name: "deleted", strike: |path| fs::remove_file(path).unwrap(), mend: None },
    Damage {
        name: "deleted with its log",
        strike: |path| {
            for suffix in ["", "-wal", "-shm"] {
                fs::remove_file(beside(path, suffix)).unwrap();
            }
        },
        mend: None,
    },
    Damage {
        name: "moved away",
        strike: |path| move_all(path, "", ".moved"),
        mend: Some(|path| move_all(path, ".moved", "")),
    },
    Damage {
        name: "replaced by a copy",
        strike: |path| {
            let copy = beside(path, ".copy");
            fs::copy(path, &copy).unwrap();
            fs::rename(copy, path).unwrap();
        },
        mend: None,
    },
    Damage {
        name: "replaced by an empty file",
        strike: |path| {
            fs::remove_file(path).unwrap();
            fs::write(path, []).unwrap();
        },
        mend: None,
    },
    Damage { name: "without its log", strike: |path| fs::remove_file(beside(path, "-wal")).unwrap(), mend: None },
    Damage {
        name: "truncated",
        strike: |path| File::options().write(true).open(path).unwrap().set_len(0).unwrap(),
        mend: None,
    },
    Damage {
        name: "with another header",
        strike: |path| {
            fs::write(beside(path, ".header"), &fs::read(path).unwrap()[..HEADER]).unwrap();
            overwrite(path, &[b'x'; HEADER]);
        },
        mend: Some(|path| overwrite(path, &fs::read(beside(path, ".header")).unwrap())),
    },
];

#[tokio::test]
async fn writes_to_a_file_that_is_gone_or_damaged_are_not_acknowledged_and_readiness_tells() {
    join_all(DAMAGES.map(strike)).await;
}

async fn strike(damage: Damage) {
    let database = TestDatabase::create().await;
    let Some(path) = path_of(&database) else { return };
    let mut server = Server::start(database.url(), |_| {}).await;
    // So that the file itself holds what the log has, as after an hour of service.
    server.stop();
    assert!(server.restart(|_| {}).await, "{}", server.log());
    let mut before = World::new("before", server.process().address);
    before.renew().await;
    before.recovers().await;

    let context = format!("a database file {}", damage.name);
    let mut after = World::new("after", server.process().address);
    (before.context, after.context) = (context.clone(), context.clone());
    (damage.strike)(path);
    for _ in 0..ATTEMPTS {
        after.try_chat().await;
    }
    before.until_ready_is(503).await;
    for _ in 0..ATTEMPTS {
        after.try_chat().await;
        assert_eq!(before.ready().await, 503, "{context}");
    }
    if let Some(mend) = damage.mend {
        mend(path);
        before.until_ready_is(200).await;
        before.recovers().await;
        server.verify([&mut before, &mut after], |_| {}).await;
        return;
    }
    // What was stored before is lost by what was done to the file; what was acknowledged later must not be.
    if server.restart(|_| {}).await {
        after.move_to(server.process().address);
        after.verify().await;
    } else {
        assert_eq!(after.acknowledged(), 0, "{context}: no server starts, and writes were acknowledged");
    }
}

#[tokio::test]
async fn a_file_that_another_program_locks_is_503_and_recovers() {
    join_all(Write::ALL.map(async |write| {
        let database = TestDatabase::create().await;
        if path_of(&database).is_none() {
            return;
        }
        let mut server = Server::start(database.url(), |_| {}).await;
        let mut world = World::new("locked", server.process().address);
        world.context = format!("{write:?} on a locked file");
        world.renew().await;
        let prepared = world.prepare(write).await;
        let lock = WriteLock::take(&database).await;
        world.attempt(prepared).await;
        world.until_ready_is(503).await;
        lock.release().await;
        world.until_ready_is(200).await;
        world.recovers().await;
        server.verify([&mut world], |_| {}).await;
    }))
    .await;
}
