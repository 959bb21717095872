//! `parlor openapi`.

use std::{fs, path::PathBuf};

use clap::Args;
use similar::TextDiff;

use super::Failure;
use crate::api;

#[derive(Debug, Args)]
pub(super) struct Openapi {
    /// Compare instead of writing; prints the difference and fails if there is one.
    #[arg(long)]
    check: bool,
    /// The file.
    #[arg(long, default_value = "openapi.json")]
    output: PathBuf,
}

impl Openapi {
    pub(super) fn run(self) -> Result<(), Failure> {
        let derived = api::render(&api::document());
        let path = self.output.display();
        if !self.check {
            fs::write(&self.output, derived).map_err(Failure::io(format!("cannot write {path}")))?;
            println!("wrote {path}");
            return Ok(());
        }
        let written = fs::read_to_string(&self.output).map_err(Failure::io(format!("cannot read {path}")))?;
        if written == derived {
            println!("{path} is what the handlers say");
            return Ok(());
        }
        let diff = TextDiff::from_lines(&written, &derived);
        print!("{}", diff.unified_diff().header(&path.to_string(), "derived from the handlers"));
        eprintln!("parlor: {path} is not what the handlers say; mend it with `cargo run -- openapi`");
        Err(Failure::Said)
    }
}
