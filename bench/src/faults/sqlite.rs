//! Faults of a SQLite database: its disk, its files, and other processes that use it.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    case::{Case, Expected, Row, Undo, measure},
    options::FaultOptions,
};
use crate::{
    Outcome,
    database::Database,
    server::{Program, Server},
};

/// The size of the disk that is filled, in MiB.
const DISK: u32 = 96;
/// The largest offset at which the server may write while its files are bounded, in bytes.
const FILE_SIZE: u64 = 64 * 1024;
/// The bytes that are overwritten: the first two pages of the file.
const OVERWRITTEN: usize = 8 * 1024;
/// How often they are.
const OVERWRITE: Duration = Duration::from_millis(50);
/// Uses a database until its standard input ends; the statement that begins the transaction is the second argument.
const OTHER_PROCESS: &str = "
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute(sys.argv[2])
connection.execute('SELECT count(*) FROM chats').fetchall()
print('begun', flush=True)
sys.stdin.read()
";

/// Where the database of a case is, and by what process it is used.
struct Place {
    file: PathBuf,
    process: String,
}

type Inject = fn(&Place) -> Outcome<Undo>;

/// A row of the table of faults.
#[derive(Clone, Copy)]
struct Fault {
    name: &'static str,
    expected: Expected,
    inject: Inject,
    optional: bool,
    /// On a disk of its own, which can be filled.
    own_disk: bool,
    /// How long it lasts at least: until what waits for it has to be given up.
    least: Duration,
}

const fn fault(name: &'static str, expected: Expected, inject: Inject) -> Fault {
    Fault { name, expected, inject, optional: false, own_disk: false, least: Duration::ZERO }
}

impl Fault {
    const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
}

const FAULTS: [Fault; 9] = [
    Fault { own_disk: true, ..fault("full disk", Expected::Refusal, fill_disk) },
    fault("no write beyond 64 KiB of a file", Expected::Refusal, bound_files).optional(),
    fault("files made unwritable", Expected::Refusal, make_immutable).optional(),
    fault("file moved away and back", Expected::Unready, move_away),
    fault("write-ahead log deleted", Expected::RefusalUntilRestart, delete_log),
    Fault {
        least: Duration::from_secs(7),
        ..fault("write lock held by another process", Expected::Refusal, hold_lock).optional()
    },
    fault("read transaction of another process", Expected::ServiceAfter(Duration::ZERO), hold_snapshot).optional(),
    fault("file deleted", Expected::RefusalForGood, delete_file),
    fault("first pages overwritten", Expected::UnreadyForGood, overwrite),
];

/// Runs all faults that are wanted.
pub(super) async fn run(options: &FaultOptions, rows: &mut Vec<Row>, notes: &mut Vec<String>) -> Outcome<()> {
    for fault in FAULTS.iter().filter(|fault| options.trial.wants(fault.name)) {
        let scripts = tempfile::tempdir_in(options.trial.data())?;
        // It outlives the server: fields and variables are dropped in this order.
        let disk = if fault.own_disk {
            match Disk::mount(&options.trial.data()) {
                Ok(disk) => Some(disk),
                Err(error) => {
                    notes.push(format!("Skipped on SQLite: {}, since no disk can be mounted: {error}.", fault.name));
                    continue;
                }
            }
        } else {
            None
        };
        let folder = disk.as_ref().map_or_else(|| options.trial.data(), |disk| disk.0.path().to_owned());
        let program = ignoring_file_size_signal(&options.trial.program(), scripts.path())?;
        let server = Server::start(&program, Database::sqlite(&folder)?).await?;
        let file = server.database().url().trim_start_matches("sqlite://").into();
        let place = Place { file, process: server.process() };
        let inject = fault.inject;
        let hold = options.hold().max(fault.least);
        let mut case = Case::new(fault.name, fault.expected, hold, move || inject(&place));
        case.optional = fault.optional;
        rows.extend(measure(server, &program, case, "SQLite", Vec::new(), notes).await?);
    }
    Ok(())
}

/// The same program with SIGXFSZ ignored, so that a write beyond the bound of a file's size fails and does not kill.
fn ignoring_file_size_signal(program: &Program, folder: &Path) -> Outcome<Program> {
    let script = folder.join("start.sh");
    fs::write(&script, format!("trap '' XFSZ\nexec '{}'\n", program.path.display()))?;
    Ok(Program { path: "sh".into(), script: Some(script), ..program.clone() })
}

/// A small file system in memory. Unmounted when it is dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(folder: &Path) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("parlor-disk.").tempdir_in(folder)?;
        let size = format!("size={DISK}m");
        command(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()))?;
        Ok(Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = command(Command::new("umount").arg("--lazy").arg(self.0.path())) {
            eprintln!("{} is left over: {error}", self.0.path().display());
        }
    }
}

fn fill_disk(place: &Place) -> Outcome<Undo> {
    let filler = place.file.with_extension("filler");
    let mut file = File::create(&filler)?;
    // The last page counts: a log that still had room would be written to.
    while file.write_all(&[0; 4096]).is_ok() {}
    Ok(Undo::new(move || Ok(fs::remove_file(filler)?)))
}

fn bound_files(place: &Place) -> Outcome<Undo> {
    let process = place.process.clone();
    let bound = |process: &str, bound: &str| {
        command(Command::new("prlimit").args(["--pid", process, &format!("--fsize={bound}:")]))
    };
    bound(&process, &FILE_SIZE.to_string())?;
    Ok(Undo::new(move || bound(&process, "unlimited")))
}

fn make_immutable(place: &Place) -> Outcome<Undo> {
    let files = [place.file.clone(), log_of(&place.file)];
    let undo_files = files.clone();
    let undo = Undo::new(move || command(Command::new("chattr").arg("-i").args(undo_files)));
    command(Command::new("chattr").arg("+i").args(files))?;
    Ok(undo)
}

fn move_away(place: &Place) -> Outcome<Undo> {
    let (file, away) = (place.file.clone(), place.file.with_extension("away"));
    fs::rename(&file, &away)?;
    Ok(Undo::new(move || Ok(fs::rename(away, file)?)))
}

fn delete_log(place: &Place) -> Outcome<Undo> {
    fs::remove_file(log_of(&place.file))?;
    Ok(Undo::none())
}

fn delete_file(place: &Place) -> Outcome<Undo> {
    fs::remove_file(&place.file)?;
    Ok(Undo::none())
}

/// Overwrites the first pages again and again: a checkpoint may put right those that the log has too.
fn overwrite(place: &Place) -> Outcome<Undo> {
    let file = File::options().write(true).open(&place.file)?;
    file.write_all_at(&[0xa5; OVERWRITTEN], 0)?;
    let ended = Arc::new(AtomicBool::new(false));
    let end = ended.clone();
    let thread = thread::spawn(move || {
        while !end.load(Ordering::Relaxed) && file.write_all_at(&[0xa5; OVERWRITTEN], 0).is_ok() {
            thread::sleep(OVERWRITE);
        }
    });
    Ok(Undo::new(move || {
        ended.store(true, Ordering::Relaxed);
        thread.join().map_err(|_| "the thread that overwrites pages panicked".into())
    }))
}

fn hold_lock(place: &Place) -> Outcome<Undo> {
    use_from_another_process(&place.file, "BEGIN IMMEDIATE")
}

fn hold_snapshot(place: &Place) -> Outcome<Undo> {
    use_from_another_process(&place.file, "BEGIN")
}

fn use_from_another_process(file: &Path, begin: &str) -> Outcome<Undo> {
    let mut python = Command::new("python3");
    python.args(["-c", OTHER_PROCESS]).arg(file).arg(begin);
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let undo = Undo::new(move || end(child));
    if line.trim() == "begun" {
        Ok(undo.began_now())
    } else {
        Err("the other process did not begin its transaction".into())
    }
}

/// Closes a process's standard input, and waits for its end.
pub(super) fn end(mut child: Child) -> Outcome<()> {
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

fn log_of(file: &Path) -> PathBuf {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Runs a command to its end.
fn command(command: &mut Command) -> Outcome<()> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut words = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut words)?;
    }
    if child.wait()?.success() { Ok(()) } else { Err(words.lines().next().unwrap_or("it failed").trim().into()) }
}
