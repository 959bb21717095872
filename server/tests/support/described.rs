use std::{collections::HashMap, fs, sync::LazyLock};

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// Where the document about live messaging is committed.
pub(crate) const ASYNCAPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../asyncapi.json");

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&fs::read_to_string(ASYNCAPI).unwrap()).unwrap());

/// By the name of the message.
static VALIDATORS: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
    let components = &DOCUMENT["components"];
    let messages = components["messages"].as_object().unwrap().iter();
    messages.map(|(name, message)| (name.clone(), validator(&message["payload"]))).collect()
});

/// The committed document.
pub(crate) fn asyncapi() -> &'static Value {
    &DOCUMENT
}

/// Of a schema that is part of the document.
pub(crate) fn validator(schema: &Value) -> Validator {
    let whole = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
    jsonschema::options().with_draft(Draft::Draft7).should_validate_formats(true).build(&whole).unwrap()
}

/// What the document has against `frame` as a message of this name.
pub(crate) fn objections(message: &str, frame: &Value) -> Vec<String> {
    let validator = VALIDATORS.get(message).unwrap_or_else(|| panic!("{message} is not described"));
    validator.iter_errors(frame).map(|error| format!("{}: {error}", error.instance_path())).collect()
}
