//! Visits the schema objects of an OpenAPI document, and those among the components of an AsyncAPI document.

use serde_json::Value;

/// Calls `visit` for each schema, with the name of the member or parameter that has it; inner schemas come first.
pub(super) fn each_schema(document: &mut Value, visit: &mut impl FnMut(Option<&str>, &mut Value)) {
    each_outer(document, &mut |name, schema| inside(name, schema, visit));
}

/// Calls `visit` for each schema that is not inside another: components, and those of parameters, headers and media types.
pub(super) fn each_outer(document: &mut Value, visit: &mut impl FnMut(Option<&str>, &mut Value)) {
    if let Some(components) = document["components"]["schemas"].as_object_mut() {
        components.values_mut().for_each(|schema| visit(None, schema));
    }
    if let Some(paths) = document.get_mut("paths") {
        beside(paths, visit);
    }
}

/// Calls `visit` for each schema of a part of a document that is not itself a schema, such as the responses of an operation.
pub(super) fn each_schema_of(part: &mut Value, visit: &mut impl FnMut(Option<&str>, &mut Value)) {
    beside(part, &mut |name, schema| inside(name, schema, visit));
}

/// Visits the schemas of parameters, headers and media types.
fn beside(value: &mut Value, visit: &mut impl FnMut(Option<&str>, &mut Value)) {
    match value {
        Value::Object(members) => {
            let name = members.get("name").and_then(Value::as_str).map(str::to_owned);
            for (keyword, member) in members {
                match keyword.as_str() {
                    "schema" => visit(name.as_deref(), member),
                    // Values, which may look like anything.
                    "example" | "examples" | "links" => {}
                    _ => beside(member, visit),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| beside(item, visit)),
        _ => {}
    }
}

/// Visits a schema and all inside it.
pub(super) fn inside(name: Option<&str>, schema: &mut Value, visit: &mut impl FnMut(Option<&str>, &mut Value)) {
    for (keyword, member) in schema.as_object_mut().into_iter().flatten() {
        match keyword.as_str() {
            "properties" => {
                for (name, property) in member.as_object_mut().into_iter().flatten() {
                    inside(Some(name), property, visit);
                }
            }
            "items" | "additionalProperties" | "not" if member.is_object() => inside(None, member, visit),
            "allOf" | "anyOf" | "oneOf" => {
                member.as_array_mut().into_iter().flatten().for_each(|part| inside(None, part, visit));
            }
            _ => {}
        }
    }
    visit(name, schema);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_found_and_examples_are_not_taken_for_them() {
        let schema = json!({ "type": "object", "example": { "schema": {} }, "properties": {
            "schema": { "type": "array", "items": { "type": "string" } },
            "open": { "additionalProperties": { "nullable": true }, "allOf": [{ "type": "object" }] },
            "closed": { "additionalProperties": false },
        } });
        let mut document = json!({
            "components": { "schemas": { "A": schema } },
            "paths": { "/": { "get": {
                "parameters": [{ "name": "p", "schema": { "type": "string" } }],
                "responses": { "200": {
                    "headers": { "H": { "schema": { "type": "string" } } },
                    "content": { "application/json": { "schema": { "$ref": "#" }, "example": { "schema": {} } } },
                } },
            } } },
        });
        let mut found = Vec::new();
        each_schema(&mut document, &mut |name, schema| {
            let keywords: Vec<_> = schema.as_object().unwrap().keys().cloned().collect();
            found.push(format!("{} {}", name.unwrap_or("-"), keywords.join(",")));
        });
        assert_eq!(
            found,
            [
                "- type",
                "schema type,items",
                "- nullable",
                "- type",
                "open additionalProperties,allOf",
                "closed additionalProperties",
                "- type,example,properties",
                "p type",
                "- type",
                "- $ref",
            ]
        );
    }
}
