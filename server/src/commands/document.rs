//! `parlor openapi`, `parlor openapi-3.1` and `parlor asyncapi`.

use std::{fs, path::PathBuf};

use clap::Args;
use serde_json::Value;
use similar::TextDiff;

use super::Failure;
use crate::{api, realtime};

/// A document that the code says, and a file that keeps it.
#[derive(Debug, Args)]
pub(super) struct Document {
    /// Compare instead of writing; prints the difference and fails if there is one.
    #[arg(long)]
    check: bool,
    /// The file [default: the command's name and `.json`].
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

pub(super) const OPENAPI: Kind = Kind { name: "openapi", source: "the handlers", derive: api::document };
pub(super) const OPENAPI_31: Kind = Kind { name: "openapi-3.1", source: "the handlers", derive: api::document_31 };
pub(super) const ASYNCAPI: Kind = Kind { name: "asyncapi", source: "the frames", derive: realtime::document };

impl Document {
    pub(super) fn run(self, kind: &Kind) -> Result<(), Failure> {
        let Kind { name, source, derive } = kind;
        let derived = api::render(&derive());
        let output = self.output.unwrap_or_else(|| PathBuf::from(format!("{name}.json")));
        let path = output.display();
        if !self.check {
            fs::write(&output, derived).map_err(Failure::io(format!("cannot write {path}")))?;
            println!("wrote {path}");
            return Ok(());
        }
        let written = fs::read_to_string(&output).map_err(Failure::io(format!("cannot read {path}")))?;
        if written == derived {
            println!("{path} is what {source} say");
            return Ok(());
        }
        let diff = TextDiff::from_lines(&written, &derived);
        print!("{}", diff.unified_diff().header(&path.to_string(), &format!("derived from {source}")));
        eprintln!("parlor: {path} is not what {source} say; mend it with `cargo run -- {name}`");
        Err(Failure::Said)
    }
}
