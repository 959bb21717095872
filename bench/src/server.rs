//! A server under measurement: one process, on a database of its own.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{Outcome, database::Database};

/// The key that every server is started with.
pub(crate) const KEY: &str = "bench-bootstrap-key";
/// A Python server takes a second; a machine under load several.
const START: Duration = Duration::from_secs(30);

/// How a server is started.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The binary, or its interpreter.
    pub(crate) path: PathBuf,
    /// What the interpreter runs.
    pub(crate) script: Option<PathBuf>,
    /// The cores that it may use, as `taskset` has them; none: all.
    pub(crate) cores: Option<String>,
    /// The file to which its standard error is appended; none: this process's own.
    pub(crate) log: Option<PathBuf>,
}

/// A running server. Ends with its handle, and its database with it.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Ended,
    database: Database,
}

impl Server {
    /// Starts `program` on `database`, and waits until it listens.
    pub(crate) async fn start(program: &Program, database: Database) -> Outcome<Self> {
        let mut command = match &program.cores {
            // It becomes the program: one process.
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.arg("--cpu-list").arg(cores).arg(&program.path);
                command
            }
            None => Command::new(&program.path),
        };
        command.args(&program.script).stdin(Stdio::null()).stdout(Stdio::piped());
        // Parlor's names, and those of the others; each reads its own.
        command.env("DATABASE_URL", database.url());
        command.env("PARLOR_LISTEN", "127.0.0.1:0").env("PEER_LISTEN", "127.0.0.1:0");
        command.env("PARLOR_BOOTSTRAP_API_KEY", KEY).env("PEER_API_KEY", KEY);
        command.env("PARLOR_LOG", "warn");
        if let Some(log) = &program.log {
            let log = fs::File::options().create(true).append(true).open(log)?;
            command.stderr(log);
        }
        let mut child = Ended(command.spawn().map_err(|error| format!("{}: {error}", program.path.display()))?);
        let stdout = child.0.stdout.take().ok_or("no standard output")?;
        let name = program.script.as_ref().unwrap_or(&program.path).display();
        match tokio::time::timeout(START, address(stdout)).await {
            Ok(Ok(address)) => Ok(Self { address, child, database }),
            Ok(Err(_)) => Err(format!("{name} ended before it listened").into()),
            Err(_) => Err(format!("{name} did not listen within {} s", START.as_secs()).into()),
        }
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        resident(&self.process())
    }

    /// The processor time that it has taken since it started, in microseconds.
    pub(crate) fn processor_micros(&self) -> io::Result<f64> {
        processor_micros(&self.process())
    }

    /// The size of its database with its log, if that is a file.
    pub(crate) fn database_bytes(&self) -> io::Result<u64> {
        self.database.bytes()
    }

    /// Its process id.
    pub(crate) fn process(&self) -> String {
        self.child.0.id().to_string()
    }

    /// Its database.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Sends it a signal, named as `kill` names it.
    pub(crate) fn signal(&self, signal: &str) -> Outcome<()> {
        send_signal(signal, &[self.process()])
    }

    /// Whether the process still runs.
    pub(crate) fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.0.try_wait()?.is_none())
    }

    /// Waits until the process has ended; `None` when it has not within `limit`.
    pub(crate) async fn ended(&mut self, limit: Duration) -> io::Result<Option<Duration>> {
        let started = Instant::now();
        while self.is_running()? {
            if started.elapsed() >= limit {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Some(started.elapsed()))
    }

    /// Kills it (SIGKILL) and returns its database, for another server to start on.
    pub(crate) fn kill(self) -> Database {
        let Self { child, database, .. } = self;
        drop(child);
        database
    }
}

/// Sends a signal, named as `kill` names it, to processes.
pub(crate) fn send_signal(signal: &str, processes: &[String]) -> Outcome<()> {
    let output = Command::new("kill").arg("-s").arg(signal).args(processes).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("kill -s {signal}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

/// A process that is ended with its handle, however that comes about.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The address in the first line that has one. What else the server prints is read as well: it must not wait for that.
fn address(stdout: ChildStdout) -> oneshot::Receiver<SocketAddr> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let mut sender = Some(sender);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let address = line.split_once("listens on http://").and_then(|(_, address)| address.trim().parse().ok());
            if let Some(address) = address
                && let Some(sender) = sender.take()
            {
                _ = sender.send(address);
            }
        }
    });
    receiver
}

/// The resident memory of a process, or of this one (`self`), in bytes.
pub(crate) fn resident(process: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let kilobytes: Option<u64> = kilobytes.and_then(|number| number.trim().parse().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
}

/// The unit of the processor times that Linux shows (`USER_HZ`), the same on every architecture in use.
const TICK_MICROS: f64 = 10_000.0;

/// The processor time that a process, or this one (`self`), has taken since it started, in microseconds.
pub(crate) fn processor_micros(process: &str) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The fields after the name, which may hold anything: `utime` and `stime` are the 14th and 15th of all.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(ticks * TICK_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that a shell plays.
    fn program(folder: &tempfile::TempDir, script: &str) -> Program {
        let file = folder.path().join("server.sh");
        fs::write(&file, script).unwrap();
        Program { path: "sh".into(), script: Some(file), cores: None, log: None }
    }

    #[tokio::test]
    async fn a_server_is_known_by_its_line_and_ends_with_its_handle() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo starting; echo \"It listens on http://127.0.0.1:4711\"; echo $DATABASE_URL; exec sleep 30";
        let database = Database::sqlite(folder.path()).unwrap();
        let server = Server::start(&program(&folder, script), database).await.unwrap();
        assert_eq!(server.address, "127.0.0.1:4711".parse().unwrap());
        assert!(server.resident().unwrap() > 0 && server.processor_micros().unwrap() < 5e6);
        let process = server.process();
        drop(server);
        assert!(resident(&process).is_err());
    }

    #[tokio::test]
    async fn a_killed_server_leaves_its_database_and_a_stopped_one_tells_when() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(&folder, "echo \"It listens on http://127.0.0.1:4711\"; exec sleep 30");
        let server = Server::start(&program, Database::sqlite(folder.path()).unwrap()).await.unwrap();
        let (process, url) = (server.process(), server.database().url());
        let database = server.kill();
        assert!(resident(&process).is_err());
        assert_eq!(database.url(), url);
        let mut server = Server::start(&program, database).await.unwrap();
        assert_eq!(server.ended(Duration::ZERO).await.unwrap(), None);
        server.signal("TERM").unwrap();
        assert!(server.ended(Duration::from_secs(20)).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::sqlite(folder.path()).unwrap();
        let error = Server::start(&program(&folder, "exit 3"), database).await.err().unwrap();
        assert!(error.to_string().ends_with("server.sh ended before it listened"), "{error}");
    }
}
