//! The plot: what each server does in a second, as bars on a logarithmic scale.
//!
//! By hand: a bar is a rectangle and three texts, and an own style sheet lets the picture follow the page into the dark.

use std::fmt::Write as _;

use crate::{
    format::number,
    goals::case,
    options::{Store, Subject, Suite},
    results::{Key, Results},
    suites::compare::Work,
};

const WIDTH: f64 = 760.0;
/// Where bars begin: names stand before.
const LEFT: f64 = 130.0;
/// What the longest figure needs behind a bar.
const RIGHT: f64 = 90.0;
const TOP: f64 = 58.0;
const BAR: f64 = 18.0;
const BAR_STEP: f64 = 24.0;
const TITLE: f64 = 26.0;
const GROUP_GAP: f64 = 16.0;

/// A card of its own colours: whatever is behind it, its text is legible.
const STYLE: &str = "
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .heading { font-size: 15px; font-weight: 600 }
  .group { font-weight: 600 }
  .scale { font-size: 11px; fill: #57606a }
  .card { fill: #ffffff; stroke: #d0d7de }
  .line { stroke: #d8dee4 }
  .peer { fill: #9aa4b0 }
  .parlor { fill: #2f6feb }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .scale { fill: #9198a1 }
    .card { fill: #0d1117; stroke: #3d444d }
    .line { stroke: #30363d }
    .peer { fill: #6e7681 }
    .parlor { fill: #4493f8 }
  }";

/// One work on one database.
struct Group {
    title: String,
    /// Each server's rate.
    bars: Vec<(&'static str, f64)>,
}

/// The plot as SVG. Without results it says so.
pub(crate) fn draw(results: &Results) -> String {
    let groups = groups(results);
    let height = groups.iter().fold(TOP + 24.0, |height, group| height + group_height(group)).max(90.0);
    let rates = || groups.iter().flat_map(|group| group.bars.iter().map(|(_, rate)| *rate));
    // From the power of ten below the slowest to the fastest.
    let low = rates().fold(f64::INFINITY, f64::min).log10().floor();
    let high = rates().fold(f64::NEG_INFINITY, f64::max).log10();
    let x = |log: f64| LEFT + (log - low) / (high - low) * (WIDTH - LEFT - RIGHT);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>Requests a second of each server</title>\n<style>{STYLE}\n</style>\n\
         <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
        WIDTH - 1.0,
        height - 1.0
    );
    text(&mut svg, "heading", 20.0, 28.0, "start", &format!("Requests a second, {}", case()));
    text(&mut svg, "scale", 20.0, 45.0, "start", "Each acknowledged write is on disk. The scale is logarithmic.");
    if groups.is_empty() {
        text(&mut svg, "group", 20.0, 70.0, "start", "Nothing has been measured.");
    }
    let mut decade = low;
    while decade <= high {
        let (at, bottom) = (x(decade), height - 24.0);
        _ = writeln!(svg, "<line class=\"line\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/>");
        text(&mut svg, "scale", at, height - 9.0, "middle", &number(10_f64.powf(decade), 0));
        decade += 1.0;
    }
    let mut y = TOP;
    for group in &groups {
        text(&mut svg, "group", LEFT, y + 17.0, "start", &group.title);
        for (n, (server, rate)) in (0_u8..).zip(&group.bars) {
            let top = y + TITLE + f64::from(n) * BAR_STEP;
            // The slowest is seen as well.
            let width = (x(rate.log10()) - LEFT).max(2.0);
            let class = if *server == Subject::Parlor.name() { "parlor" } else { "peer" };
            _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>"
            );
            text(&mut svg, "name", LEFT - 8.0, top + 13.5, "end", server);
            text(&mut svg, "value", LEFT + width + 6.0, top + 13.5, "start", &number(*rate, 0));
        }
        y += group_height(group);
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "a handful of bars")]
fn group_height(group: &Group) -> f64 {
    TITLE + group.bars.len() as f64 * BAR_STEP + GROUP_GAP
}

/// What was measured of creating and sending.
fn groups(results: &Results) -> Vec<Group> {
    let mut groups = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        for work in [Work::Create, Work::Send] {
            let bars: Vec<_> = [Subject::Parlor, Subject::Axum, Subject::FastApi]
                .into_iter()
                .filter_map(|subject| {
                    let key = Key::new(store.name(), work.name(), &case(), subject.name());
                    let load = results.load(&Suite::Compare.name(), &key)?;
                    Some((subject.name(), load.median(|round| round.rate)))
                })
                .collect();
            if !bars.is_empty() {
                groups.push(Group { title: format!("{} on {}", work.name(), store.name()), bars });
            }
        }
    }
    groups
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, anchor: &str, words: &str) {
    let words = escaped(words);
    _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

/// Words between two tags.
fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Round, SuiteResults};

    #[test]
    fn every_server_has_a_bar_with_its_figure() {
        let mut suite = SuiteResults::default();
        for (subject, rate) in [(Subject::Parlor, 24_310.4), (Subject::Axum, 1_000.0)] {
            let round = Round {
                answers: 1,
                rate,
                p50_us: 1.0,
                p99_us: 1.0,
                server_cpu_us: 1.0,
                load_cpu_us: 1.0,
                resident_bytes: 1,
            };
            suite.add(&Key::new("SQLite", "create_chat", &case(), subject.name()), round);
        }
        let mut results = Results::default();
        results.suites.insert(Suite::Compare.name(), suite);
        let svg = draw(&results);
        assert_eq!(svg.matches("class=\"parlor\"").count(), 1);
        assert_eq!(svg.matches("class=\"peer\"").count(), 1);
        for words in [">24,310<", ">1,000<", ">axum + sqlx<", ">create_chat on SQLite<"] {
            assert!(svg.contains(words), "{words} is not in {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let svg = draw(&Results::default());
        assert!(svg.contains("Nothing has been measured."));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn words_are_no_tags() {
        assert_eq!(escaped("a < b & c > d"), "a &lt; b &amp; c &gt; d");
    }
}
