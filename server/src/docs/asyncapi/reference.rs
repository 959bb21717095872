//! Parts of the document that others refer to.

use poem_openapi::registry::MetaSchema;
use serde_json::{Value, json};

use crate::docs::openapi::json_schema::json_schema;

/// The channel's name.
pub(super) const CHANNEL: &str = "chat";

/// A schema in JSON Schema, with a description.
pub(super) fn described(schema: &MetaSchema, description: &'static str) -> Value {
    let schema = MetaSchema { description: Some(description), ..schema.clone() };
    json_schema(&serde_json::to_value(schema).expect("a schema is JSON"))
}

/// A reference to what is at `path` of the document.
pub(super) fn reference(path: &[&str]) -> Value {
    json!({ "$ref": format!("#/{}", path.join("/")) })
}
