//! Converts the schema objects of OpenAPI 3.0, which poem-openapi writes, to JSON Schema.

use serde_json::{Map, Value, json};

/// Formats of OpenAPI that JSON Schema does not define.
const WIDTHS: [&str; 2] = ["int32", "int64"];

/// The kinds of JSON Schema that the documents contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Draft 7, of AsyncAPI 3.0. Formats of OpenAPI are left out: the bounds beside them say more.
    Draft7,
    /// Draft 2020-12 with the formats of OpenAPI, of OpenAPI 3.1.
    OpenApi31,
}

/// Converts a schema to draft 7.
pub(crate) fn json_schema(openapi: &Value) -> Value {
    Dialect::Draft7.convert(openapi)
}

impl Dialect {
    /// Converts a schema.
    pub(crate) fn convert(self, openapi: &Value) -> Value {
        let Some(members) = openapi.as_object() else { return openapi.clone() };
        if let Some(reference) = lone_reference(members) {
            return reference.clone();
        }
        let is_integer = members.get("type").is_some_and(|kind| kind == "integer");
        let mut schema = Map::new();
        for (keyword, value) in members {
            let value = match keyword.as_str() {
                "nullable" | "exclusiveMinimum" | "exclusiveMaximum" => continue,
                "format" if self == Self::Draft7 && WIDTHS.iter().any(|width| value == width) => continue,
                "example" => {
                    schema.insert("examples".to_owned(), json!([value]));
                    continue;
                }
                "minimum" | "maximum" if is_integer => whole(value),
                "items" | "additionalProperties" | "not" => self.convert(value),
                "properties" => self.each(value),
                "allOf" | "anyOf" | "oneOf" => value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|part| says_more(part))
                    .map(|part| self.convert(part))
                    .collect(),
                _ => value.clone(),
            };
            schema.insert(keyword.clone(), value);
        }
        for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
            // In OpenAPI 3.0 a word about the bound, in JSON Schema the bound itself.
            if members.get(exclusive) == Some(&true.into())
                && let Some(value) = schema.remove(bound)
            {
                schema.insert(exclusive.to_owned(), value);
            }
        }
        if members.get("nullable") == Some(&true.into()) { or_null(schema) } else { schema.into() }
    }

    /// Converts every schema of a map.
    fn each(self, schemas: &Value) -> Value {
        let members = schemas.as_object().into_iter().flatten();
        Value::Object(members.map(|(name, schema)| (name.clone(), self.convert(schema))).collect())
    }
}

/// The reference of a schema that says nothing else but a description, for which a reference has no room.
fn lone_reference(members: &Map<String, Value>) -> Option<&Value> {
    if members.keys().any(|keyword| keyword != "allOf" && keyword != "description") {
        return None;
    }
    let mut parts = members.get("allOf")?.as_array()?.iter().filter(|part| says_more(part));
    let reference = parts.next().filter(|part| part.get("$ref").is_some())?;
    parts.next().is_none().then_some(reference)
}

/// Beside a reference poem-openapi says a member's description twice, the second time as a schema.
fn says_more(part: &Value) -> bool {
    part.as_object().is_none_or(|part| part.keys().any(|keyword| keyword != "description"))
}

fn or_null(mut schema: Map<String, Value>) -> Value {
    // What is referred to does not allow null, whatever is beside the reference.
    if let Some(reference) = schema.get("allOf").and_then(|parts| parts.as_array()?.first()).cloned()
        && schema.keys().all(|keyword| ["allOf", "type", "description"].contains(&keyword.as_str()))
    {
        schema.retain(|keyword, _| keyword == "description");
        schema.insert("anyOf".to_owned(), json!([reference, { "type": "null" }]));
        return schema.into();
    }
    let Some(kind) = schema.get_mut("type") else {
        // A schema without a type that only allows null allows anything.
        return if schema.is_empty() { json!({}) } else { json!({ "anyOf": [schema, { "type": "null" }] }) };
    };
    *kind = json!([kind, "null"]);
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut)
        && !words.contains(&Value::Null)
    {
        words.push(Value::Null);
    }
    schema.into()
}

/// poem-openapi keeps the bounds of integers as floating-point numbers.
fn whole(bound: &Value) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "no bound is beyond what a double keeps exact")]
    let whole = |float: f64| Value::from(float as i64);
    bound.as_f64().filter(|float| float.fract() == 0.0).map_or_else(|| bound.clone(), whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_a_type_of_its_own() {
        assert_eq!(
            json_schema(&json!({ "type": "string", "nullable": true, "maxLength": 3 })),
            json!({ "type": ["string", "null"], "maxLength": 3 })
        );
        for words in [json!(["a", "b"]), json!(["a", "b", null])] {
            assert_eq!(
                json_schema(&json!({ "type": "string", "enum": words, "nullable": true })),
                json!({ "type": ["string", "null"], "enum": ["a", "b", null] })
            );
        }
        assert_eq!(
            json_schema(&json!({ "allOf": [{ "$ref": "#/a" }], "nullable": true, "description": "d" })),
            json!({ "description": "d", "anyOf": [{ "$ref": "#/a" }, { "type": "null" }] })
        );
    }

    #[test]
    fn the_formats_of_openapi_are_kept_where_they_are_known() {
        let schema = json!({ "type": "integer", "format": "int64", "nullable": true });
        assert_eq!(Dialect::OpenApi31.convert(&schema), json!({ "type": ["integer", "null"], "format": "int64" }));
        assert_eq!(json_schema(&schema), json!({ "type": ["integer", "null"] }));
        assert_eq!(json_schema(&json!({ "nullable": true })), json!({}));
    }

    #[test]
    fn bounds_are_numbers() {
        assert_eq!(
            json_schema(&json!({ "type": "integer", "format": "int64", "minimum": 0.0, "maximum": 9e15 })),
            json!({ "type": "integer", "minimum": 0, "maximum": 9_000_000_000_000_000_i64 })
        );
        assert_eq!(
            json_schema(&json!({
                "type": "number", "minimum": 0.5, "exclusiveMinimum": true, "maximum": 2.0, "exclusiveMaximum": false,
            })),
            json!({ "type": "number", "exclusiveMinimum": 0.5, "maximum": 2.0 })
        );
    }

    #[test]
    fn every_part_of_a_schema_is_turned() {
        let (before, after) = (json!({ "type": "boolean", "nullable": true }), json!({ "type": ["boolean", "null"] }));
        for (before, after) in [
            (json!({ "items": before }), json!({ "items": after })),
            (json!({ "additionalProperties": before }), json!({ "additionalProperties": after })),
            (json!({ "properties": { "nullable": before } }), json!({ "properties": { "nullable": after } })),
            (json!({ "oneOf": [before] }), json!({ "oneOf": [after] })),
            (json!({ "allOf": [before, { "description": "d" }] }), json!({ "allOf": [after] })),
            (
                json!({ "allOf": [{ "$ref": "#/a" }, { "description": "d" }], "description": "d" }),
                json!({ "$ref": "#/a" }),
            ),
            (json!({ "example": before }), json!({ "examples": [before] })),
        ] {
            assert_eq!(json_schema(&before), after);
        }
        assert_eq!(json_schema(&json!({ "additionalProperties": false })), json!({ "additionalProperties": false }));
    }
}
