//! What the reports on attacks and on faults have in common.

use std::{fmt::Write as _, fs, path::Path, process::ExitCode, time::Duration};

use crate::{
    Outcome,
    format::quantity,
    report::into_page,
    results::{Unit, replace},
};

/// Prints how a case went, to standard error, as soon as it is over.
pub(crate) fn report(case: &str, details: &[String], failures: &[String]) {
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    eprintln!("=== {case}: {verdict}");
    for failure in failures {
        eprintln!("  FAILED: {failure}");
    }
    for detail in details {
        eprintln!("  {detail}");
    }
}

/// Notes as a list.
pub(crate) fn notes(notes: &[String]) -> String {
    notes.iter().fold(String::new(), |mut text, note| {
        _ = writeln!(text, "- {note}");
        text
    })
}

/// The beginning of a text, at most a line.
pub(crate) fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(160).collect()
}

/// A number of bytes with its unit.
pub(crate) fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "memory and files of this size are far below 2^52 bytes")]
    let bytes = bytes as f64;
    quantity(bytes, Unit::Bytes)
}

/// A time in seconds with one decimal.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Prints the tables, puts them into a page if one is given with the name of its marks, and tells by the exit status
/// whether all was as it should be.
pub(crate) fn finish(text: &str, page: Option<(&Path, &str)>, failures: &[String]) -> Outcome<ExitCode> {
    println!("{text}");
    if let Some((page, mark)) = page {
        let old = fs::read_to_string(page).map_err(|error| format!("{}: {error}", page.display()))?;
        replace(page, into_page(&old, mark, text.trim_end())?.as_bytes())?;
    }
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{} failures:", failures.len());
    for failure in failures {
        eprintln!("  {failure}");
    }
    Ok(ExitCode::FAILURE)
}
