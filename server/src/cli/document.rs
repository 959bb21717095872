//! `parlor openapi`, `parlor openapi-3.1` and `parlor asyncapi`.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;
use similar::TextDiff;

use super::Failure;
use crate::docs::{asyncapi, openapi};

/// The name of a file that stands for standard output or standard input.
const STREAM: &str = "-";

/// A document that the code says, and a file that keeps it.
#[derive(Debug, Args)]
pub(super) struct Document {
    /// Compare instead of writing; prints the difference and fails if there is one.
    #[arg(long)]
    check: bool,
    /// The file, or `-` for standard output, and with --check for standard input [default: the command's name and
    /// `.json`].
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Which document.
pub(super) struct Kind {
    /// The command.
    name: &'static str,
    /// Who says what is in it.
    source: &'static str,
    derive: fn() -> Value,
}

pub(super) const OPENAPI: Kind = Kind { name: "openapi", source: "the handlers", derive: openapi::document };
pub(super) const OPENAPI_31: Kind = Kind { name: "openapi-3.1", source: "the handlers", derive: openapi::document_31 };
pub(super) const ASYNCAPI: Kind = Kind { name: "asyncapi", source: "the frames", derive: asyncapi::document };

impl Document {
    pub(super) fn run(self, kind: &Kind) -> Result<(), Failure> {
        let Kind { name, source, derive } = kind;
        let derived = openapi::render(&derive());
        let output = self.output.unwrap_or_else(|| PathBuf::from(format!("{name}.json")));
        let is_stream = output == Path::new(STREAM);
        let path = if is_stream { "standard input".into() } else { output.to_string_lossy() };
        if !self.check {
            if is_stream {
                return print(&derived);
            }
            fs::write(&output, derived).map_err(Failure::io(format!("cannot write {path}")))?;
            println!("wrote {path}");
            return Ok(());
        }
        let written = if is_stream { io::read_to_string(io::stdin().lock()) } else { fs::read_to_string(&output) };
        let written = written.map_err(Failure::io(format!("cannot read {path}")))?;
        if written == derived {
            println!("{path} is what {source} say");
            return Ok(());
        }
        let diff = TextDiff::from_lines(&written, &derived);
        print!("{}", diff.unified_diff().header(&path, &format!("derived from {source}")));
        eprintln!("parlor: {path} is not what {source} say; mend it with `cargo run -- {name}`");
        Err(Failure::Said)
    }
}

/// Writes a document to standard output. A reader that takes only its beginning, as `head` does, is no failure.
fn print(document: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(document.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write standard output")(error))
        }
        _ => Ok(()),
    }
}
