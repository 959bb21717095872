//! The document of the last release, against which changes are held: what breaks its clients needs a version that says
//! so. [`breaking`] has the rule; here it is asked, and shown to see each kind of change.

mod breaking;

use std::fs;

use serde_json::{Value, json};

use self::breaking::breaking_changes;

const RELEASED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/released/openapi.json");
const CURRENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.json");

fn read(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn clients_of_the_released_document_are_not_broken_unawares() {
    if let Some(objection) = objection(&read(RELEASED), &read(CURRENT)) {
        panic!("{objection}");
    }
}

/// Why `current` may not follow `released`.
fn objection(released: &Value, current: &Value) -> Option<String> {
    let breaking = breaking_changes(released, current);
    let (before, now) = (version(released), version(current));
    if breaking.is_empty() || generation(now) > generation(before) {
        return None;
    }
    let next = match generation(before) {
        (0, minor) => format!("0.{}.0", minor + 1),
        (major, _) => format!("{}.0.0", major + 1),
    };
    Some(format!(
        "openapi.json breaks clients of the released {before}:\n\n  {}\n\n\
         Make it compatible; or set `version` in Cargo.toml to {next}, then `cargo run -- openapi`.",
        breaking.join("\n  ")
    ))
}

fn version(document: &Value) -> &str {
    document["info"]["version"].as_str().unwrap()
}

/// What stays the same as long as nothing breaks: the major version, and before 1.0 also the minor one.
fn generation(version: &str) -> (u64, u64) {
    let mut numbers = version.split('.').map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(0)), Some(Ok(minor))) => (0, minor),
        (Some(Ok(major)), Some(Ok(_))) => (major, 0),
        _ => panic!("{version} is no version"),
    }
}

#[test]
fn the_version_says_whether_clients_may_break() {
    let released = read(RELEASED);
    let broken_as = |before: &str, now: &str| {
        let (mut released, mut current) = (released.clone(), released.clone());
        released["info"]["version"] = before.into();
        current["info"]["version"] = now.into();
        remove(operation(&mut current, "get_chat"), "operationId");
        objection(&released, &current)
    };
    for (before, now, next) in [
        ("0.1.0", "0.1.0", "0.2.0"),
        ("0.1.0", "0.1.9", "0.2.0"),
        ("0.9.3", "0.8.0", "0.10.0"),
        ("1.2.3", "1.2.3", "2.0.0"),
        ("1.2.3", "1.3.0", "2.0.0"),
        ("1.2.3", "0.9.0", "2.0.0"),
    ] {
        let objection = broken_as(before, now).unwrap_or_else(|| panic!("{now} may break {before}"));
        for part in [before, "\n  GET /api/v1/chats/{chat_id} has nothing as `operationId`", &format!(" to {next},")] {
            assert!(objection.contains(part), "{part} in {objection}");
        }
    }
    for (before, now) in
        [("0.1.0", "0.2.0"), ("0.9.3", "0.10.0"), ("0.9.3", "1.0.0"), ("1.2.3", "2.0.0"), ("9.0.0", "10.0.0")]
    {
        assert_eq!(broken_as(before, now), None, "{now} after {before}");
    }
}

#[track_caller]
fn breaks(found: &str, edit: fn(&mut Value)) {
    assert_eq!(changes(edit), [found]);
}

#[track_caller]
fn is_compatible(edit: fn(&mut Value)) {
    assert_eq!(changes(edit), [""; 0]);
}

#[track_caller]
fn changes(edit: fn(&mut Value)) -> Vec<String> {
    let released = read(RELEASED);
    let mut changed = released.clone();
    edit(&mut changed);
    assert_ne!(changed, released, "the edit changes nothing");
    breaking_changes(&released, &changed)
}

#[test]
fn operations_stay() {
    breaks("GET /api/v1/chats/{chat_id} is gone", |it| remove(&mut it["paths"]["/api/v1/chats/{chat_id}"], "get"));
    breaks("GET /api/v1/chats/user/{user_id} is gone", |it| remove(&mut it["paths"], "/api/v1/chats/user/{user_id}"));
    breaks("GET /api/v1/chats/{chat_id} has \"read_chat\" as `operationId` instead of \"get_chat\"", |it| {
        operation(it, "get_chat")["operationId"] = "read_chat".into();
    });
    breaks("GET /api/v1/chats/{chat_id} wants other keys", |it| {
        operation(it, "get_chat")["security"] = json!([{ "ApiKey": [], "Signature": [] }]);
    });
    breaks("security scheme ApiKey has \"X-Key\" as `name` instead of \"X-API-Key\"", |it| {
        it["components"]["securitySchemes"]["ApiKey"]["name"] = "X-Key".into();
    });
    is_compatible(|it| {
        let added = json!({ "operationId": "replace_chat", "responses": { "200": { "description": "Done." } } });
        it["paths"]["/api/v1/chats/{chat_id}"]["put"] = added.clone();
        it["paths"]["/api/v1/users"] = json!({ "get": added });
    });
}

#[test]
fn parameters_stay_and_take_what_they_took() {
    breaks("GET /api/v1/chats/: query parameter status is gone", |it| {
        parameters(it, "list_chats").retain(|parameter| parameter["name"] != "status");
    });
    breaks("GET /api/v1/chats/: query parameter status is gone", |it| {
        parameter(it, "list_chats", "status")["name"] = "state".into();
    });
    breaks("POST /api/v1/chats/: header parameter Idempotency-Key is gone", |it| {
        parameter(it, "create_chat", "Idempotency-Key")["in"] = "query".into();
    });
    breaks("GET /api/v1/chats/: query parameter status is now required", |it| {
        parameter(it, "list_chats", "status")["required"] = true.into();
    });
    breaks("GET /api/v1/chats/: query parameter team is new and required", |it| {
        parameters(it, "list_chats").push(json!({ "name": "team", "in": "query", "required": true, "schema": {} }));
    });
    breaks("GET /api/v1/chats/: query parameter metadata has false as `explode` instead of nothing", |it| {
        parameter(it, "list_chats", "metadata")["explode"] = false.into();
    });
    breaks("GET /api/v1/chats/: query parameter limit has 50 as `maximum` instead of 100", |it| {
        parameter(it, "list_chats", "limit")["schema"]["maximum"] = 50.into();
    });
    breaks("GET /api/v1/chats/: query parameter limit has 2 as `minimum` instead of 1", |it| {
        parameter(it, "list_chats", "limit")["schema"]["minimum"] = 2.into();
    });
    breaks("GET /api/v1/chats/: query parameter limit has 20 as `default` instead of 50", |it| {
        parameter(it, "list_chats", "limit")["schema"]["default"] = 20.into();
    });
    breaks("GET /api/v1/chats/: query parameter limit has \"string\" as `type` instead of \"integer\"", |it| {
        parameter(it, "list_chats", "limit")["schema"]["type"] = "string".into();
    });
    breaks(
        "GET /api/v1/chats/: query parameter status has [\"active\"] as `enum` instead of [\"active\",\"closed\"]",
        |it| {
            parameter(it, "list_chats", "status")["schema"]["enum"] = json!(["active"]);
        },
    );
    breaks("GET /api/v1/chats/: query parameter limit has 5 as `multipleOf` instead of nothing", |it| {
        parameter(it, "list_chats", "limit")["schema"]["multipleOf"] = 5.into();
    });
    breaks("GET /api/v1/chats/: query parameter metadata, items has 2 as `minLength` instead of 1", |it| {
        parameter(it, "list_chats", "metadata")["schema"]["items"]["minLength"] = 2.into();
    });
    breaks("GET /api/v1/chats/user/{user_id}: path parameter user_id has 36 as `maxLength` instead of 255", |it| {
        parameter(it, "list_user_chats", "user_id")["schema"]["maxLength"] = 36.into();
    });
    is_compatible(|it| {
        parameters(it, "list_chats").push(json!({ "name": "team", "in": "query", "required": false, "schema": {} }));
        parameters(it, "get_chat").push(json!({ "name": "team", "in": "query", "schema": {} }));
        let limit = &mut parameter(it, "list_chats", "limit")["schema"];
        (limit["maximum"], limit["minimum"]) = (500.into(), 0.into());
        remove(&mut parameter(it, "list_chats", "cursor")["schema"], "maxLength");
        parameter(it, "list_chats", "status")["schema"]["enum"] = json!(["archived", "closed", "active"]);
        parameter(it, "list_chats", "status")["schema"]["description"] = "Says it better.".into();
        parameter(it, "list_user_chats", "offset")["schema"]["default"] = 0.into();
    });
}

#[test]
fn requests_may_be_what_they_were() {
    breaks("CreateChatRequest in requests: title is now required", |it| {
        schema(it, "CreateChatRequest")["required"] = json!(["user_id", "title"]);
    });
    breaks("CreateChatRequest in requests: team is now required", |it| {
        schema(it, "CreateChatRequest")["properties"]["team"] = json!({ "type": "string" });
        schema(it, "CreateChatRequest")["required"] = json!(["user_id", "team"]);
    });
    breaks("CreateChatRequest in requests: title is gone", |it| {
        remove(&mut schema(it, "CreateChatRequest")["properties"], "title");
    });
    breaks("CreateChatRequest in requests: title has 100 as `maxLength` instead of 255", |it| {
        schema(it, "CreateChatRequest")["properties"]["title"]["maxLength"] = 100.into();
    });
    breaks("CreateChatRequest in requests: title has nothing as `nullable` instead of true", |it| {
        remove(&mut schema(it, "CreateChatRequest")["properties"]["title"], "nullable");
    });
    breaks("SendMessageRequest in requests: content has \"^a\" as `pattern` instead of \"^[^\\\\x00]+$\"", |it| {
        schema(it, "SendMessageRequest")["properties"]["content"]["pattern"] = "^a".into();
    });
    breaks(
        "UpdateChatRequest in requests: status has [\"active\",null] as `enum` instead of [\"active\",\"closed\",null]",
        |it| {
            schema(it, "UpdateChatRequest")["properties"]["status"]["enum"] = json!(["active", null]);
        },
    );
    breaks("CreateChatRequest in requests: metadata, other members may no longer be there", |it| {
        schema(it, "CreateChatRequest")["properties"]["metadata"]["additionalProperties"] = false.into();
    });
    breaks("CreateChatRequest in requests: title has [{\"minLength\":3}] as `allOf` instead of nothing", |it| {
        schema(it, "CreateChatRequest")["properties"]["title"]["allOf"] = json!([{ "minLength": 3 }]);
    });
    breaks("POST /api/v1/chats/: the body as application/json is gone", |it| {
        let content = &mut operation(it, "create_chat")["requestBody"]["content"];
        content["application/xml"] = content["application/json"].take();
        remove(content, "application/json");
    });
    breaks("DELETE /api/v1/chats/{chat_id}: the body is new and required", |it| {
        operation(it, "delete_chat")["requestBody"] = json!({ "required": true, "content": {} });
    });
    breaks("POST /api/v1/chats/: the body is gone", |it| remove(operation(it, "create_chat"), "requestBody"));
    is_compatible(|it| {
        let request = schema(it, "CreateChatRequest");
        request["properties"]["team"] = json!({ "type": "string" });
        request["properties"]["title"]["maxLength"] = 1000.into();
        request["properties"]["user_id"]["nullable"] = true.into();
        remove(&mut request["properties"]["title"], "pattern");
        remove(request, "required");
        request["additionalProperties"] = true.into();
        schema(it, "UpdateChatRequest")["properties"]["status"]["enum"] = json!(["active", "closed", "archived", null]);
        operation(it, "delete_chat")["requestBody"] = json!({ "content": {} });
        operation(it, "update_chat")["requestBody"]["required"] = false.into();
    });
}

#[test]
fn answers_keep_what_they_promised() {
    breaks("GET /api/v1/chats/{chat_id}: answer 404 is gone", |it| {
        remove(&mut operation(it, "get_chat")["responses"], "404");
    });
    breaks("POST /api/v1/chats/: answer 201: header Location is gone", |it| {
        remove(&mut operation(it, "create_chat")["responses"]["201"]["headers"], "Location");
    });
    breaks("POST /api/v1/chats/: answer 201: header Location has \"integer\" as `type` instead of \"string\"", |it| {
        operation(it, "create_chat")["responses"]["201"]["headers"]["Location"]["schema"]["type"] = "integer".into();
    });
    breaks("GET /api/v1/chats/{chat_id}: answer 200 as application/json is gone", |it| {
        remove(&mut operation(it, "get_chat")["responses"]["200"]["content"], "application/json");
    });
    breaks("Chat in answers: title is gone", |it| {
        remove(&mut schema(it, "Chat")["properties"], "title");
        schema(it, "Chat")["required"].as_array_mut().unwrap().retain(|name| name != "title");
    });
    breaks("Chat in answers: title is no longer always there", |it| {
        schema(it, "Chat")["required"].as_array_mut().unwrap().retain(|name| name != "title");
    });
    breaks("Chat in answers: title has true as `nullable` instead of nothing", |it| {
        schema(it, "Chat")["properties"]["title"]["nullable"] = true.into();
    });
    breaks("Chat in answers: title has 1000 as `maxLength` instead of 255", |it| {
        schema(it, "Chat")["properties"]["title"]["maxLength"] = 1000.into();
    });
    breaks("Chat in answers: id has nothing as `format` instead of \"uuid\"", |it| {
        remove(&mut schema(it, "Chat")["properties"]["id"], "format");
    });
    breaks(
        "Message in answers: sender_role has [\"user\",\"assistant\",\"bot\"] as `enum` instead of [\"user\",\"assistant\"]",
        |it| {
            schema(it, "Message")["properties"]["sender_role"]["enum"] = json!(["user", "assistant", "bot"]);
        },
    );
    breaks("ChatConfig in answers: metadata has \"array\" as `type` instead of \"object\"", |it| {
        schema(it, "ChatConfig")["properties"]["metadata"]["type"] = "array".into();
    });
    is_compatible(|it| {
        operation(it, "get_chat")["responses"]["418"] = json!({ "description": "Not coffee." });
        operation(it, "get_chat")["responses"]["200"]["headers"]["ETag"] = json!({ "schema": { "type": "string" } });
        let chat = schema(it, "Chat");
        chat["properties"]["team"] = json!({ "type": "string" });
        chat["required"].as_array_mut().unwrap().push("team".into());
        chat["properties"]["title"]["maxLength"] = 100.into();
        remove(&mut chat["properties"]["last_message_at"], "nullable");
        schema(it, "ChatConfig")["properties"]["metadata"]["additionalProperties"] = false.into();
        schema(it, "ChatDetails")["properties"]["status"]["enum"] = json!(["active"]);
        schema(it, "Problem")["required"].as_array_mut().unwrap().push("errors".into());
    });
}

#[test]
fn components_keep_their_names() {
    breaks("POST /api/v1/chats/: answer 201 as application/json is no longer called Chat", |it| {
        it["components"]["schemas"]["Conversation"] = schema(it, "Chat").take();
        let content = &mut operation(it, "create_chat")["responses"]["201"]["content"]["application/json"];
        content["schema"]["$ref"] = "#/components/schemas/Conversation".into();
    });
    breaks("ChatList in answers: chats, items is no longer called ChatSummary", |it| {
        schema(it, "ChatList")["properties"]["chats"]["items"] = json!({ "type": "object" });
    });
}

#[test]
fn what_the_released_document_does_not_have_is_compared_too() {
    let document = |most: u32, certain: bool| {
        let tree = json!({ "$ref": "#/components/schemas/Tree" });
        let operation = json!({
            "requestBody": { "required": !certain, "content": {} },
            "responses": { "200": {
                "headers": { "ETag": { "required": certain, "schema": { "type": "string" } } },
                "content": { "application/json": { "schema": { "description": "All.", "allOf": [tree] } } },
            } },
        });
        json!({
            "paths": { "/": { "put": operation } },
            "components": { "schemas": { "Tree": { "type": "array", "maxItems": most, "items": tree } } },
        })
    };
    assert_eq!(
        breaking_changes(&document(2, true), &document(3, false)),
        [
            "PUT /: the body is now required",
            "Tree in answers has 3 as `maxItems` instead of 2",
            "PUT /: answer 200: header ETag is no longer always there",
        ]
    );
    assert_eq!(breaking_changes(&document(3, false), &document(2, true)), [""; 0]);
}

fn operation<'a>(document: &'a mut Value, id: &str) -> &'a mut Value {
    let paths = document["paths"].as_object_mut().unwrap().values_mut();
    let mut operations = paths.flat_map(|path| path.as_object_mut().unwrap().values_mut());
    operations.find(|operation| operation["operationId"] == id).unwrap()
}

fn parameters<'a>(document: &'a mut Value, id: &str) -> &'a mut Vec<Value> {
    operation(document, id)["parameters"].as_array_mut().unwrap()
}

fn parameter<'a>(document: &'a mut Value, id: &str, name: &str) -> &'a mut Value {
    parameters(document, id).iter_mut().find(|parameter| parameter["name"] == name).unwrap()
}

fn schema<'a>(document: &'a mut Value, name: &str) -> &'a mut Value {
    &mut document["components"]["schemas"][name]
}

fn remove(value: &mut Value, member: &str) {
    value.as_object_mut().unwrap().remove(member).unwrap();
}
