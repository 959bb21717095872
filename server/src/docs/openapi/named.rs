//! Gives names to schemas that several places of a document share, so that generated clients have one type for each.
//!
//! poem-openapi writes such a schema out wherever it occurs; generators then make up a name for each of them
//! (`Status1Enum`).

use serde_json::{Map, Value, json};

use super::walk::each_schema;

/// The name of a component, its description, and the name of the members and parameters that have its schema.
const NAMED: [(&str, &str, &str); 5] = [
    ("ChatStatus", "The state of a chat: an active one takes messages, a closed one does not.", "status"),
    ("Cursor", "A place in a list, as a page's `next_cursor` names it. Opaque.", "cursor"),
    ("FinishReason", "The reason for which an answer ended.", "finish_reason"),
    ("SenderRole", "The author of a message: a user, or the assistant.", "sender_role"),
    ("UserId", "The ID of a user, chosen by the client. No control characters.", "user_id"),
];

/// Moves shared schemas to `components.schemas`, and refers to them by a plain `$ref`. An enumeration that may be null, as
/// members of requests may, refers by `allOf`: beside a `$ref` there is no room for `nullable`, and generators stumble over
/// null among the words. Other strings that may be null keep their own schemas.
pub(crate) fn name_schemas(document: &mut Value) {
    let mut components = Map::new();
    each_schema(document, &mut |place, schema| {
        let Some((name, description, _)) = NAMED.iter().find(|(_, _, named)| Some(*named) == place) else { return };
        let is_enumeration = schema.get("enum").is_some();
        if schema["type"] != "string" || schema["nullable"] == true && !is_enumeration {
            return;
        }
        let mut component = schema.clone();
        component["description"] = (*description).into();
        let is_nullable = component.as_object_mut().is_some_and(|members| members.remove("nullable").is_some());
        let first = components.entry(*name).or_insert_with(|| component.clone());
        debug_assert_eq!(*first, component, "{name} is one schema");
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        if is_nullable {
            let members = schema.as_object_mut().expect("a schema with a type is an object");
            members.remove("enum");
            members.insert("allOf".to_owned(), json!([reference]));
        } else {
            *schema = reference;
        }
    });
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.extend(components);
        schemas.sort_keys();
    }
}
