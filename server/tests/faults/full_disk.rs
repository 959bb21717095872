//! SQLite on a disk that is really full: by the limit on a file's size, and on a small file system of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{
    server::Server,
    sqlite::path_of,
    world::{World, Write},
};
use crate::support::{ServerProcess, TestDatabase};

/// The upper bound on a file's size, in KiB, and on the size of the file system: a new database fits, with some writes.
const SIZE_KIB: u64 = 1_024;
/// Writes that more than fill that.
const WRITES: u32 = 5_000;

/// Whether `program` runs with `arguments`; says that a test is skipped when it does not.
fn has(program: &str, arguments: &[&str]) -> bool {
    let runs = Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    if !runs {
        eprintln!("SKIPPED: `{program} {}` does not succeed here", arguments.join(" "));
    }
    runs
}

/// Writes until the disk is full. Panics when that does not happen.
async fn fill(world: &mut World) {
    for _ in 0..WRITES {
        let message = world.next_message();
        if !world.attempt(message).await {
            return;
        }
    }
    panic!("{}: the disk is never full", world.context);
}

/// What a client does and must find, before and after `free`, which makes room; `take` takes what room there is.
async fn survives(server: &mut Server, world: &mut World, take: impl FnOnce(), free: impl FnOnce(&Server)) {
    let victim = world.prepare(Write::DeleteChat).await;
    take();
    fill(world).await;
    world.until_ready_is(503).await;
    world.insist(victim).await;
    assert_eq!(world.ready().await, 503, "{}: writes still fail", world.context);
    free(server);
    world.until_ready_is(200).await;
    world.recovers().await;
    for write in Write::ALL {
        world.must(write).await;
    }
    server.verify([world], |_| {}).await;
}

#[tokio::test]
async fn a_file_that_may_not_grow_loses_nothing_acknowledged() {
    let database = TestDatabase::create().await;
    if path_of(&database).is_none() || !has("prlimit", &["--version"]) || !has("bash", &["-c", "ulimit -S -f 1"]) {
        return;
    }
    // Ignored, the signal becomes the error EFBIG.
    let script = format!("trap '' XFSZ; ulimit -S -f {SIZE_KIB}; exec \"$0\"");
    let plain = ServerProcess::command(database.url());
    let mut command = Command::new("bash");
    command.env_clear().args(["-c", &script]).arg(plain.get_program()).stdout(std::process::Stdio::piped());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut server = Server::new(database.url());
    assert!(server.restart_as(command).await, "{}", server.log());
    let mut world = World::new("limit", server.process().address);
    world.context = "the limit on a file's size".to_owned();
    let lift = |server: &Server| {
        let process = server.process().id().to_string();
        let lifted = Command::new("prlimit").args(["--pid", &process, "--fsize=unlimited"]).status().unwrap();
        assert!(lifted.success());
    };
    survives(&mut server, &mut world, || {}, lift).await;
}

/// A file system in memory; unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap();
        let size = format!("size={}k", 4 * SIZE_KIB);
        has("mount", &["-t", "tmpfs", "-o", &size, "parlor-test", path]).then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file that takes all the room there is.
    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    fn fill(&self) {
        let more_than_all = vec![0; usize::try_from(8 * SIZE_KIB * 1024).unwrap()];
        fs::write(self.filler(), more_than_all).expect_err("the disk is small");
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that a failed test has just killed may still be there.
        _ = Command::new("umount").args(["--lazy"]).arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_file_system_that_fills_up_loses_nothing_acknowledged() {
    let database = TestDatabase::create().await;
    if path_of(&database).is_none() {
        return;
    }
    let Some(disk) = SmallDisk::mount() else { return };
    let url = format!("sqlite://{}", disk.path().join("parlor.db").display());
    let mut server = Server::start(&url, |_| {}).await;
    let mut world = World::new("disk", server.process().address);
    for round in 0..3 {
        world.context = format!("a full file system, round {round}");
        survives(&mut server, &mut world, || disk.fill(), |_| disk.free()).await;
    }
}
