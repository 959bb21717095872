//! The OpenAPI document: what the handlers say, and a few small corrections to how poem-openapi says it.

pub(crate) mod answers;
pub(crate) mod json_schema;
pub(crate) mod named;
mod openapi31;
mod walk;

use poem_openapi::{ContactObject, LicenseObject, OpenApiService, ServerObject};
use serde_json::{Map, Value, json};

use self::walk::each_schema;
use crate::{
    api::{
        chats::{ChatsApi, CreateChat, DeleteChat, GetChat, ListChats, ListUserChats, UpdateChat},
        messages::{ListMessages, MessagesApi, SendMessage},
        tickets::{CreateTicket, TicketsApi},
    },
    http::{
        operation::Operation,
        problem::{CONTENT_TYPE, Code, Problem},
        query::{FromQuery as _, Parameter},
    },
};

const JSON: &str = "application/json";
const DESCRIPTION: &str = "\
A self-hosted, multi-tenant chat backend.

Every operation needs the header `X-API-Key`. The key determines the tenant; what belongs to another tenant is not \
found. A path works with and without the slash at its end. Timestamps are RFC 3339, UTC. Every failure is an \
`application/problem+json` (RFC 9457): decide by its `code`, and quote its `request_id` to the operator.";

/// The handlers, ready to be routed.
pub(crate) fn service() -> OpenApiService<(ChatsApi, MessagesApi, TicketsApi), ()> {
    OpenApiService::new((ChatsApi, MessagesApi, TicketsApi), "Parlor", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .server(
            // Without variables: several generators take `{host}` literally.
            ServerObject::new("http://localhost:8000").description("A server on this machine, by default"),
        )
        .contact(ContactObject::new().name(env!("CARGO_PKG_AUTHORS")))
        .license(LicenseObject::new(env!("CARGO_PKG_LICENSE")).url("https://spdx.org/licenses/"))
}

/// The document.
pub(crate) fn document() -> Value {
    let mut document: Value = serde_json::from_str(&service().spec()).expect("poem-openapi writes JSON");
    each_operation(&mut document, |id, operation| {
        if let Some(described) = operations().iter().find(|described| described.id == id) {
            show_parameters(operation, described.parameters);
            show_problems(operation, described);
        }
    });
    show_links(&mut document);
    close_request_bodies(&mut document);
    show_examples(&mut document);
    each_schema(&mut document, &mut |_, schema| {
        whole_numbers(schema);
        without_empty_bound(schema);
    });
    named::name_schemas(&mut document);
    answers::without_patterns(&mut document);
    document
}

/// The same document in OpenAPI 3.1.
pub(crate) fn document_31() -> Value {
    openapi31::convert(&document())
}

/// The document as it is committed and served.
pub(crate) fn render(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("a JSON value is JSON");
    text.push('\n');
    text
}

/// What the document takes from an [`Operation`].
struct Described {
    id: &'static str,
    codes: Vec<Code>,
    wrong: (&'static str, &'static str),
    parameters: &'static [Parameter],
}

impl Described {
    fn of<O: Operation>() -> Self {
        Self { id: O::ID, codes: O::codes(), wrong: O::WRONG, parameters: O::Query::PARAMETERS }
    }
}

/// All operations. One that is missing here has no examples of its failures; a test notices.
fn operations() -> [Described; 9] {
    [
        Described::of::<CreateChat>(),
        Described::of::<ListChats>(),
        Described::of::<ListUserChats>(),
        Described::of::<GetChat>(),
        Described::of::<UpdateChat>(),
        Described::of::<DeleteChat>(),
        Described::of::<ListMessages>(),
        Described::of::<SendMessage>(),
        Described::of::<CreateTicket>(),
    ]
}

/// Adds an operation's query parameters to those that poem-openapi knows.
fn show_parameters(operation: &mut Value, parameters: &[Parameter]) {
    let shown = parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "required": false,
            "schema": (parameter.schema)(),
        })
    });
    let shown: Vec<Value> = shown.collect();
    if !shown.is_empty()
        && let Some(operation) = operation.as_object_mut()
        && let Some(all) = operation.entry("parameters").or_insert_with(|| json!([])).as_array_mut()
    {
        all.extend(shown);
    }
}

/// Gives each failed response an example for every code that has its status.
fn show_problems(operation: &mut Value, described: &Described) {
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, response) in responses {
        let of_status = described.codes.iter().filter(|code| code.status().as_str() == status);
        let examples: Map<String, Value> = of_status
            .map(|code| {
                (
                    code.as_str().to_owned(),
                    json!({ "summary": code.sentence(), "value": Problem::example(*code, described.wrong) }),
                )
            })
            .collect();
        if !examples.is_empty() {
            response["content"][CONTENT_TYPE]["examples"] = examples.into();
        }
    }
}

/// Tells where a created chat leads: to every operation whose path names it or its user.
fn show_links(document: &mut Value) {
    let place = |parameter: &str| match parameter {
        "chat_id" => Some("$response.body#/id"),
        "user_id" => Some("$response.body#/user_id"),
        _ => None,
    };
    let mut links = Map::new();
    each_operation(document, |id, operation| {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let in_path = parameters.filter(|parameter| parameter["in"] == "path").filter_map(|it| it["name"].as_str());
        let filled: Map<String, Value> =
            in_path.filter_map(|name| Some((name.to_owned(), place(name)?.into()))).collect();
        if !filled.is_empty() {
            links.insert(id.to_owned(), json!({ "operationId": id, "parameters": filled }));
        }
    });
    each_operation(document, |id, operation| {
        if id == CreateChat::ID {
            operation["responses"]["201"]["links"] = links.clone().into();
        }
    });
}

/// A request body takes no members but those it names; poem-openapi has no way to say so.
fn close_request_bodies(document: &mut Value) {
    let mut names = Vec::new();
    each_operation(document, |_, operation| names.extend(schema_name(&operation["requestBody"]["content"][JSON])));
    for name in names {
        let schema = &mut document["components"]["schemas"][name];
        schema["additionalProperties"] = false.into();
        // A member without a value counts as absent, and an example is clearer without it.
        if let Some(example) = schema.get_mut("example").and_then(Value::as_object_mut) {
            example.retain(|_, value| !value.is_null());
        }
    }
}

/// Shows a schema's example where a body has that schema: not every reader looks behind the reference.
fn show_examples(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let show = |content: &mut Value| {
        for media in content.as_object_mut().into_iter().flat_map(|content| content.values_mut()) {
            if let Some(name) = schema_name(media)
                && let Some(example) = schemas[&name].get("example")
            {
                media["example"] = example.clone();
            }
        }
    };
    each_operation(document, |_, operation| {
        if let Some(request) = operation.get_mut("requestBody") {
            show(&mut request["content"]);
        }
        for response in operation["responses"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
            if response["content"].get(JSON).is_some() {
                show(&mut response["content"]);
            }
        }
    });
}

/// The name of the component that a media type's schema refers to.
fn schema_name(media: &Value) -> Option<String> {
    media["schema"]["$ref"].as_str()?.strip_prefix("#/components/schemas/").map(str::to_owned)
}

fn each_operation(document: &mut Value, mut visit: impl FnMut(&str, &mut Value)) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, operation) in paths.flat_map(|(_, path)| path.as_object_mut().into_iter().flatten()) {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        visit(&id, operation);
    }
}

/// Bounds of an integer are integers; poem-openapi keeps them as floating-point numbers.
fn whole_numbers(schema: &mut Value) {
    if schema["type"] != "integer" {
        return;
    }
    for bound in ["minimum", "maximum"] {
        if let Some(number) = schema.get_mut(bound)
            && let Some(float) = number.as_f64().filter(|float| float.fract() == 0.0)
        {
            #[expect(clippy::cast_possible_truncation, reason = "no bound is beyond what a double keeps exact")]
            let whole = float as i64;
            *number = whole.into();
        }
    }
}

/// Removes a `minLength` of 0, which says nothing; some generators make code of it that does not compile.
fn without_empty_bound(schema: &mut Value) {
    if schema["minLength"] == 0
        && let Some(members) = schema.as_object_mut()
    {
        members.remove("minLength");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_of_every_operation_has_an_example() {
        let mut document = document();
        let mut seen = 0;
        each_operation(&mut document, |id, operation| {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let problem = &response["content"][CONTENT_TYPE];
                if status.as_str() >= "400" {
                    assert!(problem["examples"].as_object().is_some_and(|all| !all.is_empty()), "{id} {status}");
                    seen += 1;
                }
            }
        });
        assert!(seen > 0, "no operation has failures");
    }

    #[test]
    fn always_present_members_are_required_even_when_null() {
        let document = document();
        let chat = &document["components"]["schemas"]["Chat"];
        assert_eq!(chat["required"].as_array().unwrap().len(), 8);
        assert_eq!(chat["properties"]["last_message_at"]["nullable"], true);
    }
    #[test]
    fn a_created_chat_leads_to_every_operation_that_names_it() {
        let document = document();
        let paths = document["paths"].as_object().unwrap().iter();
        let named = paths.filter(|(path, _)| path.contains('{')).map(|(_, operations)| operations);
        let named: Vec<_> = named.flat_map(|operations| operations.as_object().unwrap().values()).collect();
        let links = &document["paths"]["/api/v1/chats/"]["post"]["responses"]["201"]["links"];
        for operation in &named {
            let id = operation["operationId"].as_str().unwrap();
            assert_eq!(links[id]["operationId"], id);
        }
        assert_eq!(links.as_object().unwrap().len(), named.len());
    }

    #[test]
    fn every_enumeration_and_every_user_id_is_a_component() {
        let mut document = document();
        let components = document["components"]["schemas"].as_object().unwrap().clone();
        assert_eq!(components["ChatStatus"]["enum"], json!(["active", "closed"]));
        assert_eq!(components["Chat"]["properties"]["user_id"], json!({ "$ref": "#/components/schemas/UserId" }));
        document["components"] = Value::Null;
        let mut check = |name: Option<&str>, schema: &mut Value| {
            // A reference has no room for a default, which differs from list to list.
            assert!(schema.get("enum").is_none() || schema.get("default").is_some(), "{name:?}: {schema}");
            assert!(name != Some("user_id") || schema.get("$ref").is_some(), "{schema}");
        };
        each_schema(&mut document, &mut check);
        let mut outer = json!({ "components": { "schemas": components } });
        for component in outer["components"]["schemas"].as_object_mut().unwrap().values_mut() {
            if component["type"] == "object" {
                let mut properties = json!({ "components": { "schemas": component["properties"] } });
                each_schema(&mut properties, &mut check);
            }
        }
    }

    #[test]
    fn no_schema_has_what_generators_stumble_over() {
        each_schema(&mut document(), &mut |name, schema| {
            assert_ne!(schema["minLength"], 0, "{name:?}");
            let words = schema["enum"].as_array().into_iter().flatten();
            assert!(words.clone().all(|word| word.as_str().is_some_and(|word| !word.contains('"'))), "{schema}");
        });
    }
}
