//! Date-times as the clients of many languages write them.

use chrono::{DateTime, FixedOffset};

/// Bytes of a date, as in `2024-01-15`.
const DATE: usize = 10;

/// Reads a moment in a form of RFC 3339 or its family; `None`: it is in none, or has no offset from UTC.
///
/// Beside RFC 3339 itself these are what standard libraries and generated clients make of a moment:
/// - a space for the `T`, and before the offset;
/// - no seconds where they are 0 (Java), and a comma before their fraction (ISO 8601);
/// - an offset without a colon or without minutes, `UTC` or `GMT` for it or behind it (Ruby, Rust, Go);
/// - the name of the time zone in brackets behind an offset (RFC 9557, Java);
/// - a space for the `+` of an offset, which is what a query that is not escaped makes of it.
pub(super) fn parse(text: &str) -> Option<DateTime<FixedOffset>> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment);
    }
    let (date, rest) = without_zone_name(text)?.split_at_checked(DATE)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let is_of_time = |character: char| character.is_ascii_digit() || matches!(character, ':' | '.' | ',');
    let (time, offset) = rest.split_at(rest.find(|character| !is_of_time(character))?);
    let seconds = if time.len() == "10:30".len() { ":00" } else { "" };
    let canonical = format!("{date}T{}{seconds}{}", time.replace(',', "."), canonical_offset(offset)?);
    DateTime::parse_from_rfc3339(&canonical).ok()
}

/// Takes away a time zone in brackets. One that is marked as critical is not understood (RFC 9557, section 3.3).
fn without_zone_name(text: &str) -> Option<&str> {
    let Some(text) = text.strip_suffix(']') else { return Some(text) };
    let (text, name) = text.split_once('[')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-.".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_name)).then_some(text)
}

/// An offset from UTC as RFC 3339 has it.
fn canonical_offset(offset: &str) -> Option<String> {
    let is_utc = |name: &str| ["Z", "UTC", "GMT"].iter().any(|utc| utc.eq_ignore_ascii_case(name));
    let trimmed = offset.trim_start_matches(' ');
    if is_utc(trimmed) {
        return Some("Z".to_owned());
    }
    let number = match trimmed.split_once(' ') {
        Some((number, name)) if is_utc(name) => number,
        Some(_) => return None,
        None => trimmed,
    };
    let (sign, digits) = match number.strip_prefix(['+', '-']) {
        Some(digits) => (&number[..1], digits),
        None if offset.starts_with(' ') => ("+", number),
        None => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = match minutes.strip_prefix(':').unwrap_or(minutes) {
        "" if minutes.is_empty() => "00",
        minutes => minutes,
    };
    Some(format!("{sign}{hours}:{minutes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_the_family_is_one_moment() {
        let moment = DateTime::parse_from_rfc3339("2020-11-25T01:21:35.123456Z").unwrap();
        for form in [
            "2020-11-25T01:21:35.123456Z",
            "2020-11-25t01:21:35.123456z",
            "2020-11-25 01:21:35.123456+00:00",
            "2020-11-25T01:21:35.123456+0000",
            "2020-11-25T01:21:35.123456-00",
            "2020-11-25 01:21:35.123456 +00:00",
            "2020-11-25 01:21:35.123456 +0000",
            "2020-11-25 01:21:35.123456 UTC",
            "2020-11-25 01:21:35.123456UTC",
            "2020-11-25 01:21:35.123456 +0000 UTC",
            "2020-11-25T01:21:35,123456 GMT",
            "2020-11-25T01:21:35.123456 00:00",
            "2020-11-25T02:21:35.123456 0100",
            "2020-11-25T02:21:35.123456+01:00[Europe/Paris]",
            "2020-11-25T01:21:35.123456Z[UTC]",
            "2020-11-24T17:51:35.123456-0730",
            "2020-11-25T01:21:35.1234560000Z",
        ] {
            assert_eq!(parse(form), Some(moment), "{form}");
        }
        let full_minute = DateTime::parse_from_rfc3339("2020-11-25T01:21:00Z").unwrap();
        for form in ["2020-11-25T01:21Z", "2020-11-25T01:21+00:00", "2020-11-25 01:21:00 UTC"] {
            assert_eq!(parse(form), Some(full_minute), "{form}");
        }
    }

    #[test]
    fn what_is_no_moment_or_has_no_offset_is_none() {
        for text in [
            "",
            "yesterday",
            "2024-01-15",
            "1705314600",
            "2020-11-25T01:21:35",
            "2020-11-25T01:21:35 ",
            "2020-11-25T01:21:35 CET",
            "2020-11-25T01:21:35+00:00 CET",
            "2020-11-25T01:21:35+1",
            "2020-11-25T01:21:35+1:00",
            "2020-11-25T01:21:35+01:",
            "2020-11-25T01:21:35+01:000",
            "2020-11-25T01:21:35+24:00",
            "2020-11-25T01Z",
            "2020-11-25T24:21:35Z",
            "2020-13-25T01:21:35Z",
            "2020-11-25T01:21:35.Z",
            "2020-11-25T01:21:35Z[]",
            "2020-11-25T01:21:35Z[!UTC]",
            "2020-11-25T01:21:35[UTC]",
            "2020-11-25T01:21:35é",
            "日本日本T01:21:35Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
