//! The machine that figures are of: without it they say little.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{Outcome, stats::median};

/// A machine, as far as the figures depend on it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Cores that a process may use.
    pub(crate) cores: usize,
    /// The processor's name.
    pub(crate) processor: String,
    /// Memory, in bytes.
    pub(crate) memory_bytes: u64,
    /// The kernel's name and version.
    pub(crate) kernel: String,
    /// The file system of the databases.
    pub(crate) file_system: String,
    /// What a write of 4 KiB and `fdatasync` take there, in microseconds: an acknowledged write costs at least one.
    pub(crate) sync_us: f64,
    /// The share of its processor time that others took just before; `1.0` is all of it.
    pub(crate) busy: f64,
    /// The program that was measured.
    pub(crate) parlor: String,
}

/// Writes that are synced, for their median.
const SYNCS: usize = 300;

impl Machine {
    /// This one; databases are made in `data`.
    pub(crate) fn look(data: &Path, parlor: String) -> Outcome<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
        let memory = memory.and_then(|kilobytes| kilobytes.parse::<u64>().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor: processor.map_or("unknown", |(_, model)| model).to_owned(),
            memory_bytes: memory.unwrap_or_default() * 1024,
            kernel: format!("Linux {}", kernel.trim()),
            file_system: disk(data, "fstype")?,
            sync_us: sync(data)?,
            busy: busy()?,
            parlor,
        })
    }

    /// Whether it is the same machine, and the same program: moods do not count.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        Self { sync_us: self.sync_us, busy: self.busy, ..other.clone() } == *self
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "memory of this size is far below 2^52")]
        let gibibytes = self.memory_bytes as f64 / f64::from(1 << 30);
        format!(
            "{} cores of {}, {gibibytes:.0} GiB of memory, {}; databases on {}, where a synced write of 4 KiB takes \
             {:.0} µs; at most {:.0} % busy with other work before it began",
            self.cores,
            self.processor,
            self.kernel,
            self.file_system,
            self.sync_us,
            self.busy * 100.0
        )
    }

    /// Whether the databases are on something that a sync does not wait for.
    pub(crate) fn syncs_nothing(&self) -> bool {
        ["tmpfs", "ramfs", "overlay"].contains(&self.file_system.as_str()) && self.sync_us < 20.0
    }
}

/// Bytes that are free for databases in `folder`.
pub(crate) fn free(folder: &Path) -> Outcome<u64> {
    Ok(disk(folder, "avail")?.parse()?)
}

/// One column of what `df` says of a folder.
fn disk(folder: &Path, column: &str) -> Outcome<String> {
    let output = Command::new("df").arg("--block-size=1").arg(format!("--output={column}")).arg(folder).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().nth(1).ok_or("df says nothing")?.trim().to_owned())
}

/// The median time of a small write with its sync, in microseconds.
fn sync(folder: &Path) -> Outcome<f64> {
    let folder = tempfile::tempdir_in(folder)?;
    let mut file = File::create(folder.path().join("sync"))?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}

/// The share of the processor time that is taken while this program waits.
fn busy() -> Outcome<f64> {
    let before = processor_times()?;
    thread::sleep(Duration::from_secs(1));
    let after = processor_times()?;
    let (idle, all) = (after.0 - before.0, after.1 - before.1);
    Ok(if all > 0.0 { 1.0 - idle / all } else { 0.0 })
}

/// The idle time of all cores, and all their time, in ticks.
fn processor_times() -> Outcome<(f64, f64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).ok_or("no line of all cores in /proc/stat")?;
    // The first eight: what guests take is in them already. The fourth and fifth: idle, and waiting for a disk.
    let times: Vec<f64> = line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>()?;
    Ok((times.iter().skip(3).take(2).sum(), times.iter().sum()))
}

/// How many descriptors this process may have open, and with it the servers that it starts.
pub(crate) fn descriptors() -> Outcome<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    match limit.ok_or("no limit of open files in /proc/self/limits")? {
        "unlimited" => Ok(usize::MAX),
        limit => Ok(limit.parse()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_and_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::look(folder.path(), "Parlor".to_owned()).unwrap();
        assert!(machine.cores > 0 && machine.memory_bytes > 0 && machine.sync_us > 0.0, "{machine:?}");
        assert!((0.0..=1.0).contains(&machine.busy), "{machine:?}");
        assert!(machine.line().contains(&machine.file_system));
        assert!(free(folder.path()).unwrap() > 0);
        assert!(descriptors().unwrap() > 0);
    }
}
