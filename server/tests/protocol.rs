//! `docs/PROTOCOL.md` says what `asyncapi.json` and the limits say.

use std::{fs, time::Duration};

use parlor_server::{
    chat::{ClientMessageId, Content},
    config::Limits,
};
use serde_json::Value;

use crate::support::{asyncapi, objections};

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOCOL.md")).unwrap()
}

/// The rows of the first table under a heading, or of the first one there that begins with `head`.
fn table(heading: &str, head: &str) -> Vec<Vec<String>> {
    let page = page();
    let mut lines = page.lines().skip_while(|line| *line != format!("## {heading}"));
    lines.by_ref().find(|line| line.starts_with(head)).unwrap_or_else(|| panic!("{heading} has no table {head}"));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// The members of the channel's extension of this name as a row says them.
fn listed(extension: &str, row: impl Fn(&Value) -> Vec<String>) -> Vec<Vec<String>> {
    let all = asyncapi()["channels"]["chat"][extension].as_array().unwrap();
    assert!(!all.is_empty());
    all.iter().map(row).collect()
}

fn yes_or_no(value: &Value) -> String {
    if value.as_bool().unwrap() { "yes" } else { "no" }.to_owned()
}

#[test]
fn the_close_codes_are_those_of_the_server() {
    let codes = listed("x-close-codes", |close| {
        vec![close["code"].to_string(), close["reason"].as_str().unwrap().to_owned(), yes_or_no(&close["reconnect"])]
    });
    assert_eq!(table("Close codes and reconnecting", "| code"), codes);
}

#[test]
fn the_errors_are_those_of_the_server() {
    let rows: Vec<Vec<String>> = table("Errors", "| `code`").into_iter().map(|row| row[..2].to_vec()).collect();
    let codes = listed("x-error-codes", |error| {
        vec![format!("`{}`", error["code"].as_str().unwrap()), yes_or_no(&error["retryable"])]
    });
    assert_eq!(rows, codes);
}

#[test]
fn every_kind_of_frame_is_there_in_the_order_of_the_document() {
    let mut rows = table("Frames", "| `type`");
    rows.extend(table("Frames", "| `event_type`"));
    let found: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let described: Vec<&String> = asyncapi()["channels"]["chat"]["messages"].as_object().unwrap().keys().collect();
    assert_eq!(found, described);
}

#[test]
fn the_limits_are_those_of_the_server() {
    let Limits { realtime, ticket, .. } = Limits::default();
    let seconds = |duration: Duration| format!("{} s", duration.as_secs());
    let kib = |bytes: u64| format!("{} KiB", bytes / 1024);
    let message = asyncapi()["channels"]["chat"]["x-limits"]["message_bytes"].as_u64().unwrap();
    let said: Vec<String> = table("Limits", "| limit").into_iter().map(|mut row| row.remove(1)).collect();
    assert_eq!(
        said,
        [
            format!("{}, else `error` `payload_too_large`", kib(message)),
            format!("up to {} MiB of it, else 1009", realtime.skipped_bytes / (1024 * 1024)),
            format!("{} MiB, else `error` `unavailable`", realtime.arriving_bytes / (1024 * 1024)),
            format!("complete after {}, or up to a ping later, else 4008", seconds(realtime.message)),
            format!("{}–{} characters", Content::MIN_CHARS, Content::MAX_CHARS),
            format!("{}–{} characters", ClientMessageId::MIN_CHARS, ClientMessageId::MAX_CHARS),
            format!("{}; what follows is read later", realtime.in_flight),
            format!("{} at once, then one every {} ms, else 4009", realtime.burst, realtime.refill.as_millis()),
            format!("{}, else 4008", kib(realtime.outbox_bytes.try_into().unwrap())),
            format!("{}, else 4008", seconds(realtime.write)),
            format!("every {}, or up to a fifth earlier", seconds(realtime.ping)),
            format!("{}, else 4010", seconds(realtime.idle)),
            seconds(ticket),
        ]
    );
}

#[test]
fn the_session_is_as_the_document_describes_it() {
    let page = page();
    let mut objected = Vec::new();
    let mut frames = 0;
    for line in page.lines() {
        let Some((sender, frame)) = line.split_once(' ').filter(|(sender, _)| ["<", ">"].contains(sender)) else {
            continue;
        };
        let frame: Value = serde_json::from_str(frame).unwrap();
        let name = match sender {
            "<" => frame["event_type"].as_str().unwrap(),
            _ => frame["type"].as_str().unwrap_or("message"),
        };
        frames += 1;
        objected.extend(objections(name, &frame));
    }
    // The one frame that the error in it is about.
    assert_eq!(objected, ["/content: \"\" is shorter than 1 character"]);
    assert!(frames > 5);
}
