//! From the schema objects of OpenAPI 3.0, which poem-openapi writes, to JSON Schema draft-07, which AsyncAPI 3.0 has.

use serde_json::{Map, Value, json};

/// Formats that say less than the bounds beside them, and that JSON Schema does not know.
const WIDTHS: [&str; 2] = ["int32", "int64"];

/// The same schema in JSON Schema.
pub(super) fn json_schema(openapi: &Value) -> Value {
    let Some(members) = openapi.as_object() else { return openapi.clone() };
    let is_integer = members.get("type").is_some_and(|kind| kind == "integer");
    let mut schema = Map::new();
    for (keyword, value) in members {
        let value = match keyword.as_str() {
            "nullable" | "exclusiveMinimum" | "exclusiveMaximum" => continue,
            "format" if WIDTHS.iter().any(|width| value == width) => continue,
            "example" => {
                schema.insert("examples".to_owned(), json!([value]));
                continue;
            }
            "minimum" | "maximum" if is_integer => whole(value),
            "items" | "additionalProperties" | "not" => json_schema(value),
            "properties" => each(value),
            "allOf" | "anyOf" | "oneOf" => {
                value.as_array().into_iter().flatten().filter(|part| says_more(part)).map(json_schema).collect()
            }
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

/// Beside a reference poem-openapi says a member's description twice, the second time as a schema.
fn says_more(part: &Value) -> bool {
    part.as_object().is_none_or(|part| part.keys().any(|keyword| keyword != "description"))
}

/// The same for every schema of a map.
fn each(schemas: &Value) -> Value {
    let members = schemas.as_object().into_iter().flatten();
    Value::Object(members.map(|(name, schema)| (name.clone(), json_schema(schema))).collect())
}

fn or_null(mut schema: Map<String, Value>) -> Value {
    let Some(kind) = schema.get_mut("type") else {
        return json!({ "anyOf": [schema, { "type": "null" }] });
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
            json!({ "anyOf": [{ "allOf": [{ "$ref": "#/a" }], "description": "d" }, { "type": "null" }] })
        );
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
            (json!({ "example": before }), json!({ "examples": [before] })),
        ] {
            assert_eq!(json_schema(&before), after);
        }
        assert_eq!(json_schema(&json!({ "additionalProperties": false })), json!({ "additionalProperties": false }));
    }
}
