//! Leaves patterns out of answers.
//!
//! A client that holds an answer to a pattern fails where its engine reads the pattern in another way, and where a later
//! version of the server sends more; and it gains nothing, since the server keeps its own rules.

use std::collections::BTreeSet;

use serde_json::Value;

const COMPONENTS: &str = "#/components/schemas/";

/// Removes `pattern` from each schema of a response, those of components included.
pub(super) fn without_patterns(document: &mut Value) {
    let mut names = BTreeSet::new();
    let paths = document["paths"].as_object().into_iter().flatten();
    for (_, operation) in paths.filter_map(|(_, path)| path.as_object()).flatten() {
        gather(document, &operation["responses"], &mut names);
    }
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, operation) in paths.filter_map(|(_, path)| path.as_object_mut()).flatten() {
        remove_patterns(&mut operation["responses"]);
    }
    for name in names {
        remove_patterns(&mut document["components"]["schemas"][&name]);
    }
}

/// Adds the names of the components that `value` refers to, itself or through others.
fn gather(document: &Value, value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(name) =
                members.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(COMPONENTS))
                && names.insert(name.to_owned())
            {
                gather(document, &document["components"]["schemas"][name], names);
            }
            members.values().for_each(|member| gather(document, member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| gather(document, item, names)),
        _ => {}
    }
}

/// Removes `pattern` from all schemas in `value`; a member of that name, which is an object, stays.
pub(crate) fn remove_patterns(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("pattern").is_some_and(Value::is_string) {
                members.remove("pattern");
            }
            members.values_mut().for_each(remove_patterns);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_patterns),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_stay_in_requests_alone() {
        let text = json!({ "type": "string", "pattern": "^a$" });
        let reference = |name: &str| json!({ "schema": { "$ref": format!("{COMPONENTS}{name}") } });
        let mut document = json!({
            "paths": { "/": { "post": {
                "parameters": [{ "name": "a", "schema": text }],
                "requestBody": { "content": { "application/json": reference("Request") } },
                "responses": { "200": {
                    "headers": { "A": { "schema": text } },
                    "content": { "application/json": reference("Answer") },
                } },
            } } },
            "components": { "schemas": {
                "Request": { "properties": { "a": text } },
                "Answer": { "properties": { "a": text, "inner": { "$ref": format!("{COMPONENTS}Inner") } } },
                "Inner": { "properties": { "pattern": { "type": "string", "pattern": "^b$" } } },
            } },
        });
        without_patterns(&mut document);
        assert_eq!(document.to_string().matches("\"pattern\":\"").count(), 2, "{document:#}");
        assert_eq!(document["paths"]["/"]["post"]["parameters"][0]["schema"], text);
        assert_eq!(document["components"]["schemas"]["Request"]["properties"]["a"], text);
        assert_eq!(document["components"]["schemas"]["Inner"]["properties"]["pattern"], json!({ "type": "string" }));
    }
}
