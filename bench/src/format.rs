//! Figures and tables as text.

use std::fmt::Write as _;

use crate::results::Unit;

/// A table whose first `words` columns are words, and the others figures.
pub(crate) fn table(names: &[&str], words: usize, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines: Vec<Vec<String>> = vec![names.iter().map(|name| (*name).to_owned()).collect()];
    lines.extend(rows);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            _ = if column < words { write!(text, "| {cell:<width$} ") } else { write!(text, "| {cell:>width$} ") };
        }
        text.push_str("|\n");
        if n == 0 {
            for (column, width) in widths.iter().enumerate() {
                _ = write!(text, "|{}{}", "-".repeat(width + 1), if column < words { '-' } else { ':' });
            }
            text.push_str("|\n");
        }
    }
    text
}

/// A figure with its unit, in as many digits as it has a meaning.
pub(crate) fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes if value >= 1e6 => format!("{} MB", number(value / 1e6, 1)),
        Unit::Bytes => format!("{} B", number(value, 0)),
        Unit::Micros if value >= 1_000.0 => format!("{} ms", number(value / 1e3, if value < 1e5 { 2 } else { 0 })),
        Unit::Micros => format!("{} µs", number(value, usize::from(value < 100.0))),
        Unit::Seconds => format!("{} s", number(value, 0)),
        Unit::PerSecond => format!("{}/s", number(value, 0)),
        Unit::Count => number(value, 0),
        Unit::Times => format!("{} ×", number(value, if value < 10.0 { 2 } else { 1 })),
    }
}

/// A number with a comma between each three digits.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or_else(|| grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}
