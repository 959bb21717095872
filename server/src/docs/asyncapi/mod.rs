//! The AsyncAPI document: the kinds of frames that there are, the parameters of the handshake and the ways in which it and
//! a connection end, each as the code has it.

mod messages;
mod reference;

use std::time::Duration;

use serde_json::{Map, Value, json};

use self::{
    messages::{messages, operations, schemas},
    reference::{CHANNEL, described, reference},
};
use super::openapi::{answers::without_patterns_in_components, named::name_schemas};
use crate::{
    auth,
    http::{
        operation::Operation as _,
        query::{FromQuery as _, Parameter},
    },
    realtime::{
        RealtimeLimits,
        connect::{API_KEY, ConnectByTicket, ConnectChat, ConnectQuery, HEADERS, PATH, TICKET},
    },
    wire::protocol::{Close, ErrorCode, event, frame},
};

/// The document.
pub(crate) fn document() -> Value {
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Parlor",
            "version": env!("CARGO_PKG_VERSION"),
            "description": description(),
            "contact": { "name": env!("CARGO_PKG_AUTHORS") },
            "license": { "name": env!("CARGO_PKG_LICENSE"), "url": "https://spdx.org/licenses/" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "plain": server("ws", "Where you run it; by default on this machine."),
            "tls": server("wss", "Behind a proxy that has a certificate."),
        },
        "channels": { CHANNEL: channel() },
        "operations": operations(),
        "components": {
            "messages": messages(),
            "schemas": schemas(),
            "securitySchemes": security_schemes(),
        },
    });
    name_schemas(&mut document);
    // All of them describe events; those of frames have none, since they take text in all scripts.
    without_patterns_in_components(&mut document);
    document
}

fn description() -> String {
    let text = format!(
        "Live messaging in Parlor's chats. Making them, and everything else, is in `openapi.json`.\n\n\
         A connection is one user's, to one chat. The client sends text frames, each a JSON object of at most {} KiB. The \
         server sends events, each a text frame with one JSON object: `event_type`, `timestamp` and the members of its \
         type. Events and members may be added; ignore what you do not know.\n\n\
         Stored messages leave the server in the order of `seq`, without gaps: `message_created`, `message_received` and \
         `message_stream_ended` alike. Connect again with `after_seq`, the last `seq` that was seen, and what was missed \
         comes first.\n\n\
         When the server ends a connection, the code says why. Of a code that is not listed, 4000–4007 mean that \
         connecting again does not help, and all others that it does.\n\n\
         | code | why | connect again |\n|---|---|---|\n",
        RealtimeLimits::default().message_bytes / 1024
    );
    let rows = Close::ALL.iter().map(|close| {
        let reconnect = if close.reconnect() { "yes" } else { "no" };
        format!("| {} | {} | {reconnect} |\n", close.code(), close.reason())
    });
    text + &rows.collect::<String>()
}

fn server(protocol: &str, description: &str) -> Value {
    let security: Vec<Value> =
        security_schemes().keys().map(|name| reference(&["components", "securitySchemes", name])).collect();
    json!({
        "host": "{host}",
        "protocol": protocol,
        "description": description,
        "variables": { "host": { "default": "localhost:8000", "description": "Host and port." } },
        "security": security,
    })
}

fn security_schemes() -> Map<String, Value> {
    let scheme = |name: &str, place: &str, parameter: &str, description: &str| {
        let scheme = json!({ "type": "httpApiKey", "name": parameter, "in": place, "description": description });
        (name.to_owned(), scheme)
    };
    Map::from_iter([
        scheme("key_in_header", "header", auth::HEADER, "The tenant's API key. It determines the tenant."),
        scheme("key_in_query", "query", API_KEY.name, "The same. What is in a URL may end up in the log of a proxy."),
        scheme("ticket", "query", TICKET.name, "Made by `create_ticket`, for browsers: good once, and soon."),
    ])
}

fn channel() -> Value {
    let kinds = frame::KINDS.iter().chain(event::KINDS);
    let messages: Map<String, Value> =
        kinds.map(|kind| (kind.word.to_owned(), reference(&["components", "messages", kind.word]))).collect();
    json!({
        "address": PATH,
        "title": "Chat",
        "summary": "One user's connection to one chat.",
        "description": "Who connects, and to which chat, is in the query or in headers; or a ticket is there in place of \
            all of it. The chat must exist and be the tenant's. The user need not be its owner, and is created if unknown. \
            What is wrong is answered before the switch of protocols by a problem, as `openapi.json` describes them.",
        "messages": messages,
        "bindings": { "ws": { "method": "GET", "query": query(), "headers": headers(), "bindingVersion": "0.1.0" } },
        "x-refusals": ConnectChat::codes().iter().map(|code| json!({
            "status": code.status().as_u16(), "code": code.as_str(), "description": code.description(),
        })).collect::<Vec<_>>(),
        "x-close-codes": Close::ALL.iter().map(|close| json!({
            "code": close.code(), "reason": close.reason(), "reconnect": close.reconnect(),
        })).collect::<Vec<_>>(),
        "x-error-codes": ErrorCode::ALL.iter().map(|code| json!({
            "code": code.as_str(), "message": code.sentence(), "retryable": code.is_retryable(),
        })).collect::<Vec<_>>(),
        "x-limits": limits(&RealtimeLimits::default()),
    })
}

/// What a client should know, unless whoever embeds the server has set it otherwise.
fn limits(limits: &RealtimeLimits) -> Value {
    json!({
        "message_bytes": limits.message_bytes,
        "skipped_bytes": limits.skipped_bytes,
        "messages_in_flight": limits.in_flight,
        "other_frames_at_once": limits.burst,
        "other_frame_again_ms": milliseconds(limits.refill),
        "waiting_bytes": limits.outbox_bytes,
        "ping_seconds": limits.ping.as_secs(),
        "idle_seconds": limits.idle.as_secs(),
        "write_seconds": limits.write.as_secs(),
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// All parameters, of which a ticket excludes whatever it stands for.
fn query() -> Value {
    let by_ticket = ConnectByTicket::PARAMETERS;
    let replaced = ConnectQuery::PARAMETERS.iter().filter(|one| by_ticket.iter().all(|other| other.name != one.name));
    let replaced: Vec<Value> = replaced.map(|parameter| json!({ "required": [parameter.name] })).collect();
    let mut schema = object(ConnectQuery::PARAMETERS.iter().chain([&TICKET]));
    schema["dependencies"] = json!({ TICKET.name: { "not": { "anyOf": replaced } } });
    schema["additionalProperties"] = false.into();
    schema
}

fn headers() -> Value {
    object(HEADERS)
}

fn object<'a>(parameters: impl IntoIterator<Item = &'a Parameter>) -> Value {
    let properties: Map<String, Value> = parameters
        .into_iter()
        .map(|parameter| {
            let schema = described(&(parameter.schema)(), parameter.description);
            (parameter.name.to_owned(), schema)
        })
        .collect();
    json!({ "type": "object", "properties": properties })
}
