//! What a document asks of clients of an earlier one.
//!
//! The tools for this miss what matters here: openapi-diff does not look at parameters, patterns, headers and null, and
//! drift does not tell which way a schema changed.

use std::{collections::HashSet, fmt};

use serde_json::Value;

/// Every change from `old` to `new` that can break a client of `old`, as a sentence that begins with its place.
pub(super) fn breaking_changes(old: &Value, new: &Value) -> Vec<String> {
    let mut comparison = Comparison { old, new, seen: HashSet::new(), found: Vec::new() };
    comparison.documents();
    comparison.found
}

/// Which side writes what a schema describes. The reader must take all that the writer may write, so one may accept
/// more than before, and answer less.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Writer {
    Client,
    Server,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "requests",
            Self::Server => "answers",
        })
    }
}

/// What may differ between two parameters as they are.
const COMPARED_OR_FOR_PEOPLE: [&str; 8] =
    ["name", "in", "required", "schema", "description", "deprecated", "example", "examples"];

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    /// Components that were compared.
    seen: HashSet<(Writer, &'a str)>,
    found: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn report(&mut self, place: &str, what: &str) {
        self.found.push(format!("{place} {what}"));
    }

    fn documents(&mut self) {
        let (old, new) = (self.old, self.new);
        for (path, operations) in members(&old["paths"]) {
            for (method, operation) in members(operations) {
                let place = format!("{} {path}", method.to_uppercase());
                match new["paths"][path].get(method) {
                    None => self.report(&place, "is gone"),
                    Some(changed) => self.operations(&place, operation, changed),
                }
            }
        }
        for (name, scheme) in members(&old["components"]["securitySchemes"]) {
            let changed = &new["components"]["securitySchemes"][name];
            self.same_but_for(&["description"], &format!("security scheme {name}"), scheme, changed);
        }
    }

    fn operations(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        // Generated clients name their functions after it.
        self.same("operationId", place, old, new);
        let security =
            |document: &'a Value, operation: &'a Value| operation.get("security").or(document.get("security"));
        if security(self.old, old) != security(self.new, new) {
            self.report(place, "wants other keys");
        }
        self.parameters(place, old, new);
        self.request_bodies(&format!("{place}: the body"), old.get("requestBody"), new.get("requestBody"));
        for (status, response) in members(&old["responses"]) {
            let place = format!("{place}: answer {status}");
            match new["responses"].get(status) {
                None => self.report(&place, "is gone"),
                Some(changed) => self.responses(&place, response, changed),
            }
        }
    }

    fn parameters(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        let named =
            |parameter: &Value| format!("{place}: {} parameter {}", text(&parameter["in"]), text(&parameter["name"]));
        for parameter in items(&old["parameters"]) {
            let place = named(parameter);
            match same_parameter(new, parameter) {
                None => self.report(&place, "is gone"),
                Some(changed) => {
                    self.still_optional(&place, parameter, changed);
                    self.same_but_for(&COMPARED_OR_FOR_PEOPLE, &place, parameter, changed);
                    self.schemas(Writer::Client, &place, &parameter["schema"], &changed["schema"]);
                }
            }
        }
        for parameter in items(&new["parameters"]) {
            if is(parameter, "required") && same_parameter(old, parameter).is_none() {
                self.report(&named(parameter), "is new and required");
            }
        }
    }

    fn request_bodies(&mut self, place: &str, old: Option<&'a Value>, new: Option<&'a Value>) {
        match (old, new) {
            (None, Some(new)) if is(new, "required") => self.report(place, "is new and required"),
            (None, _) => {}
            (Some(_), None) => self.report(place, "is gone"),
            (Some(old), Some(new)) => {
                self.still_optional(place, old, new);
                self.contents(Writer::Client, place, old, new);
            }
        }
    }

    fn responses(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        self.contents(Writer::Server, place, old, new);
        for (name, header) in members(&old["headers"]) {
            let place = format!("{place}: header {name}");
            match new["headers"].get(name) {
                None => self.report(&place, "is gone"),
                Some(changed) => {
                    if is(header, "required") && !is(changed, "required") {
                        self.report(&place, "is no longer always there");
                    }
                    self.schemas(Writer::Server, &place, &header["schema"], &changed["schema"]);
                }
            }
        }
    }

    fn contents(&mut self, writer: Writer, place: &str, old: &'a Value, new: &'a Value) {
        for (media_type, content) in members(&old["content"]) {
            let place = format!("{place} as {media_type}");
            match new["content"].get(media_type) {
                None => self.report(&place, "is gone"),
                Some(changed) => self.schemas(writer, &place, &content["schema"], &changed["schema"]),
            }
        }
    }

    fn schemas(&mut self, writer: Writer, place: &str, old: &'a Value, new: &'a Value) {
        let place = match (component(old), component(new)) {
            // Generated clients name their types after it.
            (Some(old), new) if new != Some(old) => return self.report(place, &format!("is no longer called {old}")),
            (Some(old), _) if !self.seen.insert((writer, old)) => return,
            (Some(old), _) => format!("{old} in {writer}"),
            (None, _) => place.to_owned(),
        };
        let (old, new) = (resolved(self.old, old), resolved(self.new, new));
        // Where nothing was, no client sends anything, and one reads past what it does not know.
        if old == false {
            return;
        }
        if new == false {
            if writer == Writer::Client {
                self.report(&place, "may no longer be there");
            }
            return;
        }
        let (written, read) = match writer {
            Writer::Client => (old, new),
            Writer::Server => (new, old),
        };
        // All else follows from another type.
        if !fits("type", written.get("type"), read.get("type")) {
            return self.same("type", &place, old, new);
        }
        for keyword in keywords(old, new) {
            match keyword {
                "title" | "description" | "example" | "externalDocs" | "deprecated" => {}
                "default" if writer == Writer::Server || old.get(keyword).is_none() => {}
                "properties" => self.properties(writer, &place, old, new),
                "required" => self.required(writer, &place, old, new),
                "items" => self.schemas(writer, &format!("{place}, items"), &old[keyword], &new[keyword]),
                "additionalProperties" => {
                    self.schemas(writer, &format!("{place}, other members"), &old[keyword], &new[keyword]);
                }
                "allOf" | "anyOf" | "oneOf" if items(&old[keyword]).len() == items(&new[keyword]).len() => {
                    for (old, new) in items(&old[keyword]).iter().zip(items(&new[keyword])) {
                        self.schemas(writer, &format!("{place}, {keyword}"), old, new);
                    }
                }
                _ if fits(keyword, written.get(keyword), read.get(keyword)) => {}
                _ => self.same(keyword, &place, old, new),
            }
        }
    }

    fn properties(&mut self, writer: Writer, place: &str, old: &'a Value, new: &'a Value) {
        for (name, property) in members(&old["properties"]) {
            let place = format!("{place}: {name}");
            match new["properties"].get(name) {
                None => self.report(&place, "is gone"),
                Some(changed) => self.schemas(writer, &place, property, changed),
            }
        }
    }

    fn required(&mut self, writer: Writer, place: &str, old: &'a Value, new: &'a Value) {
        let (before, after) = (items(&old["required"]), items(&new["required"]));
        let (lacking, from, what) = match writer {
            Writer::Client => (before, after, "is now required"),
            Writer::Server => (after, before, "is no longer always there"),
        };
        for name in from.iter().filter(|name| !lacking.contains(name)).map(text) {
            // One that is gone was reported as such.
            if new["properties"].get(name).is_some() {
                self.report(&format!("{place}: {name}"), what);
            }
        }
    }

    fn still_optional(&mut self, place: &str, old: &Value, new: &Value) {
        if is(new, "required") && !is(old, "required") {
            self.report(place, "is now required");
        }
    }

    fn same_but_for(&mut self, exceptions: &[&str], place: &str, old: &'a Value, new: &'a Value) {
        for keyword in keywords(old, new).into_iter().filter(|keyword| !exceptions.contains(keyword)) {
            self.same(keyword, place, old, new);
        }
    }

    fn same(&mut self, keyword: &str, place: &str, old: &Value, new: &Value) {
        let (old, new) = (old.get(keyword), new.get(keyword));
        if old != new {
            let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            self.report(place, &format!("has {} as `{keyword}` instead of {}", shown(new), shown(old)));
        }
    }
}

/// Whether a reader's `keyword` allows all that the writer's does. Of what is not known here, nobody can tell.
fn fits(keyword: &str, written: Option<&Value>, read: Option<&Value>) -> bool {
    match keyword {
        "nullable" => written != Some(&Value::Bool(true)) || read == Some(&Value::Bool(true)),
        "maximum" | "maxLength" | "maxItems" | "maxProperties" | "minimum" | "minLength" | "minItems"
        | "minProperties" | "enum" | "type" | "format" | "pattern" | "multipleOf" | "uniqueItems" => {
            match (written, read) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(Value::Array(written)), Some(Value::Array(read))) => {
                    written.iter().all(|word| read.contains(word))
                }
                (Some(written), Some(read)) if keyword.starts_with("max") => written.as_f64() <= read.as_f64(),
                (Some(written), Some(read)) if keyword.starts_with("min") => written.as_f64() >= read.as_f64(),
                (Some(written), Some(read)) => written == read,
            }
        }
        _ => written == read,
    }
}

fn same_parameter<'a>(operation: &'a Value, parameter: &Value) -> Option<&'a Value> {
    let same = |other: &&Value| other["name"] == parameter["name"] && other["in"] == parameter["in"];
    items(&operation["parameters"]).iter().find(same)
}

/// The name of the component that a schema refers to.
fn component(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    component(schema).map_or(schema, |name| &document["components"]["schemas"][name])
}

fn keywords<'a>(old: &'a Value, new: &'a Value) -> Vec<&'a str> {
    let added = members(new).filter(|(keyword, _)| old.get(keyword.as_str()).is_none());
    members(old).chain(added).map(|(keyword, _)| keyword.as_str()).collect()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is(value: &Value, member: &str) -> bool {
    value[member] == true
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
