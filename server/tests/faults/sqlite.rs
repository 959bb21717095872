//! A failing system call at every place of every write to a SQLite file.

use std::path::Path;

use futures_util::future::join_all;

use super::{
    server::Server,
    world::{World, Write},
};
use crate::support::{
    TestDatabase,
    fault::{EAGAIN, EIO, EMFILE, ENOSPC, EROFS, FaultShim, FileFault, LOCK, OPEN, READ, SYNC, TRUNCATE, WRITE},
};

/// One call that fails.
const ONCE: u64 = 1;
/// All calls until the fault is lifted.
const LASTING: u64 = u64::MAX;

/// Faults of a whole disk, which every write meets.
const DISK: [FileFault; 4] = [
    FileFault { name: "full disk", calls: WRITE | TRUNCATE, errno: ENOSPC, torn: true, count: LASTING },
    FileFault { name: "write errors", calls: WRITE, errno: EIO, torn: false, count: LASTING },
    FileFault { name: "sync errors", calls: SYNC, errno: EIO, torn: false, count: LASTING },
    FileFault { name: "read-only", calls: WRITE | SYNC | TRUNCATE, errno: EROFS, torn: false, count: LASTING },
];

/// Faults of a moment.
const MOMENT: [FileFault; 6] = [
    FileFault { name: "write error", calls: WRITE, errno: EIO, torn: false, count: ONCE },
    FileFault { name: "torn write", calls: WRITE, errno: ENOSPC, torn: true, count: 2 },
    FileFault { name: "sync error", calls: SYNC, errno: EIO, torn: false, count: ONCE },
    FileFault { name: "read error", calls: READ, errno: EIO, torn: false, count: ONCE },
    FileFault { name: "lock refused", calls: LOCK, errno: EAGAIN, torn: false, count: ONCE },
    FileFault { name: "lock error", calls: LOCK, errno: EIO, torn: false, count: ONCE },
];

/// All faults, for tests that choose.
pub(super) fn all_faults() -> impl Iterator<Item = FileFault> {
    DISK.into_iter().chain(MOMENT)
}

/// Injections between two SIGKILLs.
const INJECTIONS: u32 = 40;
/// Places at most at which one write is struck by one fault; no write makes so many calls.
const PLACES: u64 = 200;

/// The path of a database that is a SQLite file.
pub(super) fn path_of(database: &TestDatabase) -> Option<&Path> {
    database.url().strip_prefix("sqlite://").map(Path::new)
}

/// A server with the shim, and one client's world on it.
struct Setup {
    shim: FaultShim,
    server: Server,
    world: World,
    injections: u32,
}

impl Setup {
    async fn on(database: &TestDatabase, name: &str) -> Option<Self> {
        let shim = FaultShim::on(path_of(database)?)?;
        let server = Server::start(database.url(), |command| shim.preload(command)).await;
        let mut world = World::new(name, server.process().address);
        world.renew().await;
        Some(Self { shim, server, world, injections: 0 })
    }

    async fn verify(&mut self) {
        let Self { shim, server, world, .. } = self;
        server.verify([&mut *world], |command| shim.preload(command)).await;
        world.renew().await;
    }

    /// Strikes one write at its call number `place`; tells whether the write came as far.
    async fn inject(&mut self, fault: &FileFault, write: Write, place: u64) -> bool {
        self.world.context = format!("{write:?}, {} at call {place}", fault.name);
        let victim = if fault.is_lasting() { Some(self.world.prepare(Write::DeleteChat).await) } else { None };
        let prepared = self.world.prepare(write).await;
        self.shim.arm(fault, place);
        self.world.attempt(prepared).await;
        let is_struck = self.shim.failed() > 0;
        if let Some(victim) = victim.filter(|_| is_struck) {
            self.world.insist(victim).await;
        }
        self.shim.disarm();
        if is_struck {
            self.world.recovers().await;
            self.injections += 1;
            if self.injections.is_multiple_of(INJECTIONS) {
                self.verify().await;
            }
        }
        is_struck
    }

    /// Strikes `write` with each of `faults` at every place.
    async fn sweep(&mut self, faults: &[FileFault], write: Write) {
        for fault in faults {
            let mut place = 1;
            while self.inject(fault, write, place).await {
                place += 1;
                assert!(place < PLACES, "{}: the write never ends", self.world.context);
            }
            let writes = fault.calls & WRITE != 0;
            assert!(!writes || place > 1, "{}: no call was struck: is the library loaded?", self.world.context);
        }
    }
}

/// Sweeps all writes, each on a server of its own, since most of the time is spent waiting.
async fn sweep_all(faults: &[FileFault]) {
    join_all(Write::ALL.map(async |write| {
        let database = TestDatabase::create().await;
        let Some(mut setup) = Setup::on(&database, "sweep").await else { return };
        setup.sweep(faults, write).await;
        setup.verify().await;
    }))
    .await;
}

#[tokio::test]
async fn a_failing_disk_at_any_call_of_any_write_loses_nothing_acknowledged() {
    sweep_all(&DISK).await;
}

#[tokio::test]
async fn one_failing_call_of_any_write_loses_nothing_acknowledged() {
    sweep_all(&MOMENT).await;
}

#[tokio::test]
async fn readiness_is_503_while_the_disk_fails_and_200_afterwards() {
    join_all(DISK.map(async |fault| {
        let database = TestDatabase::create().await;
        let Some(mut setup) = Setup::on(&database, "ready").await else { return };
        for round in 0..2 {
            setup.world.context = format!("{}, round {round}", fault.name);
            let victim = setup.world.prepare(Write::DeleteChat).await;
            setup.world.until_ready_is(200).await;
            setup.shim.arm(&fault, 1);
            // In the second round a write meets the fault before `/readyz` does.
            if round == 1 {
                setup.world.insist(victim).await;
            }
            setup.world.until_ready_is(503).await;
            for _ in 0..5 {
                assert!(matches!(setup.world.read().await, 200 | 503), "{}", setup.world.context);
                assert_eq!(setup.world.ready().await, 503, "{}: writes still fail", setup.world.context);
            }
            setup.shim.disarm();
            setup.world.until_ready_is(200).await;
            setup.world.recovers().await;
        }
        setup.verify().await;
    }))
    .await;
}

#[tokio::test]
async fn connections_that_cannot_be_opened_again_delay_recovery_and_no_more() {
    let database = TestDatabase::create().await;
    let Some(mut setup) = Setup::on(&database, "open").await else { return };
    let calls = WRITE | OPEN;
    for (errno, name) in [(EIO, "write and open errors"), (EMFILE, "no descriptors"), (ENOSPC, "full disk and open")] {
        for place in [1, 2, 5] {
            let fault = FileFault { name, calls, errno, torn: false, count: LASTING };
            assert!(setup.inject(&fault, Write::UpdateChat, place).await, "{}", setup.world.context);
        }
    }
    setup.verify().await;
}

#[tokio::test]
async fn a_server_that_starts_on_a_failing_disk_ends_or_serves_and_harms_nothing() {
    for fault in DISK.into_iter().chain(MOMENT) {
        // In the migrations, and after them.
        for place in [1, 9, 60] {
            let database = TestDatabase::create().await;
            let Some(path) = path_of(&database) else { return };
            let Some(shim) = FaultShim::on(path) else { return };
            shim.arm(&fault, place);
            let mut server = Server::new(database.url());
            server.restart(|command| shim.preload(command)).await;
            shim.disarm();
            assert!(server.restart(|_| {}).await, "{}, call {place}: {}", fault.name, server.log());
            let mut world = World::new("start", server.process().address);
            world.context = format!("started after {}, call {place}", fault.name);
            world.recovers().await;
        }
    }
}
