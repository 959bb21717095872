use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Serialize, Serializer,
    de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Label, Name, Names, RawObject, merge_patch};
use crate::base::validation::{Violation, pointer_step};

/// The application's own data about a chat: one JSON object, kept as the text that came in without its white space.
///
/// Text rather than a tree: what an application stored is what it gets back, key order and every digit of a number
/// included. At most [`Self::MAX_BYTES`] in that form and [`Self::MAX_DEPTH`] levels deep; no object may name a
/// member twice (RFC 8259 leaves the meaning of that open).
#[derive(Debug, Clone)]
pub struct Metadata(Box<RawValue>);

impl Metadata {
    /// Bytes at most, serialised without white space.
    pub const MAX_BYTES: usize = 16 * 1024;
    /// Levels of arrays and objects at most; the metadata object itself is the first.
    pub const MAX_DEPTH: usize = 32;

    /// `{}`.
    pub fn empty() -> Self {
        Self::stored("{}".to_owned()).expect("an empty object is JSON")
    }

    /// Takes well-formed JSON from a caller, if it keeps the rules.
    pub fn new(json: &RawValue) -> Result<Self, Violation> {
        let text = checked_object(json)?;
        Self::of_bounded_size(text)
    }

    fn of_bounded_size(text: String) -> Result<Self, Violation> {
        if text.len() > Self::MAX_BYTES {
            return Err(Violation::new(format!("must have at most {} bytes", Self::MAX_BYTES)));
        }
        Ok(Self::stored(text).expect("JSON without its white space is JSON"))
    }

    /// This with `patch` applied.
    ///
    /// # Errors
    /// The rule that the outcome breaks: it may be larger or deeper than both.
    pub fn merge(&self, patch: &MetadataPatch) -> Result<Self, Violation> {
        let merged = merge_patch::merge(self.as_json(), &patch.0).map_err(|_| Violation::new("cannot be merged"))?;
        if Compact::of(&merged).depth > Self::MAX_DEPTH {
            return Err(too_deep());
        }
        Self::of_bounded_size(merged)
    }

    /// The members that a filter can ask for: those whose values are no arrays and no objects.
    pub fn labels(&self) -> Vec<Label> {
        let members = serde_json::from_str(self.as_json()).unwrap_or(RawObject(Vec::new()));
        let label = |(name, json): (Cow<'_, str>, &RawValue)| {
            let value = match json.get().as_bytes().first() {
                Some(b'{' | b'[') | None => return None,
                Some(b'"') => serde_json::from_str(json.get()).ok()?,
                Some(_) => json.get().to_owned(),
            };
            Some(Label { name: name.into_owned(), value })
        };
        members.0.into_iter().filter_map(label).collect()
    }

    /// Takes back what [`Self::as_json`] gave.
    pub fn stored(json: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(json).map(Self)
    }

    /// The object as JSON text.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

/// A change to metadata: a JSON merge patch (RFC 7396), itself a JSON object within the same bounds of depth.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataPatch(String);

impl MetadataPatch {
    /// Takes well-formed JSON from a caller, if it keeps the rules.
    pub fn new(json: &RawValue) -> Result<Self, Violation> {
        checked_object(json).map(Self)
    }

    /// The patch as JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

fn too_deep() -> Violation {
    Violation::new(format!("must be at most {} levels deep", Metadata::MAX_DEPTH))
}

/// An object's JSON without white space, if it is not too deep and has nothing that no reader could take apart.
fn checked_object(json: &RawValue) -> Result<String, Violation> {
    if !json.get().starts_with('{') {
        return Err(Violation::new("must be an object"));
    }
    let compact = Compact::of(json.get());
    // Depth first: the check of the members recurses.
    if compact.depth > Metadata::MAX_DEPTH {
        return Err(too_deep());
    }
    check_members(&compact.text)?;
    Ok(compact.text)
}

/// Well-formed JSON without white space between its tokens, and how deep it is.
struct Compact {
    text: String,
    depth: usize,
}

impl Compact {
    fn of(json: &str) -> Self {
        let mut text = String::with_capacity(json.len());
        let (mut level, mut depth) = (0_usize, 0);
        let (mut in_string, mut escaped) = (false, false);
        // What is copied next begins here. All that is looked for is ASCII, so bytes are enough.
        let mut rest = 0;
        for (place, byte) in json.bytes().enumerate() {
            if in_string {
                in_string = escaped || byte != b'"';
                escaped = byte == b'\\' && !escaped;
                continue;
            }
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => {
                    text.push_str(&json[rest..place]);
                    rest = place + 1;
                }
                b'"' => in_string = true,
                b'{' | b'[' => {
                    level += 1;
                    depth = depth.max(level);
                }
                b'}' | b']' => level = level.saturating_sub(1),
                _ => {}
            }
        }
        text.push_str(&json[rest..]);
        Self { text, depth }
    }
}

/// Refuses an object that names a member twice, at any depth, and what no JSON reader could take apart again: half a
/// surrogate pair, a number beyond a double.
fn check_members(json: &str) -> Result<(), Violation> {
    let mut check = MemberCheck { pointer: String::new(), is_given_twice: false };
    let mut reader = serde_json::Deserializer::from_str(json);
    check.deserialize(&mut reader).map_err(|_| {
        let detail = if check.is_given_twice {
            "is given twice"
        } else {
            "has a string that is not Unicode or a number out of range"
        };
        Violation { pointer: check.pointer, detail: detail.to_owned() }
    })
}

/// Walks a value; after an error, `pointer` names where it stopped.
struct MemberCheck {
    pointer: String,
    is_given_twice: bool,
}

impl MemberCheck {
    /// Notes on the way back from an error that it was below `step`. So a value without one has no pointer made.
    fn was_below<E>(&mut self, step: &str, error: E) -> E {
        self.pointer.insert_str(0, &pointer_step(step));
        error
    }
}

impl<'de> DeserializeSeed<'de> for &mut MemberCheck {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut MemberCheck {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while items.next_element_seed(&mut *self).map_err(|error| self.was_below(&index.to_string(), error))?.is_some()
        {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = Names::default();
        while let Some(Name(name)) = members.next_key()? {
            if names.contain(&name) {
                self.is_given_twice = true;
                return Err(self.was_below(&name, de::Error::custom("duplicate member")));
            }
            members.next_value_seed(&mut *self).map_err(|error| self.was_below(&name, error))?;
            names.add(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(json: &str) -> Result<Metadata, Violation> {
        Metadata::new(serde_json::from_str(json).expect("the test's JSON is well-formed"))
    }

    fn violation(json: &str) -> (String, String) {
        let violation = metadata(json).unwrap_err();
        (violation.pointer, violation.detail)
    }

    #[test]
    fn keeps_order_digits_and_escapes_but_no_white_space() {
        let json = "{ \"z\" : 1.10 ,\n\"a\":[ 123456789012345678901234567890, \"a \\\" b\\\\\" , null ] }";
        assert_eq!(
            metadata(json).unwrap().as_json(),
            r#"{"z":1.10,"a":[123456789012345678901234567890,"a \" b\\",null]}"#
        );
    }

    #[test]
    fn depth_is_bounded_and_counts_the_object_itself() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(metadata(&nested(32)).is_ok());
        assert_eq!(violation(&nested(33)), (String::new(), "must be at most 32 levels deep".into()));
        assert_eq!(violation(&nested(30_000)), (String::new(), "must be at most 32 levels deep".into()));
        assert!(metadata(r#"{"brackets in a string":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}"#).is_ok());
    }

    #[test]
    fn size_is_bounded_after_white_space_is_gone() {
        let full = format!("{{\"a\":\"{}\"}}", "x".repeat(Metadata::MAX_BYTES - 8));
        assert_eq!(full.len(), Metadata::MAX_BYTES);
        assert!(metadata(&full).is_ok());
        assert!(metadata(&full.replace(':', "   :   ")).is_ok());
        assert_eq!(violation(&full.replace("\"a", "\"ab")).1, "must have at most 16384 bytes");
    }

    #[test]
    fn names_the_member_given_twice() {
        assert_eq!(violation(r#"{"a":1,"b":{"c/d":[0,{"e":1,"e":2}]}}"#).0, "/b/c~1d/1/e");
        assert_eq!(violation(r#"{"a":1,"\u0061":2}"#), ("/a".into(), "is given twice".into()));
    }

    #[test]
    fn refuses_what_a_reader_could_not_take_apart() {
        assert_eq!(violation(r#"{"a":["ok","\ud800"]}"#).0, "/a/1");
        assert_eq!(violation(r#"{"a":1e999}"#).0, "/a");
        assert_eq!(violation("[1]").1, "must be an object");
        assert_eq!(violation("null").1, "must be an object");
    }
}
