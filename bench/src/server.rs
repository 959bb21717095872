//! The server under measurement: the release binary, on a database of its own.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// The key that the server is started with.
pub(crate) const KEY: &str = "bench-bootstrap-key";

/// A running server. Ends with its handle.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Server {
    /// Starts `binary`, on `database` if given, else on a new SQLite file.
    pub(crate) fn start(binary: &Path, database: Option<&str>) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let file = format!("sqlite://{}", folder.path().join("parlor.db").display());
        let mut child = Command::new(binary)
            .env("DATABASE_URL", database.unwrap_or(&file))
            .env("PARLOR_LISTEN", "127.0.0.1:0")
            .env("PARLOR_BOOTSTRAP_API_KEY", KEY)
            .env("PARLOR_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("Parlor listens on http://").and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| io::Error::other(format!("{} did not start: {line}", binary.display())))?;
        Ok(Self { address, child, _folder: folder })
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        resident(&self.child.id().to_string())
    }

    /// The processor time that it has taken since it started.
    pub(crate) fn processor_time(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The fields after the name, which may hold anything: `utime` and `stime` are the 14th and 15th of all.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
        Ok(TICK * u32::try_from(ticks.iter().sum::<u64>()).map_err(io::Error::other)?)
    }
}

/// The unit of the processor times that Linux shows (`USER_HZ`), the same on every architecture in use.
const TICK: Duration = Duration::from_millis(10);

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The resident memory of a process, or of this one (`self`), in bytes.
pub(crate) fn resident(process: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let kilobytes: Option<u64> = kilobytes.and_then(|number| number.trim().parse().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
}
