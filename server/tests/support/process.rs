use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::KEY;

/// The real binary as a process of its own.
pub(crate) struct ServerProcess {
    pub(crate) address: SocketAddr,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

/// The log of a process, as JSON in a file of its own.
pub(crate) struct LogFile(TempDir);

impl LogFile {
    /// Makes `command` write its log there.
    pub(crate) fn of(command: &mut Command) -> Self {
        let log = Self(tempfile::tempdir().unwrap());
        command.env("PARLOR_LOG_FORMAT", "json").stderr(File::create(log.path()).unwrap());
        log
    }

    /// The whole log so far.
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    /// Its lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("log")
    }
}

impl ServerProcess {
    /// The binary, on a free port of this machine, with a clean environment.
    pub(crate) fn command(database_url: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parlor"));
        command
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("PARLOR_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// Starts it with the tests' bootstrap key and waits until it listens.
    pub(crate) fn start(database_url: &str) -> Self {
        Self::spawn(Self::command(database_url).env("PARLOR_BOOTSTRAP_API_KEY", KEY))
    }

    /// Starts `command` and waits until it listens.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("Parlor listens on http://").expect("the first line names the address");
        Self { address: address.parse().unwrap(), child, stdout }
    }

    /// Starts `command` and waits until it listens; `None` when it has ended instead, or does neither within `patience`.
    pub(crate) fn try_spawn(command: &mut Command, patience: Duration) -> Option<Self> {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (listening, line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            _ = stdout.read_line(&mut line);
            _ = listening.send((line, stdout));
        });
        let started = line.recv_timeout(patience).ok().and_then(|(line, stdout)| {
            let address = line.trim().strip_prefix("Parlor listens on http://")?;
            Some((address.parse().unwrap(), stdout))
        });
        let Some((address, stdout)) = started else {
            _ = child.kill();
            _ = child.wait();
            return None;
        };
        Some(Self { address, child, stdout })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by its name, as in `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -s {name}");
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends the process and returns the rest of its standard output.
    pub(crate) fn finish(mut self) -> String {
        self.signal("TERM");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // A failed test leaves no process behind.
        if !thread::panicking() {
            return;
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
