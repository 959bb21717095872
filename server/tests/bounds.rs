//! The documents bound whatever they describe, and the server keeps the bounds. Both walk the documents, so that nothing new
//! is forgotten.

mod probe;

use parlor_server::{
    chat::{Idempotency, Metadata},
    config::Limits,
};
use serde_json::Value;

use self::probe::Probe;
use crate::{
    document::committed,
    support::{TestDatabase, TestServer, asyncapi},
};

/// What the documents cannot bound: the end of its place, and why.
const UNBOUNDED: [(&str, &str); 2] = [
    ("/properties/metadata/additionalProperties", "the application's own; bounded as a whole, in bytes and levels"),
    ("/FieldError/properties/pointer", "may be empty, and generators stumble over a `minLength` of 0"),
];

const BOUNDS: [&str; 5] = ["minLength", "maxLength", "minimum", "maximum", "maxItems"];

#[test]
fn whatever_the_documents_describe_is_bounded() {
    let found: Vec<String> = [committed(), asyncapi().clone()].iter().flat_map(unbounded).collect();
    let forgotten = found.iter().filter(|place| !UNBOUNDED.iter().any(|(end, _)| place.ends_with(end)));
    assert_eq!(forgotten.collect::<Vec<_>>(), Vec::<&String>::new(), "lack bounds");
    for (end, _) in UNBOUNDED {
        assert!(found.iter().any(|place| place.ends_with(end)), "{end} is bounded by now: no exception");
    }
}

/// The walk would be worth nothing if it overlooked something.
#[test]
fn a_bound_that_is_taken_away_is_missed() {
    for document in [committed(), asyncapi().clone()] {
        let before = unbounded(&document);
        let mut all = Vec::new();
        each_member(&document, "", &mut |place, name, value| {
            if BOUNDS.contains(&name) && value.is_number() {
                all.push((place.to_owned(), name.to_owned()));
            }
        });
        assert!(!all.is_empty());
        for (place, name) in all.into_iter().filter(|(place, _)| !before.contains(place)) {
            let mut document = document.clone();
            document.pointer_mut(&place).unwrap().as_object_mut().unwrap().remove(&name);
            assert_eq!(unbounded(&document).len(), before.len() + 1, "{name} of {place} is not missed");
        }
    }
}

#[test]
fn bounds_that_are_told_in_words_are_those_of_the_code() {
    let kib = |bytes: usize| i64::try_from(bytes / 1024).unwrap();
    let mut untold = vec![
        (kib(Metadata::MAX_BYTES), "KiB"),
        (kib(Limits::default().http.body_bytes), "KiB"),
        (kib(Limits::default().http.message_body_bytes), "KiB"),
        (i64::try_from(Metadata::MAX_DEPTH).unwrap(), "levels"),
        (Idempotency::RETENTION.num_hours(), "hours"),
    ];
    let known = untold.clone();
    each_member(&committed(), "", &mut |place, name, value| {
        let (true, Some(text)) = (name == "description", value.as_str()) else { return };
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.windows(2) {
            let unit = pair[1].trim_end_matches(|end: char| !end.is_alphanumeric());
            if let (true, Ok(number)) = (["KiB", "levels", "hours", "characters"].contains(&unit), pair[0].parse()) {
                assert!(known.contains(&(number, unit)), "{number} {unit} in the description of {place}");
                untold.retain(|told| *told != (number, unit));
            }
        }
    });
    assert_eq!(untold, [], "no description tells");
}

#[tokio::test]
async fn every_operation_takes_what_is_within_its_bounds_and_names_what_is_not() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let document = with_shared_values_written_out(&committed());
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            Probe::start(&server, &document, path, method, operation).await.run().await;
            operations += 1;
        }
    }
    assert!(operations > 0);
    server.stop().await;
}

/// The document with each reference to a string's schema replaced by that schema.
fn with_shared_values_written_out(document: &Value) -> Value {
    fn write_out(value: &mut Value, components: &Value) {
        let component = value["$ref"].as_str().and_then(|reference| components.get(reference.rsplit('/').next()?));
        if let Some(component) = component.filter(|component| component["type"] == "string") {
            *value = component.clone();
        } else if let Some(part) = value["allOf"][0]["$ref"].as_str() {
            *value = components[part.rsplit('/').next().unwrap()].clone();
        }
        match value {
            Value::Object(members) => members.values_mut().for_each(|member| write_out(member, components)),
            Value::Array(items) => items.iter_mut().for_each(|item| write_out(item, components)),
            _ => {}
        }
    }
    let mut written_out = document.clone();
    write_out(&mut written_out, &document["components"]["schemas"]);
    written_out
}

/// The places of a document that its schemas do not bound.
fn unbounded(document: &Value) -> Vec<String> {
    let mut places = Vec::new();
    each_member(document, "", &mut |place, name, value| {
        // The parameters of a handshake are one schema; elsewhere headers are a map of what has schemas.
        if name == "schema" || place.ends_with("/bindings/ws") && ["query", "headers"].contains(&name) {
            check(value, &format!("{place}/{name}"), &mut places);
        } else if name == "schemas" {
            for (name, schema) in value.as_object().unwrap() {
                check(schema, &format!("{place}/schemas/{name}"), &mut places);
            }
        }
    });
    places
}

/// Notes whatever `schema`, which is at `place`, does not bound.
fn check(schema: &Value, place: &str, places: &mut Vec<String>) {
    let has = |keywords: &[&str]| keywords.iter().all(|keyword| schema.get(keyword).is_some());
    let fixed = ["uuid", "date-time"].map(|format| schema["format"] == format).contains(&true);
    // In JSON Schema null is one of several types; there is nothing about it to be bounded.
    let types = schema["type"].as_array().into_iter().flatten().filter(|kind| *kind != "null");
    let kind = types.chain([&schema["type"]]).find_map(Value::as_str);
    let is_bounded = match kind {
        Some("string") => {
            has(&["enum"]) || has(&["const"]) || has(&["allOf"]) || fixed || has(&["minLength", "maxLength"])
        }
        Some("integer" | "number") => has(&["minimum", "maximum"]),
        Some("array") => has(&["maxItems"]),
        Some("object") => has(&["properties"]) || has(&["additionalProperties"]),
        Some("boolean") => true,
        _ => ["$ref", "allOf", "anyOf", "oneOf"].iter().any(|keyword| has(&[keyword])),
    };
    if !is_bounded {
        places.push(place.to_owned());
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(part) = schema.get(keyword).filter(|part| part.is_object()) {
            check(part, &format!("{place}/{keyword}"), places);
        }
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for (index, part) in schema[keyword].as_array().into_iter().flatten().enumerate() {
            check(part, &format!("{place}/{keyword}/{index}"), places);
        }
    }
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        check(part, &format!("{place}/properties/{name}"), places);
    }
}

/// Visits every member of every object but those of examples: the object's place, the member's name and its value.
fn each_member(value: &Value, place: &str, visit: &mut impl FnMut(&str, &str, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| !["example", "examples"].contains(&name.as_str())) {
                visit(place, name, member);
                each_member(member, &format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")), visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each_member(item, &format!("{place}/{index}"), visit);
            }
        }
        _ => {}
    }
}
