//! Requests at the bounds of what the document describes, and just outside them.

use parlor_server::chat::{IdempotencyKey, MediaType, MediaUrl};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::support::{
    Answer, Client, TestServer,
    requests::{chat, query},
};

const USER: &str = "u";
/// One character, but four bytes, and two units of UTF-16.
const WIDE: char = '🦀';

/// One operation, and a chat of its own to be called on.
pub(super) struct Probe<'a> {
    client: Client,
    operation: &'a Value,
    method: Method,
    path: &'a str,
    /// The members that its body may have, and an example of those that it must have.
    members: Map<String, Value>,
    required: Map<String, Value>,
    chat: String,
    /// A cursor of the operation's list, if it is one.
    cursor: Option<String>,
}

/// One value of a request, as the document describes it.
struct Field<'a> {
    place: &'a str,
    name: &'a str,
    schema: &'a Value,
}

impl<'a> Probe<'a> {
    pub(super) async fn start(
        server: &TestServer,
        document: &Value,
        path: &'a str,
        method: &str,
        operation: &'a Value,
    ) -> Self {
        // A tenant of its own, so that the idempotency keys of one operation are none of another's.
        let client = server.client_of(operation["operationId"].as_str().unwrap()).await;
        let body = &operation["requestBody"]["content"]["application/json"];
        let schema = match body["schema"]["$ref"].as_str() {
            Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => &body["schema"],
        };
        let mut required = body["example"].as_object().cloned().unwrap_or_default();
        required.retain(|name, _| schema["required"].as_array().is_some_and(|all| all.contains(&json!(name))));
        let mut probe = Self {
            operation,
            method: method.to_uppercase().parse().unwrap(),
            path,
            members: schema["properties"].as_object().cloned().unwrap_or_default(),
            required,
            chat: client.new_chat(USER).await,
            cursor: None,
            client,
        };
        if probe.fields().iter().any(|field| field.name == "cursor") {
            probe.cursor = Some(probe.next_cursor().await);
        }
        probe
    }

    /// Of a list with two things or more.
    async fn next_cursor(&self) -> String {
        self.client.new_chat(USER).await;
        for content in ["first", "second"] {
            self.client.send_message(&self.chat, &json!({ "content": content }), 201).await;
        }
        let path = self.path.replace("{chat_id}", &self.chat).replace("{user_id}", USER);
        let page = self.client.get(&format!("{path}?limit=1"), 200).await.json();
        page["next_cursor"].as_str().unwrap().to_owned()
    }

    /// Sends each value at a bound, which must be taken, and each outside, which must be refused by its name.
    pub(super) async fn run(&self) {
        let id = self.operation["operationId"].as_str().unwrap();
        let success = self.operation["responses"].as_object().unwrap().keys().find(|status| status.starts_with('2'));
        let success: u16 = success.unwrap().parse().unwrap();
        for field in self.fields() {
            let cursor = self.cursor.as_deref().filter(|_| field.name == "cursor");
            let Values { within, outside } = Values::of(field.schema, cursor);
            let shown = |value: &Value| {
                let text: String = value.to_string().chars().take(60).collect();
                format!("{id}: {} {} = {text}", field.place, field.name)
            };
            for value in within {
                let (status, answer) = self.call(&field, &value).await;
                let body = String::from_utf8_lossy(&answer.body);
                assert_eq!(status.as_u16(), success, "{}: {body}", shown(&value));
            }
            // A path without one of its steps is another path.
            for value in outside.iter().filter(|value| field.place != "path" || **value != "") {
                let (status, answer) = self.call(&field, value).await;
                if field.place == "path" {
                    // What cannot name anything is not found.
                    assert_eq!(status, StatusCode::NOT_FOUND, "{}", shown(value));
                    assert!(answer.problem().ends_with("_not_found"), "{}", shown(value));
                } else {
                    assert_eq!(status, StatusCode::BAD_REQUEST, "{}", shown(value));
                    let pointers: Vec<String> = answer.errors().into_iter().map(|(pointer, _)| pointer).collect();
                    assert_eq!(pointers, [field.pointer()], "{}", shown(value));
                }
            }
        }
    }

    fn fields(&self) -> Vec<Field<'_>> {
        let parameters = self.operation["parameters"].as_array().into_iter().flatten().map(|parameter| Field {
            place: parameter["in"].as_str().unwrap(),
            name: parameter["name"].as_str().unwrap(),
            schema: &parameter["schema"],
        });
        let members = self.members.iter().map(|(name, schema)| Field { place: "body", name, schema });
        parameters.chain(members).collect()
    }

    /// Calls the operation with `value` for `field`, and with nothing else but what it must have.
    async fn call(&self, field: &Field<'_>, value: &Value) -> (StatusCode, Answer) {
        let (mut client, mut steps) = (self.client.clone(), Map::new());
        let (mut parameters, mut body) = (String::new(), self.required.clone());
        // What is deleted cannot be deleted again.
        let chat_id = if self.method == Method::DELETE { client.new_chat(USER).await } else { self.chat.clone() };
        steps.insert("chat_id".to_owned(), chat_id.into());
        steps.insert("user_id".to_owned(), USER.into());
        match field.place {
            "path" => {
                // Whoever can be named there has a chat.
                let named = json!({ field.name: value }).to_string().into_bytes();
                self.client.attempt(Method::POST, &chat(""), Some(named)).await.unwrap();
                steps.insert(field.name.to_owned(), value.clone());
            }
            "query" => {
                let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                let texts: Vec<String> = values.iter().map(text).collect();
                parameters = query(&texts.iter().map(|text| (field.name, text.as_str())).collect::<Vec<_>>());
            }
            "header" => client = client.header(field.name, &text(value)),
            "body" => drop(body.insert(field.name.to_owned(), value.clone())),
            other => panic!("say here how {} is sent, which is in {other}", field.name),
        }
        let path = steps.iter().fold(self.path.to_owned(), |path, (name, step)| {
            let step: String = form_urlencoded::byte_serialize(text(step).as_bytes()).collect();
            path.replace(&format!("{{{name}}}"), &step)
        });
        assert!(!path.contains('{'), "say here what {path} stands for");
        let body = self.operation.get("requestBody").map(|_| Value::Object(body).to_string().into_bytes());
        client.attempt(self.method.clone(), &format!("{path}{parameters}"), body).await.unwrap()
    }
}

impl Field<'_> {
    fn pointer(&self) -> String {
        if self.place == "body" { format!("/{}", self.name) } else { format!("/{}/{}", self.place, self.name) }
    }
}

/// A string is its own text; all else is its JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What is at the bounds of a schema, and what is next to it outside.
struct Values {
    within: Vec<Value>,
    outside: Vec<Value>,
}

impl Values {
    fn of(schema: &Value, cursor: Option<&str>) -> Self {
        let bound = |keyword: &str| schema[keyword].as_i64().unwrap_or_else(|| panic!("no {keyword} in {schema}"));
        match schema["type"].as_str() {
            Some("string") if schema.get("enum").is_some() => {
                let words = schema["enum"].as_array().unwrap().iter().filter(|word| word.is_string());
                Self { within: words.cloned().collect(), outside: vec!["".into(), "other".into()] }
            }
            Some("string") if schema.get("format").is_some() => {
                Self { within: vec![], outside: vec!["".into(), "other".into()] }
            }
            Some("string") => {
                let [min, max] = ["minLength", "maxLength"].map(|keyword| usize::try_from(bound(keyword)).unwrap());
                match (schema["pattern"].as_str(), cursor) {
                    (None, Some(cursor)) => Self::opaque(min, max, cursor),
                    (pattern, _) => Self::texts(min, max, &Alphabet::of(pattern)),
                }
            }
            Some("integer") => {
                let [min, max] = ["minimum", "maximum"].map(bound);
                Self { within: vec![min.into(), max.into()], outside: vec![(min - 1).into(), (max + 1).into()] }
            }
            Some("array") => {
                let max = usize::try_from(bound("maxItems")).unwrap();
                let items = Self::of(&schema["items"], cursor);
                let full = vec![items.within[0].clone(); max];
                let overfull = vec![items.within[0].clone(); max + 1];
                let alone = |items: Vec<Value>| items.into_iter().map(|item| Value::Array(vec![item]));
                Self {
                    within: alone(items.within).chain([full.into()]).collect(),
                    outside: alone(items.outside).chain([overfull.into()]).collect(),
                }
            }
            Some("boolean") => Self { within: vec![true.into(), false.into()], outside: vec!["".into(), 2.into()] },
            // What is in it is the application's own.
            Some("object") if schema.get("properties").is_none() => {
                Self { within: vec![json!({})], outside: vec![json!([]), "other".into()] }
            }
            _ => panic!("say here what is within and what is outside {schema}"),
        }
    }

    /// Within its bounds, nothing is taken but what the server gave.
    fn opaque(min: usize, max: usize, given: &str) -> Self {
        assert!((min..=max).contains(&given.len()), "{given} is out of bounds");
        Self { within: vec![given.into()], outside: [min - 1, max + 1].map(|length| "x".repeat(length).into()).into() }
    }

    fn texts(min: usize, max: usize, alphabet: &Alphabet) -> Self {
        let mut within = vec![alphabet.text(min, 'x'), alphabet.text(max, 'x')];
        let mut outside = vec![alphabet.text(min.saturating_sub(1), 'x'), alphabet.text(max + 1, 'x')];
        if alphabet.is_wide {
            within.push(alphabet.text(max, WIDE));
            outside.push(alphabet.text(max + 1, WIDE));
        }
        if min == 0 {
            outside.remove(0);
        }
        let values = |texts: Vec<String>| texts.into_iter().map(Value::String).collect();
        Self { within: values(within), outside: values(outside) }
    }
}

/// How texts of one pattern are made in every length.
struct Alphabet {
    start: &'static str,
    /// Whether any character may follow, or just ASCII.
    is_wide: bool,
}

impl Alphabet {
    fn of(pattern: Option<&str>) -> Self {
        let (start, is_wide) = match pattern {
            None => ("", true),
            Some(IdempotencyKey::PATTERN) => ("", false),
            Some(MediaType::PATTERN) => ("a/", false),
            Some(MediaUrl::PATTERN) => ("http://", false),
            Some(r"^([^:\\]|\\[\s\S])*:") => (":", true),
            Some(other) => panic!("say here how a text with the pattern {other} begins"),
        };
        Self { start, is_wide }
    }

    /// `length` characters, of which the first that may be anything is `first`.
    fn text(&self, length: usize, first: char) -> String {
        self.start.chars().chain([first]).chain(std::iter::repeat('x')).take(length).collect()
    }
}
