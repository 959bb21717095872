//! The report: Markdown that reads well on a terminal too.

use std::fmt::Write as _;

use crate::{
    Outcome,
    format::{number, quantity, table},
    goals::{self, Goal},
    machine::Machine,
    options::{Store, Subject, Suite},
    results::{Figure, Load, Results, Round, SuiteResults, Unit},
};

/// The name of the marks between which docs/PERFORMANCE.md has the report.
pub(crate) const FIGURES: &str = "figures";

/// Everything that is in the results.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = machines(results);
    let mut told = Vec::new();
    section(&mut text, "Goals", &goals_table(&goals::all(results)));
    for suite in Suite::each() {
        let Some(measured) = results.suites.get(&suite.name()) else { continue };
        let mut content = String::new();
        for note in &measured.notes {
            if !told.contains(note) {
                _ = writeln!(content, "- {note}");
                told.push(note.clone());
            }
        }
        for table in tables(suite, measured) {
            let gap = if content.is_empty() { "" } else { "\n" };
            _ = write!(content, "{gap}{table}");
        }
        section(&mut text, title(suite), &content);
    }
    text
}

/// Puts a report between the two marks of this name in a page: `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
pub(crate) fn into_page(page: &str, name: &str, report: &str) -> Outcome<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = page.split_once(&begin).ok_or_else(|| format!("the page has no {begin}"))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| format!("the page has no {end}"))?;
    Ok(format!("{before}{begin}\n{report}\n{end}{after}"))
}

fn section(text: &mut String, title: &str, content: &str) {
    let gap = if text.is_empty() { "" } else { "\n" };
    _ = write!(text, "{gap}### {title}\n\n{content}");
}

const fn title(suite: Suite) -> &'static str {
    match suite {
        Suite::Compare => "Beside servers made by hand",
        Suite::Live => "Live connections",
        Suite::Sdk => "The SDK beside its HTTP client alone",
        Suite::Pages => "Pages at depth",
        Suite::Sizes => "Builds, start and size",
        Suite::Growth => "Few chats and many",
        Suite::All => "All",
    }
}

/// Where it was measured: a line for each machine, as a rule one.
fn machines(results: &Results) -> String {
    let mut machines: Vec<(Machine, Vec<String>)> = Vec::new();
    for (name, suite) in &results.suites {
        match machines.iter_mut().find(|(machine, _)| machine.is_as(&suite.machine)) {
            Some((machine, names)) => {
                // What the disk can do, and the worst of what disturbed.
                machine.sync_us = machine.sync_us.min(suite.machine.sync_us);
                machine.busy = machine.busy.max(suite.machine.busy);
                names.push(name.clone());
            }
            None => machines.push((suite.machine.clone(), vec![name.clone()])),
        }
    }
    let single = machines.len() == 1;
    machines.into_iter().fold(String::new(), |mut text, (machine, names)| {
        let of = if single { String::new() } else { format!(" ({})", names.join(", ")) };
        _ = writeln!(text, "- {}{of} on {}.", machine.parlor, machine.line());
        text
    })
}

fn goals_table(goals: &[Goal]) -> String {
    let rows = goals.iter().map(|goal| {
        let met = match goal.is_met() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        let value = goal.value.map(|value| quantity(value, goal.unit)).unwrap_or_default();
        vec![nested(&goal.what), goal.wanted(), value, met.to_owned()]
    });
    table(&["what", "goal", "measured", "met"], 1, rows)
}

/// The tables of a suite that are not empty.
fn tables(suite: Suite, measured: &SuiteResults) -> Vec<String> {
    let mut tables = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        let loads: Vec<&Load> = measured.loads.iter().filter(|load| load.key.database == store.name()).collect();
        if !loads.is_empty() {
            let how = if store == Store::Sqlite { "SQLite, in WAL mode with `synchronous=FULL`" } else { store.name() };
            tables.push(format!("{how}:\n\n{}", loads_table(suite, &loads)));
        }
    }
    if !measured.figures.is_empty() {
        tables.push(figures_table(&measured.figures));
    }
    tables
}

fn loads_table(suite: Suite, loads: &[&Load]) -> String {
    let (first, compared) = match suite {
        Suite::Sdk => ("by", "parlor-sdk is"),
        _ => ("server", "Parlor is"),
    };
    let rows = loads.iter().map(|load| {
        let key = &load.key;
        // In each group the one of interest comes first.
        let own = loads.iter().find(|other| other.key.is_of_same_work(key));
        let rate = |round: &Round| round.rate;
        let times = own.filter(|own| own.key.subject != key.subject && key.subject != Subject::Echo.name());
        vec![
            key.work.clone(),
            key.case.clone(),
            key.subject.clone(),
            number(load.median(rate), 0),
            times.map(|own| quantity(own.through(load, rate), Unit::Times)).unwrap_or_default(),
            quantity(load.median(|round| round.p50_us), Unit::Micros),
            quantity(load.median(|round| round.p99_us), Unit::Micros),
            quantity(load.median(|round| round.server_cpu_us), Unit::Micros),
            quantity(load.median(|round| round.load_cpu_us), Unit::Micros),
            quantity(load.median(Round::resident), Unit::Bytes),
        ]
    });
    let mut names =
        vec!["work", "load", first, "requests/s", compared, "p50", "p99", "server CPU", "load CPU", "server memory"];
    let mut rows: Vec<Vec<String>> = rows.collect();
    // Where nothing is compared.
    if rows.iter().all(|row| row[COMPARED].is_empty()) {
        names.remove(COMPARED);
        for row in &mut rows {
            row.remove(COMPARED);
        }
    }
    table(&names, 3, rows.into_iter())
}

/// The column that says how often one does what another does once.
const COMPARED: usize = 4;

fn figures_table(figures: &[Figure]) -> String {
    let rows = figures.iter().map(|figure| {
        let value = crate::stats::median(figure.values.iter().copied());
        vec![nested(&figure.text), quantity(value, figure.unit)]
    });
    table(&["what", "median"], 1, rows)
}

/// What belongs to the row above is moved in; a page would not show spaces.
fn nested(text: &str) -> String {
    text.strip_prefix("  ").map_or_else(|| text.to_owned(), |text| format!("– {text}"))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::results::{Key, Round};

    #[test]
    fn figures_are_short() {
        for (value, unit, text) in [
            (1_234_567.8, Unit::PerSecond, "1,234,568/s"),
            (999.0, Unit::Count, "999"),
            (8_191.4, Unit::Bytes, "8,191 B"),
            (20_141_264.0, Unit::Bytes, "20.1 MB"),
            (45.04, Unit::Micros, "45.0 µs"),
            (450.0, Unit::Micros, "450 µs"),
            (10_000.0, Unit::Micros, "10.00 ms"),
            (150_000.0, Unit::Micros, "150 ms"),
            (14.16, Unit::Times, "14.2 ×"),
            (0.987, Unit::Times, "0.99 ×"),
        ] {
            assert_eq!(quantity(value, unit), text);
        }
        assert_eq!(number(-123_456.0, 0), "-123,456");
    }

    #[test]
    fn a_table_has_a_row_for_each_server_and_its_medians() {
        let mut suite = SuiteResults { notes: vec!["A note.".to_owned()], ..SuiteResults::default() };
        let (parlor, axum) = ("Parlor", "axum + sqlx");
        for (subject, rate) in [(parlor, 24_000.0), (axum, 1_000.0), (parlor, 24_000.0), (axum, 2_000.0)] {
            let round = Round {
                answers: 1,
                rate,
                p50_us: 2_500.0,
                p99_us: 5_000.0,
                server_cpu_us: 40.0,
                load_cpu_us: 8.0,
                resident_bytes: 30_000_000,
            };
            suite.add(&Key::new("SQLite", "create_chat", &goals::case(), subject), round);
        }
        let mut results = Results::default();
        results.suites.insert(Suite::Compare.name(), suite);
        let text = markdown(&results);
        let row = |start: &str| -> Vec<&str> {
            let line = text.lines().find(|line| line.contains(start)).unwrap();
            line.trim_matches('|').split('|').map(str::trim).collect()
        };
        assert_eq!(row("| axum + sqlx")[2..6], ["axum + sqlx", "1,500", "18.0 ×", "2.50 ms"]);
        assert_eq!(row("| Parlor  ")[3..5], ["24,000", ""]);
        assert_eq!(row("create_chat on SQLite, beside")[1..], ["≥ 12 ×", "18.0 ×", "yes"]);
        assert!(text.contains("\n- A note.\n\nSQLite, "), "{text}");
        assert!(row("– its p99")[2] == "5.00 ms");
    }

    #[test]
    fn what_is_published_is_made_of_the_results_that_are() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let (results, page) = (docs.join("performance.json"), docs.join("PERFORMANCE.md"));
        if !results.exists() {
            // Nothing is published yet.
            return;
        }
        let results = Results::read(&results).unwrap();
        let page = fs::read_to_string(page).unwrap();
        assert_eq!(page, into_page(&page, FIGURES, &markdown(&results)).unwrap());
        assert_eq!(fs::read_to_string(docs.join("performance.svg")).unwrap(), crate::plot::draw(&results));
    }

    #[test]
    fn a_report_takes_the_place_of_the_one_before() {
        let (begin, end) = ("<!-- figures: begin -->\n", "<!-- figures: end -->");
        let page = format!("above\n{begin}old{end}\nbelow\n");
        let new = into_page(&page, FIGURES, "new\n").unwrap();
        assert_eq!(new, format!("above\n{begin}\nnew\n\n{end}\nbelow\n"));
        assert_eq!(into_page(&new, FIGURES, "new\n").unwrap(), new);
        assert!(into_page("no marks", FIGURES, "new").is_err());
        assert!(into_page(&page, "others", "new").is_err());
    }
}
