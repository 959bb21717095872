//! Compares the SDK's models and operations with the server's document, in both directions.
//!
//! The document is `OpenAPI` 3.0 and is generated from the server's handlers; the SDK's schemas are 3.1 and are
//! generated from its types. Both are normalised before they are compared. Only annotations (descriptions, examples)
//! are ignored: a keyword that this file does not know is kept, and is reported as a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use parlor_sdk::contract::{CODES, ChatList, ChatPage, CreateTicketRequest, MessageList};
use parlor_sdk::{
    Chat, ChatConfig, ChatDeleted, ChatDetails, ChatPatch, ChatSummary, Code, FieldError, Message, NewChat, NewMessage,
    OPERATIONS, Operation, Page, Problem, Role, Ticket,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.json");

/// All models of the SDK.
#[derive(OpenApi)]
#[openapi(components(schemas(
    Chat,
    ChatConfig,
    ChatDeleted,
    ChatDetails,
    ChatList,
    ChatPage,
    ChatPatch,
    ChatSummary,
    CreateTicketRequest,
    FieldError,
    Message,
    MessageList,
    NewChat,
    NewMessage,
    Problem,
    Ticket,
)))]
struct Models;

/// The models that are sent. Bounds of the other models are promises of the server that a client need not check.
const SENT: [&str; 4] = ["CreateChatRequest", "CreateTicketRequest", "SendMessageRequest", "UpdateChatRequest"];

#[test]
fn models_and_operations_match_the_document() {
    let differences = differences(&document());
    assert!(differences.is_empty(), "the SDK and openapi.json disagree:\n{}", differences.join("\n"));
}

#[test]
fn every_example_response_is_decoded() {
    let document = document();
    for operation in OPERATIONS {
        let mut statuses = BTreeSet::new();
        for (status, example) in answers_of(&document, operation) {
            if status < 300 {
                assert_round_trip(operation, example);
            } else {
                let problem: Problem = serde_json::from_value(example.clone()).unwrap();
                assert_eq!(problem.status, status);
                assert!(!matches!(problem.code, Code::Other(_)), "the SDK has no name for `{}`", problem.code);
            }
            statuses.insert(status);
        }
        let expected = operation.statuses().iter().copied().collect();
        assert_eq!(statuses, expected, "the document has an example of {} for every status", operation.id());
    }
}

/// `openapi.json` and `asyncapi.json` do not enumerate the codes. Together, their examples and the tables of two pages,
/// which the server's tests compare with the server, contain all of them.
#[test]
fn every_code_of_the_server_has_a_name_in_the_sdk() {
    let mut documented = BTreeSet::new();
    for name in ["openapi.json", "asyncapi.json"] {
        codes_in_examples(&serde_json::from_str(&repository_file(name)).unwrap(), &mut documented);
    }
    documented.extend(codes_in_tables(&repository_file("docs/API-DESIGN.md")));
    documented.extend(codes_in_tables(&repository_file("docs/PROTOCOL.md")));
    // Reserved by the contract; no version of the server has sent them so far.
    documented.extend(["gap", "idempotency_in_progress", "rate_limited"].map(str::to_owned));
    assert_eq!(documented, CODES.iter().map(ToString::to_string).collect());
}

fn repository_file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

fn codes_in_examples(value: &Value, codes: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            codes.extend(members.get("code").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| codes_in_examples(member, codes));
        }
        Value::Array(items) => items.iter().for_each(|item| codes_in_examples(item, codes)),
        _ => {}
    }
}

/// Returns the codes in the rows of error statuses, and in those of the table of `error` events.
fn codes_in_tables(page: &str) -> Vec<String> {
    let mut codes = Vec::new();
    let mut is_table_of_codes = false;
    for line in page.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        is_table_of_codes = line.starts_with('|') && (is_table_of_codes || cells[0] == "`code`");
        let is_error = |status: &str| status.parse().is_ok_and(|status: u16| (400..600).contains(&status));
        let cell = match cells[..] {
            [statuses, meaning, ..] if statuses.split(", ").all(is_error) => meaning,
            [code, ..] if is_table_of_codes => code,
            _ => continue,
        };
        let quoted = cell.split('`').skip(1).step_by(2).filter(|word| !["code", "request_id"].contains(word));
        let is_code = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        codes.extend(quoted.filter(is_code).map(str::to_owned));
    }
    codes
}

fn assert_round_trip(operation: &Operation, example: &Value) {
    let written = match operation.id() {
        "create_chat" => round_trip::<Chat>(example),
        "get_chat" | "update_chat" => round_trip::<ChatDetails>(example),
        "delete_chat" => round_trip::<ChatDeleted>(example),
        "send_message" => round_trip::<Message>(example),
        "create_ticket" => round_trip::<Ticket>(example),
        "list_chats" => round_trip_items::<ChatPage, ChatDetails>(example),
        "list_user_chats" => round_trip_items::<ChatList, ChatSummary>(example),
        "list_messages" => round_trip_items::<MessageList, Message>(example),
        other => panic!("no model for {other}"),
    };
    let shown = example.get("chats").or(example.get("messages")).unwrap_or(example);
    assert_eq!(written, *shown, "{}", operation.id());
}

fn round_trip<T: Serialize + DeserializeOwned>(example: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(example.clone()).unwrap()).unwrap()
}

fn round_trip_items<W: DeserializeOwned + Into<Page<T>>, T: Serialize>(example: &Value) -> Value {
    let page: Page<T> = serde_json::from_value::<W>(example.clone()).unwrap().into();
    assert!(!page.items.is_empty(), "an example needs items");
    assert_eq!(json!(page.has_more), example["has_more"]);
    assert_eq!(json!(page.next_cursor), example["next_cursor"]);
    assert_eq!(json!(page.total), example.get("total").cloned().unwrap_or_default());
    serde_json::to_value(page.items).unwrap()
}

#[test]
fn the_example_requests_are_what_the_sdk_sends() {
    let chat = NewChat::new("user123")
        .title("Support Session")
        .metadata(json!({"department": "technical", "priority": "high"}));
    let patch = ChatPatch::new().title("Printer on fire").metadata(json!({"priority": null, "resolution": "answered"}));
    let message = NewMessage::new("My printer is on fire.").role(Role::User);
    for (name, sent) in [
        ("CreateChatRequest", serde_json::to_value(chat)),
        ("UpdateChatRequest", serde_json::to_value(patch)),
        ("SendMessageRequest", serde_json::to_value(message)),
        ("CreateTicketRequest", serde_json::to_value(CreateTicketRequest { user_id: "user123".to_owned() })),
    ] {
        let mut shown = document()["components"]["schemas"][name]["example"].clone();
        // The server treats null and absent alike; the SDK omits members that are not set.
        map(&mut shown).retain(|_, value| !value.is_null());
        assert_eq!(sent.unwrap(), shown, "{name}");
    }
}

/// The SDK retries a `PATCH` because it is a merge patch.
#[test]
fn a_patch_is_a_merge_patch() {
    for operation in OPERATIONS.iter().filter(|operation| operation.method() == "PATCH") {
        let description = document()["paths"][operation.path()]["patch"]["description"].to_string();
        assert!(description.contains("merge\\npatch (RFC 7396)"), "{description}");
    }
}

#[test]
fn key_and_idempotency_key_are_sent_where_the_document_expects_them() {
    let document = document();
    let schemes = &document["components"]["securitySchemes"];
    for operation in OPERATIONS {
        let described = &document["paths"][operation.path()][operation.method().to_lowercase()];
        let scheme = described["security"][0].as_object().and_then(|all| all.keys().next()).expect("a scheme");
        let (kind, place, name) = (&schemes[scheme]["type"], &schemes[scheme]["in"], &schemes[scheme]["name"]);
        assert_eq!((kind, place, name), (&json!("apiKey"), &json!("header"), &json!("X-API-Key")));
        let headers: Vec<_> = parameters_of(described, "header").collect();
        let is_keyed = operation.method() == "POST" && operation.id() != "create_ticket";
        assert_eq!(headers.len(), usize::from(is_keyed), "{}", operation.id());
        for (name, schema) in headers {
            assert_eq!(name, "Idempotency-Key");
            assert_eq!((&schema["minLength"], &schema["maxLength"]), (&json!(1), &json!(255)));
            assert_eq!(schema["pattern"], r"^[\x21-\x7e]+$");
        }
    }
}

/// A chat id is a UUID in the SDK; every other path parameter is arbitrary text.
#[test]
fn path_parameters_match_the_document() {
    let document = document();
    for operation in OPERATIONS {
        let described = &document["paths"][operation.path()][operation.method().to_lowercase()];
        for (name, schema) in parameters_of(described, "path") {
            assert!(operation.path().contains(&format!("{{{name}}}")), "{} {name}", operation.id());
            let format = if name == "chat_id" { json!("uuid") } else { Value::Null };
            assert_eq!((&schema["type"], &schema["format"]), (&json!("string"), &format), "{} {name}", operation.id());
        }
    }
}

type Change = fn(&mut Value);

/// Proves that the comparison can fail.
#[test]
fn a_change_of_the_document_is_noticed() {
    let chat = "/components/schemas/Chat";
    let list_messages = "/paths/~1api~1v1~1chats~1{chat_id}~1messages/get/parameters";
    let changes: [(&str, Change); 19] = [
        ("/paths/~1api~1v1~1chats~1", |path| path["post"]["operationId"] = json!("make_chat")),
        ("/paths/~1api~1v1~1chats~1", |path| path["put"] = json!({"operationId": "put_chats", "responses": {}})),
        (list_messages, |parameters| drop(parameters.as_array_mut().unwrap().pop())),
        (list_messages, |parameters| {
            parameters.as_array_mut().unwrap().push(json!({"name": "before", "in": "query"}));
        }),
        (list_messages, |parameters| parameters[1]["name"] = json!("skip")),
        ("/components/schemas/ChatDetails/properties/status", |status| status["enum"] = json!(["active"])),
        ("/components/schemas/Message/properties/seq", |seq| seq["nullable"] = json!(true)),
        ("/paths/~1api~1v1~1chats~1/post/responses", |responses| responses["418"] = json!({})),
        ("/paths/~1api~1v1~1chats~1/post/responses", |responses| drop(map(responses).remove("201"))),
        ("/paths", |paths| drop(map(paths).remove("/api/v1/chats/"))),
        ("/components/schemas", |schemas| schemas["Mood"] = json!({"type": "object"})),
        ("/components/schemas", |schemas| drop(map(schemas).remove("ChatConfig"))),
        (chat, |chat| drop(map(&mut chat["properties"]).remove("title"))),
        (chat, |chat| chat["properties"]["mood"] = json!({"type": "string"})),
        (chat, |chat| chat["properties"]["title"]["type"] = json!("integer")),
        (chat, |chat| chat["properties"]["title"]["nullable"] = json!(true)),
        (chat, |chat| drop(map(&mut chat["properties"]["id"]).remove("format"))),
        (chat, |chat| chat["required"] = json!(["id"])),
        ("/components/schemas/CreateChatRequest/properties/user_id", |user| user["maxLength"] = json!(64)),
    ];
    for (index, (pointer, change)) in changes.into_iter().enumerate() {
        let mut document = document();
        change(document.pointer_mut(pointer).expect(pointer));
        assert!(!differences(&document).is_empty(), "change {index}, at {pointer}, is overlooked");
    }
}

/// Returns the document with string components, such as `UserId`, inlined where they are referenced: the SDK uses
/// strings and enums of its own.
pub(crate) fn document() -> Value {
    let text = fs::read_to_string(DOCUMENT).expect("`cargo run -- openapi` writes openapi.json");
    let mut document: Value = serde_json::from_str(&text).expect("openapi.json is JSON");
    let schemas = map(&mut document["components"]["schemas"]);
    let strings: Map<String, Value> = schemas.clone().into_iter().filter(|(_, it)| it["type"] == "string").collect();
    schemas.retain(|name, _| !strings.contains_key(name));
    inline_strings(&mut document, &strings);
    document
}

fn inline_strings(value: &mut Value, strings: &Map<String, Value>) {
    let name = value.get("$ref").and_then(|reference| reference.as_str()?.rsplit('/').next());
    if let Some(schema) = name.and_then(|name| strings.get(name)) {
        *value = schema.clone();
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| inline_strings(member, strings)),
        Value::Array(items) => items.iter_mut().for_each(|item| inline_strings(item, strings)),
        _ => {}
    }
}

fn map(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("an object")
}

/// Returns one line for each difference.
fn differences(document: &Value) -> Vec<String> {
    let models = serde_json::to_value(Models::openapi()).unwrap();
    let mut lines = compare("operation", &operations_of_document(document), &operations_of_sdk());
    lines.extend(compare("model", &models_of(document), &models_of(&models)));
    lines
}

fn compare<T: PartialEq + std::fmt::Debug>(
    what: &str,
    document: &BTreeMap<String, T>,
    sdk: &BTreeMap<String, T>,
) -> Vec<String> {
    let names: BTreeSet<_> = document.keys().chain(sdk.keys()).collect();
    let describe = |side: Option<&T>| side.map_or("nothing".to_owned(), |side| format!("{side:?}"));
    names
        .into_iter()
        .filter(|name| document.get(*name) != sdk.get(*name))
        .map(|name| {
            format!(
                "{what} {name}:\n  document {}\n  SDK      {}",
                describe(document.get(name)),
                describe(sdk.get(name))
            )
        })
        .collect()
}

/// Id, query parameters and statuses by method and path.
type Operations = BTreeMap<String, (String, Vec<String>, BTreeSet<u16>)>;

fn operations_of_sdk() -> Operations {
    OPERATIONS
        .iter()
        .map(|operation| {
            let statuses = operation.statuses().iter().copied().collect();
            let query = operation.query().iter().map(ToString::to_string).collect();
            (format!("{} {}", operation.method(), operation.path()), (operation.id().to_owned(), query, statuses))
        })
        .collect()
}

fn operations_of_document(document: &Value) -> Operations {
    let mut operations = Operations::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "put", "post", "delete", "options", "head", "patch", "trace"] {
            let Some(operation) = item.get(method) else { continue };
            let statuses = operation["responses"].as_object().expect("responses").keys();
            let statuses = statuses.map(|status| status.parse().expect("a status")).collect();
            let id = operation["operationId"].as_str().expect("an operationId").to_owned();
            let query = parameters_of(operation, "query").map(|(name, _)| name.to_owned()).collect();
            operations.insert(format!("{} {path}", method.to_uppercase()), (id, query, statuses));
        }
    }
    operations
}

/// Returns the name and schema of the parameters in this place.
pub(crate) fn parameters_of<'a>(operation: &'a Value, place: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .filter(move |parameter| parameter["in"] == place)
        .map(|parameter| (parameter["name"].as_str().expect("a name"), &parameter["schema"]))
}

/// Returns one entry for each property and each fact about a model, so that a difference is easy to locate.
fn models_of(document: &Value) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        let is_sent = SENT.contains(&name.as_str());
        let mut schema = normal(schema, is_sent);
        if is_sent {
            // The server treats null and absent alike.
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            for (property, value) in map(&mut schema["properties"]) {
                if !required.iter().any(|name| name == property) {
                    map(value).remove("nullable");
                }
            }
        }
        for (property, value) in map(&mut schema).remove("properties").iter().filter_map(Value::as_object).flatten() {
            facts.insert(format!("{name}.{property}"), value.clone());
        }
        facts.insert(name.clone(), schema);
    }
    facts
}

/// Keywords that only describe.
const ANNOTATIONS: [&str; 8] =
    ["description", "title", "example", "examples", "default", "deprecated", "readOnly", "writeOnly"];
const BOUNDS: [&str; 7] = ["minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "pattern"];

/// Normalises a schema of either version: nullability as `nullable`, references by name, required members sorted.
fn normal(schema: &Value, is_sent: bool) -> Value {
    let mut schema = schema.as_object().expect("a schema is an object").clone();
    schema.retain(|keyword, _| !ANNOTATIONS.contains(&keyword.as_str()) && !keyword.starts_with("x-"));
    merge_alternatives(&mut schema, is_sent);
    // 3.1 writes `type: [string, null]`.
    if let Some(Value::Array(types)) = schema.get("type").cloned() {
        let kinds: Vec<_> = types.iter().filter(|kind| **kind != "null").cloned().collect();
        let [kind] = <[Value; 1]>::try_from(kinds).expect("one type besides null");
        schema.insert("type".to_owned(), kind);
        if types.len() > 1 {
            schema.insert("nullable".to_owned(), json!(true));
        }
    }
    if schema.get("nullable") == Some(&json!(false)) {
        schema.remove("nullable");
    }
    // 3.0 repeats the null of `nullable` among the enum values.
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::String(reference)) = schema.get_mut("$ref") {
        *reference = reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if schema.get("type") == Some(&json!("integer")) {
        // The width of an integer depends on the language.
        schema.retain(|keyword, _| !["format", "minimum", "maximum"].contains(&keyword.as_str()));
    }
    if !is_sent {
        schema.retain(|keyword, _| !BOUNDS.contains(&keyword.as_str()));
    }
    normalise_object(&mut schema, is_sent);
    Value::Object(schema)
}

/// 3.1 writes `oneOf: [null, reference]`; 3.0 writes `allOf: [reference, keywords]` to add keywords to a reference.
fn merge_alternatives(schema: &mut Map<String, Value>, is_sent: bool) {
    for keyword in ["oneOf", "anyOf", "allOf"] {
        let Some(Value::Array(members)) = schema.remove(keyword) else { continue };
        let (nulls, members): (Vec<_>, Vec<_>) = members.iter().partition(|member| member["type"] == "null");
        let mut members: Vec<_> = members.into_iter().map(|member| normal(member, is_sent)).collect();
        members.retain(|member| *member != json!({}));
        assert!(
            keyword == "allOf" || members.len() == 1,
            "`{keyword}` of several schemas is not supported: {members:?}"
        );
        for member in &mut members {
            schema.append(map(member));
        }
        if !nulls.is_empty() {
            schema.insert("nullable".to_owned(), json!(true));
        }
    }
}

fn normalise_object(schema: &mut Map<String, Value>, is_sent: bool) {
    // All names in JSON are strings.
    schema.remove("propertyNames");
    let additional = schema.remove("additionalProperties");
    if schema.get("type") == Some(&json!("object")) && !schema.contains_key("properties") {
        let is_free = matches!(&additional, None | Some(Value::Bool(true)))
            || additional.as_ref().and_then(Value::as_object).is_some_and(Map::is_empty);
        assert!(is_free, "a typed map is not supported: {additional:?}");
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.sort_by_key(ToString::to_string);
    }
    if let Some(items) = schema.get_mut("items") {
        *items = normal(items, is_sent);
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            *property = normal(property, is_sent);
        }
    }
}

/// Returns the examples of every response with its status: its own, or else that of its schema.
fn answers_of<'a>(document: &'a Value, operation: &Operation) -> Vec<(u16, &'a Value)> {
    let described = &document["paths"][operation.path()][operation.method().to_lowercase()];
    let responses = described["responses"].as_object().into_iter().flatten();
    responses
        .flat_map(|(status, response)| {
            let media = response["content"].as_object().into_iter().flat_map(Map::values);
            media
                .flat_map(|media| examples_of(document, media))
                .map(move |example| (status.parse().expect("a status"), example))
        })
        .collect()
}

fn examples_of<'a>(document: &'a Value, media: &'a Value) -> Vec<&'a Value> {
    let named = media["examples"].as_object().into_iter().flat_map(Map::values);
    let own: Vec<_> = media.get("example").into_iter().chain(named.map(|example| &example["value"])).collect();
    if !own.is_empty() {
        return own;
    }
    let reference = media["schema"]["$ref"].as_str().unwrap_or_default();
    document.pointer(reference.trim_start_matches('#')).and_then(|schema| schema.get("example")).into_iter().collect()
}
