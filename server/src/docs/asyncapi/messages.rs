//! The messages, their schemas and which of them answers which: from the kinds of frames.

use poem_openapi::registry::{MetaSchema, Registry};
use serde_json::{Map, Value, json};

use super::reference::{CHANNEL, described, reference};
use crate::{
    docs::openapi::json_schema::json_schema,
    http::schema::FromParameter as _,
    wire::{
        protocol::{
            Kind,
            event::{self, Failed},
            frame::{self, ClientMessage},
            frame_spec::{Event as _, Frame as _},
        },
        values::Timestamp,
    },
};

/// `components.messages`.
pub(super) fn messages() -> Map<String, Value> {
    let registry = registry();
    let message = |kind: &Kind| {
        let name = (kind.schema)();
        let (summary, description) = paragraphs(&registry.schemas[&name]);
        let examples: Vec<Value> = (kind.examples)().into_iter().map(|frame| json!({ "payload": frame })).collect();
        let message = json!({
            "name": kind.word,
            "title": title(kind.word),
            "summary": summary,
            "description": description,
            "payload": reference(&["components", "schemas", &name]),
            "examples": examples,
        });
        (kind.word.to_owned(), message)
    };
    frame::KINDS.iter().chain(event::KINDS).map(message).collect()
}

/// `components.schemas`.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas: Map<String, Value> = Map::new();
    for (name, schema) in registry().schemas {
        let mut openapi = serde_json::to_value(&schema).expect("a schema is JSON");
        if schema.description.is_some() {
            openapi["description"] = paragraphs(&schema).0.into();
        }
        schemas.insert(name, json_schema(&openapi));
    }
    for kind in event::KINDS {
        let event_type = json!({ "type": "string", "const": kind.word, "description": "Which event this is." });
        let timestamp = described(&Timestamp::schema(), "When it happened, UTC.");
        prepend(&mut schemas[&(kind.schema)()], [("event_type", event_type, true), ("timestamp", timestamp, true)]);
    }
    for kind in frame::KINDS {
        let schema = &mut schemas[&(kind.schema)()];
        // Without a word a frame is a message. Null counts as none; generators do not read a constant that may be null.
        let (word, is_required) = if kind.word == ClientMessage::TYPE {
            let description = "Which frame this is; without it, this one.";
            (json!({ "type": "string", "const": kind.word, "description": description }), false)
        } else {
            (json!({ "type": "string", "const": kind.word, "description": "Which frame this is." }), true)
        };
        prepend(schema, [("type", word, is_required)]);
        schema["additionalProperties"] = false.into();
    }
    schemas
}

/// `operations`, as the server sees them: what it receives, and what it sends.
pub(super) fn operations() -> Map<String, Value> {
    let channel = || reference(&["channels", CHANNEL]);
    let message = |word: &str| reference(&["channels", CHANNEL, "messages", word]);
    let received = frame::KINDS.iter().map(|kind| {
        let answers: Vec<Value> = kind.answer.into_iter().chain([Failed::TYPE]).map(message).collect();
        let operation = json!({
            "action": "receive",
            "channel": channel(),
            "summary": paragraphs(&registry().schemas[&(kind.schema)()]).0,
            "messages": [message(kind.word)],
            "reply": { "channel": channel(), "messages": answers },
        });
        (format!("receive_{}", kind.word), operation)
    });
    let sent = json!({
        "action": "send",
        "channel": channel(),
        "summary": "Tells what happens in the chat.",
        "messages": event::KINDS.iter().map(|kind| message(kind.word)).collect::<Vec<_>>(),
    });
    received.chain([("send_events".to_owned(), sent)]).collect()
}

/// What poem-openapi knows of all kinds.
fn registry() -> Registry {
    let mut registry = Registry::new();
    for kind in frame::KINDS.iter().chain(event::KINDS) {
        (kind.register)(&mut registry);
    }
    registry
}

/// The first paragraph of a type's comment, and the rest.
fn paragraphs(schema: &MetaSchema) -> (String, String) {
    let text = schema.description.unwrap_or_default();
    let (first, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    (first.replace('\n', " "), rest.replace('\n', " "))
}

/// Puts properties before those that a schema has: each with its schema, and whether it is always there.
fn prepend<const N: usize>(schema: &mut Value, head: [(&str, Value, bool); N]) {
    let take =
        |schema: &mut Value, keyword: &str| schema.as_object_mut().and_then(|schema| schema.shift_remove(keyword));
    let required = head.iter().filter(|(_, _, is_required)| *is_required).map(|(name, _, _)| Value::from(*name));
    let mut required: Vec<Value> = required.collect();
    let mut properties: Map<String, Value> =
        head.into_iter().map(|(name, schema, _)| (name.to_owned(), schema)).collect();
    if let Some(Value::Array(names)) = take(schema, "required") {
        required.extend(names);
    }
    if let Some(Value::Object(members)) = take(schema, "properties") {
        properties.extend(members);
    }
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema["properties"] = properties.into();
}

/// `message_created` as a heading.
fn title(word: &str) -> String {
    let words = word.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect::<Vec<_>>().join(" ")
}
