//! Leaves patterns out of answers.
//!
//! A client that holds an answer to a pattern fails where its engine reads the pattern in another way, and where a later
//! version of the server sends more; and it gains nothing, since the server keeps its own rules.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    each_operation,
    walk::{each_schema, each_schema_of, inside},
};

const COMPONENTS: &str = "#/components/schemas/";

/// Removes `pattern` from each schema of a response, those of components included.
pub(super) fn without_patterns(document: &mut Value) {
    let mut names = BTreeSet::new();
    each_operation(document, |_, operation| {
        each_schema_of(&mut operation["responses"], &mut drop_pattern);
        gather(&operation["responses"], &mut names);
    });
    let mut left: Vec<String> = names.iter().cloned().collect();
    while let Some(name) = left.pop() {
        let component = &mut document["components"]["schemas"][&name];
        inside(None, component, &mut drop_pattern);
        let mut inner = BTreeSet::new();
        gather(component, &mut inner);
        left.extend(inner.into_iter().filter(|name| names.insert(name.clone())));
    }
}

/// Removes `pattern` from each component of a document.
pub(crate) fn without_patterns_in_components(document: &mut Value) {
    each_schema(document, &mut drop_pattern);
}

fn drop_pattern(_: Option<&str>, schema: &mut Value) {
    schema.as_object_mut().map(|members| members.remove("pattern"));
}

/// Adds the names of the components that `value` refers to.
fn gather(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            names.extend(reference.and_then(|path| path.strip_prefix(COMPONENTS)).map(str::to_owned));
            members.values().for_each(|member| gather(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, names)),
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
