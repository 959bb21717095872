//! Failing the system calls that a server process makes on its SQLite files; `fault.c` is the other half.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::NamedTempFile;

/// Classes of system calls, as `fault.c` numbers them.
pub(crate) const WRITE: u32 = 1;
pub(crate) const SYNC: u32 = 2;
pub(crate) const TRUNCATE: u32 = 4;
pub(crate) const READ: u32 = 8;
pub(crate) const OPEN: u32 = 16;
pub(crate) const LOCK: u32 = 32;

/// Values of `errno`; they are the same on every Linux that the library is built for.
pub(crate) const EIO: u32 = 5;
pub(crate) const EAGAIN: u32 = 11;
pub(crate) const EMFILE: u32 = 24;
pub(crate) const ENOSPC: u32 = 28;
pub(crate) const EROFS: u32 = 30;

/// What fails, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileFault {
    pub(crate) name: &'static str,
    /// The classes of system calls that are counted and fail.
    pub(crate) calls: u32,
    pub(crate) errno: u32,
    /// Whether half of the first failing write is stored, as on a disk that fills up in its middle.
    pub(crate) torn: bool,
    /// Calls that fail; [`u64::MAX`]: all until the fault is lifted.
    pub(crate) count: u64,
}

impl FileFault {
    pub(crate) fn is_lasting(&self) -> bool {
        self.count == u64::MAX
    }
}

/// The faults of one server process. None until [`Self::arm`] is called.
pub(crate) struct FaultShim {
    library: PathBuf,
    prefix: PathBuf,
    control: NamedTempFile,
}

/// Offsets in `struct control` of `fault.c`.
mod offset {
    pub(super) const ARMED: u64 = 0;
    pub(super) const FAILED: u64 = 40;
    pub(super) const END: u64 = 48;
}

impl FaultShim {
    /// Faults on the files whose paths begin with `database`; `None`, with a note on standard error, where no such
    /// library can be built.
    pub(crate) fn on(database: &Path) -> Option<Self> {
        static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let library = match LIBRARY.get_or_init(compile) {
            Ok(library) => library.clone(),
            Err(reason) => {
                eprintln!("SKIPPED: faults of system calls are not injected: {reason}");
                return None;
            }
        };
        let control = NamedTempFile::new().unwrap();
        control.as_file().set_len(offset::END).unwrap();
        Some(Self { library, prefix: database.to_owned(), control })
    }

    /// Has `command` run with the library.
    pub(crate) fn preload(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("PARLOR_FAULT_CONTROL", self.control.path())
            .env("PARLOR_FAULT_PREFIX", &self.prefix);
    }

    /// Lets the `first` call of the fault's classes fail, counted from 1 and from now on, and those after it as the fault
    /// says.
    pub(crate) fn arm(&self, fault: &FileFault, first: u64) {
        self.disarm();
        let mut parameters = Vec::new();
        for word in [0, fault.calls, fault.errno, u32::from(fault.torn)] {
            parameters.extend_from_slice(&word.to_ne_bytes());
        }
        for word in [first, first.saturating_add(fault.count - 1), 0, 0] {
            parameters.extend_from_slice(&word.to_ne_bytes());
        }
        self.file().write_all_at(&parameters, 0).unwrap();
        self.file().write_all_at(&1_u32.to_ne_bytes(), offset::ARMED).unwrap();
    }

    /// Lets all calls pass again.
    pub(crate) fn disarm(&self) {
        self.file().write_all_at(&0_u32.to_ne_bytes(), offset::ARMED).unwrap();
    }

    /// How many calls failed since the fault was armed.
    pub(crate) fn failed(&self) -> u64 {
        self.number(offset::FAILED)
    }

    fn number(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file().read_exact_at(&mut bytes, offset).unwrap();
        u64::from_ne_bytes(bytes)
    }

    fn file(&self) -> &File {
        self.control.as_file()
    }
}

/// Compiles `fault.c` into the folder that cargo gives tests for such files.
fn compile() -> Result<PathBuf, String> {
    if !cfg!(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")) {
        return Err("this is not 64-bit Linux with glibc".to_owned());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fault.c");
    let own = folder.join(format!("libparlor_fault.{}.so", std::process::id()));
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&own, &source])
        .output()
        .map_err(|error| format!("cc cannot be run: {error}"))?;
    // A compiler that is there and refuses the file is a fault of the file.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Another test run may use the name at the same time; a rename leaves each with a whole library.
    let library = folder.join("libparlor_fault.so");
    fs::rename(&own, &library).map_err(|error| error.to_string())?;
    Ok(library)
}
