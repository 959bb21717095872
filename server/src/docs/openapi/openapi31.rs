//! The document in OpenAPI 3.1, for tools that do not read `nullable` and the other keywords that 3.1 took away.

use serde_json::Value;

use super::{json_schema::Dialect, walk::each_outer};

/// Converts the document from 3.0 to 3.1. Nothing is added or lost: both describe the same interface.
pub(super) fn convert(document: &Value) -> Value {
    let mut document = document.clone();
    document["openapi"] = "3.1.0".into();
    if let Some(license) = document["info"]["license"].as_object_mut() {
        // An SPDX expression has a member of its own, which excludes the address.
        license.remove("url");
        let name = license["name"].clone();
        license.insert("identifier".to_owned(), name);
    }
    each_outer(&mut document, &mut |_, schema| *schema = Dialect::OpenApi31.convert(schema));
    document
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_converted_as_a_whole() {
        let schema =
            |schema: Value| json!({ "content": { "application/json": { "schema": schema, "example": null } } });
        let document = |version: &str, license: Value, name: Value, answer: Value| {
            json!({
                "openapi": version,
                "info": { "license": license },
                "components": { "schemas": { "A": { "type": "object", "properties": { "name": name } } } },
                "paths": { "/": { "get": { "responses": { "200": schema(answer) } } } },
            })
        };
        let before = document(
            "3.0.0",
            json!({ "name": "MIT", "url": "https://spdx.org/licenses/" }),
            json!({ "type": "string", "nullable": true, "example": "a" }),
            json!({ "type": "integer", "format": "int32", "minimum": 1 }),
        );
        let after = document(
            "3.1.0",
            json!({ "name": "MIT", "identifier": "MIT" }),
            json!({ "type": ["string", "null"], "examples": ["a"] }),
            json!({ "type": "integer", "format": "int32", "minimum": 1 }),
        );
        assert_eq!(convert(&before), after);
    }

    #[test]
    fn no_keyword_of_openapi_3_0_is_left() {
        let mut document = crate::docs::openapi::document_31();
        crate::docs::openapi::walk::each_schema(&mut document, &mut |name, schema| {
            for keyword in ["nullable", "example"] {
                assert!(schema.get(keyword).is_none(), "{name:?}: {schema}");
            }
        });
    }
}
