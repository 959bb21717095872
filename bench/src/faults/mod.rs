//! Faults of the database under load, and what is left of what was acknowledged.
//!
//! In each case a load of changes runs while a fault begins and ends; then the server is killed under load, started
//! again, and asked for all that it has acknowledged. Times are reported; judged is what does not depend on the machine.

mod case;
mod forwarder;
mod ledger;
mod load;
mod options;
mod postgres;
mod sqlite;
mod timeline;

use std::{process::ExitCode, time::Duration};

use case::Row;
use load::WORKERS;
pub(crate) use options::FaultOptions;

use crate::{Outcome, format::table, machine, options::named_revision, tables};

/// The name of the marks between which a page has the table.
const MARK: &str = "fault figures";

/// Runs all cases, and prints the table.
pub(crate) async fn run(options: &FaultOptions) -> Outcome<ExitCode> {
    let machine = machine::Machine::look(&options.trial.data(), named_revision(options.trial.revision.as_deref()))?;
    let mut notes = vec![
        format!("{} on {}.", machine.parlor, machine.line()),
        format!(
            "{WORKERS} clients make changes one after the other; a fault lasts {} s or twice that.",
            options.seconds
        ),
    ];
    let mut rows = Vec::new();
    sqlite::run(options, &mut rows, &mut notes).await?;
    match options.cluster() {
        Some(cluster) => postgres::run(options, &cluster, &mut rows, &mut notes).await?,
        None => notes.push("PostgreSQL was not tried.".to_owned()),
    }
    let failures = rows
        .iter()
        .flat_map(|row| row.failures.iter().map(move |failure| format!("{} ({}): {failure}", row.name, row.database)));
    let failures: Vec<String> = failures.collect();
    let text = format!("{}\n{}", tables::notes(&notes), table_of(&rows));
    tables::finish(&text, options.trial.into.as_deref().map(|page| (page, MARK)), &failures)
}

fn table_of(rows: &[Row]) -> String {
    let names = [
        "fault",
        "database",
        "first 503",
        "/readyz 503",
        "longest answer",
        "writes back",
        "/readyz 200",
        "acknowledged",
        "lost",
        "passed",
    ];
    let lines = rows.iter().map(|row| {
        let time = |time: Option<Duration>| time.map_or_else(|| "–".to_owned(), tables::seconds);
        let lasting = row.found.is_none();
        let after = |time| if lasting { "for good".to_owned() } else { self::after(time) };
        vec![
            row.name.to_owned(),
            row.database.to_owned(),
            time(row.refused),
            time(row.unready),
            tables::seconds(row.longest),
            after(row.writes),
            after(row.ready),
            row.found.as_ref().map_or_else(|| "–".to_owned(), |found| found.acknowledged.to_string()),
            row.found.as_ref().map_or_else(|| "–".to_owned(), |found| found.lost.len().to_string()),
            if row.failures.is_empty() { "yes" } else { "**no**" }.to_owned(),
        ]
    });
    table(&names, 2, lines)
}

fn after(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), tables::seconds)
}
