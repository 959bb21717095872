//! Application metadata of chats and messages, kept as JSON text.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::error::Error;

/// Maximum depth of the conversion to a [`Value`]; the server accepts 32 levels.
const MAX_DEPTH: usize = 128;

/// The application's metadata of a chat or message: a JSON object, empty if none was set.
///
/// It is stored as the JSON text from the server, without insignificant white space. All digits of numbers and the
/// order of members are kept, and reading a chat never fails because of metadata that another client stored. Read it
/// with [`get`](Metadata::get) or, as a type of the application, with [`to`](Metadata::to).
///
/// Two values are equal if their texts are equal: `1` differs from `1.0`, and the order of members matters. Like
/// [`RawValue`], it works with `serde_json` only, and not inside `#[serde(flatten)]`.
///
/// ```
/// use parlor_sdk::Metadata;
/// use serde_json::json;
///
/// let metadata: Metadata = serde_json::from_str(r#"{"priority": "high", "order": 123456789012345678901234567890}"#)?;
/// assert_eq!(metadata.get("priority"), Some(json!("high")));
/// assert_eq!(metadata.get("department"), None);
/// assert_eq!(metadata.as_str(), r#"{"priority":"high","order":123456789012345678901234567890}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Metadata(Box<RawValue>);

impl Metadata {
    /// Returns the JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Returns the value of a member; none if it does not exist. The conversion is that of [`Value::from`], with the
    /// same losses.
    ///
    /// Each call parses the text. To read more than a few members, parse all of them with [`to`](Metadata::to).
    pub fn get(&self, name: &str) -> Option<Value> {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(self.as_str()).ok()?;
        members.get(name).map(|value| nearest(value, MAX_DEPTH))
    }

    /// Deserializes the metadata to a type of the application.
    ///
    /// ```
    /// # let metadata: parlor_sdk::Metadata = serde_json::from_str(r#"{"department": "technical"}"#)?;
    /// #[derive(serde::Deserialize)]
    /// struct Ticket {
    ///     department: String,
    /// }
    ///
    /// assert_eq!(metadata.to::<Ticket>()?.department, "technical");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if it does not match the type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.as_str()).map_err(|error| {
            Error::metadata_mismatch("the metadata does not match the expected type").with_source(error)
        })
    }
}

impl Default for Metadata {
    /// `{}`.
    fn default() -> Self {
        Self::of("{}".to_owned())
    }
}

impl Metadata {
    /// Wraps JSON text without insignificant white space.
    fn of(json: String) -> Self {
        Self(RawValue::from_string(json).expect("removing white space keeps JSON valid"))
    }
}

/// Converts to the nearest [`Value`]: integers beyond 64 bits and longer fractions become the nearest double, as
/// `serde_json` parses them. Values that it cannot parse become `null`: a number beyond the range of doubles, an
/// unpaired surrogate, more than 128 levels.
///
/// ```
/// # let metadata: parlor_sdk::Metadata = serde_json::from_str(r#"{"department": "technical", "huge": 1e999}"#)?;
/// let value = serde_json::Value::from(metadata);
/// assert_eq!(value, serde_json::json!({"department": "technical", "huge": null}));
/// # Ok::<(), serde_json::Error>(())
/// ```
impl From<Metadata> for Value {
    fn from(metadata: Metadata) -> Self {
        nearest(&metadata.0, MAX_DEPTH)
    }
}

fn nearest(json: &RawValue, depth: usize) -> Value {
    let text = json.get();
    if let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    let Some(depth) = depth.checked_sub(1) else { return Value::Null };
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
        return items.into_iter().map(|item| nearest(item, depth)).collect();
    }
    match serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
        Ok(members) => members.into_iter().map(|(name, value)| (name, nearest(value, depth))).collect(),
        Err(_) => Value::Null,
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(compact(json.get()).map_or(Self(json), Self::of))
    }
}

/// Removes insignificant white space. Returns none if there is none.
fn compact(json: &str) -> Option<String> {
    let (mut in_string, mut escaped) = (false, false);
    let mut is_meant = |character: char| {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            true
        } else {
            in_string = character == '"';
            !matches!(character, ' ' | '\t' | '\n' | '\r')
        }
    };
    let compact: String = json.chars().filter(|character| is_meant(*character)).collect();
    (compact.len() < json.len()).then_some(compact)
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Metadata {}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Metadata set by the application. A serialization error is kept here so that building the request does not return a
/// `Result`.
#[derive(Clone, Debug)]
pub(crate) enum MetadataInput {
    /// As text, so that the bytes are exactly those written by the application's `Serialize`.
    Object(Box<RawValue>),
    NotAnObject(&'static str),
    NotJson(Arc<serde_json::Error>),
}

impl MetadataInput {
    /// Returns none for a value that serializes to `null`.
    pub(crate) fn new(metadata: &impl Serialize) -> Option<Self> {
        match to_raw_value(metadata) {
            Ok(json) => match json.get().as_bytes().first() {
                Some(b'{') => Some(Self::Object(json)),
                Some(b'n') => None,
                _ => Some(Self::NotAnObject(kind_of(&json))),
            },
            Err(error) => Some(Self::NotJson(Arc::new(error))),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Object(_) => Ok(()),
            Self::NotAnObject(kind) => {
                Err(Error::invalid_call(format!("the metadata must be a JSON object, not {kind}")))
            }
            Self::NotJson(error) => {
                Err(Error::invalid_call("the metadata cannot be serialized to JSON").with_source(Arc::clone(error)))
            }
        }
    }
}

impl Serialize for MetadataInput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Object(object) => object.serialize(serializer),
            Self::NotAnObject(kind) => {
                Err(S::Error::custom(format_args!("the metadata must be a JSON object, not {kind}")))
            }
            Self::NotJson(error) => Err(S::Error::custom(error)),
        }
    }
}

/// Names the JSON type, with its article.
pub(crate) fn kind_of(json: &RawValue) -> &'static str {
    match json.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(json: &str) -> Metadata {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn only_insignificant_white_space_is_removed() {
        let read = metadata("{ \"a b\" :\t[ 1 ,\n2 ] , \"c\":\" \\\" d \\\\\" , \"e\" : \" é \" }\r\n");
        assert_eq!(read.as_str(), r#"{"a b":[1,2],"c":" \" d \\","e":" é "}"#);
        assert_eq!(read, metadata(read.as_str()));
        assert_eq!(format!("{read} {read:?}"), format!("{0} {0}", read.as_str()));
    }

    #[test]
    fn every_digit_and_the_order_are_kept() {
        let json = r#"{"z":1e999,"a":123456789012345678901234567890.10,"m":-0.0}"#;
        assert_eq!(serde_json::to_string(&metadata(json)).unwrap(), json);
    }

    #[test]
    fn a_json_value_and_its_text_give_the_same_metadata() {
        let tree = json!({"a": [1, {"b": null}]});
        let read: Metadata = serde_json::from_value(tree.clone()).unwrap();
        assert_eq!(read, metadata(r#"{"a": [1, {"b": null}]}"#));
        assert_eq!(serde_json::to_value(&read).unwrap(), tree);
        assert_eq!(Value::from(read), tree);
    }

    #[test]
    fn only_unrepresentable_values_become_null() {
        let read = metadata(r#"{"a":[1,1e999,{"b":"\ud800","c":"d"}],"e":18446744073709551616,"f":"kept"}"#);
        assert_eq!(read.get("a"), Some(json!([1, null, {"b": null, "c": "d"}])));
        assert_eq!(read.get("e"), Some(json!(18_446_744_073_709_551_616.0)));
        assert_eq!(read.get("f"), Some(json!("kept")));
        assert_eq!(read.get("g"), None);
        let whole = Value::from(read);
        assert_eq!((&whole["a"][1], &whole["f"]), (&Value::Null, &json!("kept")));
    }

    #[test]
    fn deep_nesting_is_not_a_problem() {
        let deep = format!("{{\"a\":{}1e999{},\"b\":2}}", "[".repeat(100_000), "]".repeat(100_000));
        let read = metadata(&deep);
        assert_eq!(read.as_str(), deep);
        assert_eq!(read.get("b"), Some(json!(2)));
        assert!(read.get("a").unwrap().is_array());
    }

    #[test]
    fn values_other_than_objects_have_no_members() {
        for json in ["null", "[1]", "\"x\"", "1"] {
            assert_eq!(metadata(json).get("a"), None, "{json}");
            assert_eq!(metadata(json).as_str(), json);
        }
        assert_eq!(Metadata::default().as_str(), "{}");
    }

    #[test]
    fn metadata_is_an_object_or_null() {
        assert!(MetadataInput::new(&None::<Value>).is_none());
        assert!(MetadataInput::new(&()).is_none());
        MetadataInput::new(&json!({})).unwrap().check().unwrap();
        for (wrong, kind) in
            [(json!(true), "a boolean"), (json!(1), "a number"), (json!("x"), "a string"), (json!([{}]), "an array")]
        {
            let given = MetadataInput::new(&wrong).unwrap();
            assert!(given.check().unwrap_err().to_string().contains(kind));
            assert!(serde_json::to_string(&given).unwrap_err().to_string().contains(kind));
        }
    }

    #[test]
    fn a_serialization_error_is_the_cause() {
        use std::error::Error as _;

        let error = MetadataInput::new(&BTreeMap::from([([1_u8], 2)])).unwrap().check().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidCall);
        assert!(error.source().unwrap().to_string().contains("key must be a string"));
    }
}
