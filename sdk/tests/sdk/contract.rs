//! The SDK's models and operations against the server's document, in both directions.
//!
//! The document is `OpenAPI` 3.0 and comes from the server's handlers; the SDK's schemas are 3.1 and come from its own
//! types. Both are brought into one form before they are compared, and only what describes (descriptions, examples) is
//! left out: a keyword that this file does not know stays, and makes a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use parlor_sdk::{Chat, ChatConfig, Code, FieldError, NewChat, OPERATIONS, Operation, Problem};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.json");

/// Every model of the SDK.
#[derive(OpenApi)]
#[openapi(components(schemas(Chat, ChatConfig, NewChat, Problem, FieldError)))]
struct Models;

/// The models that are sent. Of the others, bounds are the server's promise about itself and no business of a reader.
const SENT: [&str; 1] = ["CreateChatRequest"];

#[test]
fn the_sdk_agrees_with_the_servers_document() {
    let differences = differences(&document());
    assert!(differences.is_empty(), "the SDK and openapi.json disagree:\n{}", differences.join("\n"));
}

#[test]
fn every_answer_that_the_document_shows_is_understood() {
    let document = document();
    let mut statuses = BTreeSet::new();
    for (status, example) in answers_of(&document) {
        if status == "201" {
            let chat: Chat = serde_json::from_value(example.clone()).unwrap();
            assert_eq!(serde_json::to_value(chat).unwrap(), *example, "it is written as it was read");
        } else {
            let problem: Problem = serde_json::from_value(example.clone()).unwrap();
            assert_eq!(problem.status.to_string(), status);
            assert!(!matches!(problem.code, Code::Other(_)), "the SDK has no name for `{}`", problem.code);
        }
        statuses.insert(status.to_owned());
    }
    let expected = OPERATIONS.iter().flat_map(Operation::statuses).map(ToString::to_string).collect();
    assert_eq!(statuses, expected, "the document shows an answer for every status");
}

#[test]
fn the_request_that_the_document_shows_is_what_the_sdk_sends() {
    let chat = NewChat::new("user123")
        .title("Support Session")
        .metadata(json!({"department": "technical", "priority": "high"}));
    let shown = document()["components"]["schemas"]["CreateChatRequest"]["example"].clone();
    assert_eq!(serde_json::to_value(chat).unwrap(), shown);
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
        let parameters = described["parameters"].as_array().into_iter().flatten();
        let key = parameters.filter(|parameter| parameter["name"] == "Idempotency-Key").collect::<Vec<_>>();
        assert_eq!(key.len(), usize::from(operation.method() == "POST"), "{}", operation.id());
        for key in key {
            assert_eq!(key["in"], "header");
            assert_eq!((&key["schema"]["minLength"], &key["schema"]["maxLength"]), (&json!(1), &json!(255)));
            assert_eq!(key["schema"]["pattern"], r"^[\x21-\x7e]+$");
        }
    }
}

type Change = fn(&mut Value);

/// The comparison would be worth nothing if it overlooked something.
#[test]
fn a_change_of_the_document_is_noticed() {
    let chat = "/components/schemas/Chat";
    let changes: [(&str, Change); 14] = [
        ("/paths/~1api~1v1~1chats~1", |path| path["post"]["operationId"] = json!("make_chat")),
        ("/paths/~1api~1v1~1chats~1", |path| path["get"] = json!({"operationId": "list_chats", "responses": {}})),
        ("/paths/~1api~1v1~1chats~1/post/responses", |responses| responses["418"] = json!({})),
        ("/paths/~1api~1v1~1chats~1/post/responses", |responses| drop(map(responses).remove("201"))),
        ("/paths", |paths| drop(map(paths).remove("/api/v1/chats/"))),
        ("/components/schemas", |schemas| schemas["Message"] = json!({"type": "object"})),
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

fn document() -> Value {
    let text = fs::read_to_string(DOCUMENT).expect("`cargo run -- openapi` writes openapi.json");
    serde_json::from_str(&text).expect("openapi.json is JSON")
}

fn map(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("an object")
}

/// One line for each thing that one side has and the other does not.
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

/// Name and statuses by method and path.
type Operations = BTreeMap<String, (String, BTreeSet<u16>)>;

fn operations_of_sdk() -> Operations {
    OPERATIONS
        .iter()
        .map(|operation| {
            let statuses = operation.statuses().iter().copied().collect();
            (format!("{} {}", operation.method(), operation.path()), (operation.id().to_owned(), statuses))
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
            operations.insert(format!("{} {path}", method.to_uppercase()), (id, statuses));
        }
    }
    operations
}

/// One line for each property and each fact about a model, so that a difference is easy to find.
fn models_of(document: &Value) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        let mut schema = normal(schema, SENT.contains(&name.as_str()));
        for (property, value) in map(&mut schema).remove("properties").iter().filter_map(Value::as_object).flatten() {
            facts.insert(format!("{name}.{property}"), value.clone());
        }
        facts.insert(name.clone(), schema);
    }
    facts
}

/// What describes and does not bind.
const ANNOTATIONS: [&str; 8] =
    ["description", "title", "example", "examples", "default", "deprecated", "readOnly", "writeOnly"];
const BOUNDS: [&str; 8] = ["minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "pattern", "enum"];

/// A schema of either version in one form: nullability as `nullable`, references by name, what is required in order.
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
    if let Some(Value::String(reference)) = schema.get_mut("$ref") {
        *reference = reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if schema.get("type") == Some(&json!("integer")) {
        // The width of an integer is a matter of the language.
        schema.retain(|keyword, _| !["format", "minimum", "maximum"].contains(&keyword.as_str()));
    }
    if !is_sent {
        schema.retain(|keyword, _| !BOUNDS.contains(&keyword.as_str()));
    }
    normalise_object(&mut schema, is_sent);
    Value::Object(schema)
}

/// 3.1 writes `oneOf: [null, reference]`; 3.0 writes `allOf: [reference, facts]` to add facts to the reference.
fn merge_alternatives(schema: &mut Map<String, Value>, is_sent: bool) {
    for keyword in ["oneOf", "anyOf", "allOf"] {
        let Some(Value::Array(members)) = schema.remove(keyword) else { continue };
        let (nulls, members): (Vec<_>, Vec<_>) = members.iter().partition(|member| member["type"] == "null");
        let mut members: Vec<_> = members.into_iter().map(|member| normal(member, is_sent)).collect();
        members.retain(|member| *member != json!({}));
        assert!(keyword == "allOf" || members.len() == 1, "`{keyword}` of several schemas is not used: {members:?}");
        for member in &mut members {
            schema.append(map(member));
        }
        if !nulls.is_empty() {
            schema.insert("nullable".to_owned(), json!(true));
        }
    }
}

fn normalise_object(schema: &mut Map<String, Value>, is_sent: bool) {
    // JSON has no other names than strings.
    schema.remove("propertyNames");
    let additional = schema.remove("additionalProperties");
    if schema.get("type") == Some(&json!("object")) && !schema.contains_key("properties") {
        let is_free = matches!(&additional, None | Some(Value::Bool(true)))
            || additional.as_ref().and_then(Value::as_object).is_some_and(Map::is_empty);
        assert!(is_free, "a map of something is not used: {additional:?}");
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

/// The examples of every answer, with its status: those of the answer itself, or else that of its schema.
fn answers_of(document: &Value) -> Vec<(&str, &Value)> {
    let items = document["paths"].as_object().into_iter().flat_map(Map::values);
    let operations = items.filter_map(Value::as_object).flat_map(Map::values);
    let responses = operations.filter_map(|operation| operation["responses"].as_object()).flatten();
    responses
        .flat_map(|(status, response)| {
            let media = response["content"].as_object().into_iter().flat_map(Map::values);
            media.flat_map(|media| examples_of(document, media)).map(move |example| (status.as_str(), example))
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
