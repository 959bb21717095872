//! A server process that is killed and started again on one database.

use std::{
    fs::{self, File},
    process::Command,
};

use futures_util::{StreamExt as _, stream};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use super::world::{ANSWER, World};
use crate::support::{KEY, ServerProcess};

/// The lines of a server's log that a failure shows.
const LOG_LINES: usize = 5;
/// Attempts to start a server on a healthy database.
const STARTS: u32 = 3;

/// Runs `test` for each of `items`, at most `limit` at the same time.
pub(super) async fn side_by_side<T, F: Future<Output = ()>>(
    limit: usize,
    items: impl IntoIterator<Item = T>,
    test: impl FnMut(T) -> F,
) {
    stream::iter(items).map(test).buffer_unordered(limit).collect::<()>().await;
}

/// How to start a server, and the one that runs.
pub(super) struct Server {
    url: String,
    log: NamedTempFile,
    process: Option<ServerProcess>,
}

impl Server {
    /// Starts a server on `url`; `configure` may change how it is run.
    pub(super) async fn start(url: &str, configure: impl Fn(&mut Command)) -> Self {
        let mut server = Self::new(url);
        server.must_restart(configure).await;
        server
    }

    /// Kills the server with SIGKILL, if it runs, and starts it again, several times if need be: on a busy machine a
    /// database may answer too late for the bounds that hold at a start.
    async fn must_restart(&mut self, configure: impl Fn(&mut Command)) {
        for _ in 0..STARTS {
            if self.restart(&configure).await {
                return;
            }
        }
        panic!("the server does not start: {}", self.log());
    }

    /// A server on `url` that has not been started.
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), log: NamedTempFile::new().unwrap(), process: None }
    }

    /// Kills the server with SIGKILL, if it runs, and starts it again; tells whether it has started.
    pub(super) async fn restart(&mut self, configure: impl FnOnce(&mut Command)) -> bool {
        let mut command = ServerProcess::command(&self.url);
        configure(&mut command);
        self.restart_as(command).await
    }

    /// The same by `command`, which must run the server in its own process.
    pub(super) async fn restart_as(&mut self, mut command: Command) -> bool {
        self.kill();
        command
            .env("PARLOR_BOOTSTRAP_API_KEY", KEY)
            .env("PARLOR_LOG", "warn")
            .env("NO_COLOR", "1")
            .stderr(File::options().append(true).open(self.log.path()).unwrap());
        // A proxy between the server and its database may run on this thread.
        let start = spawn_blocking(move || ServerProcess::try_spawn(&mut command, ANSWER));
        self.process = start.await.unwrap();
        self.process.is_some()
    }

    /// Ends the server in an orderly way, which leaves everything in the database's file.
    pub(super) fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.finish();
        }
    }

    /// Kills the server with SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// The running process.
    pub(super) fn process(&self) -> &ServerProcess {
        self.process.as_ref().expect("the server runs")
    }

    /// Kills the server, starts one without faults, and checks by it what `worlds` know; then starts another one with
    /// `configure`.
    pub(super) async fn verify<'a>(
        &mut self,
        worlds: impl IntoIterator<Item = &'a mut World>,
        configure: impl Fn(&mut Command),
    ) {
        self.must_restart(|_| {}).await;
        let worlds: Vec<&mut World> = worlds.into_iter().collect();
        let mut verified = Vec::new();
        for world in worlds {
            world.move_to(self.process().address);
            world.verify().await;
            verified.push(world);
        }
        self.must_restart(configure).await;
        for world in verified {
            world.move_to(self.process().address);
        }
    }

    /// The end of the server's log.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(self.log.path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log ends with:\n{}", self.log());
        }
        self.kill();
    }
}
