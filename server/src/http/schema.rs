//! Values of the wire whose bounds are part of their type: the document tells them, and no value is made outside them.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::base::validation::Violation;

/// A value of one member of a request body.
pub(crate) trait FromMember: Sized {
    /// Takes well-formed JSON, if it keeps the type's rules.
    fn from_member(json: &RawValue) -> Result<Self, Violation>;
}

/// A value of one parameter.
pub(crate) trait FromParameter: Sized {
    /// What the document says of it.
    fn schema() -> MetaSchema;

    /// Takes the parameter's text, percent-decoded, if it keeps the type's rules.
    fn from_parameter(text: &str) -> Result<Self, Violation>;
}

/// The text of a JSON string.
pub(crate) fn text(json: &RawValue) -> Result<String, Violation> {
    if !json.get().starts_with('"') {
        return Err(Violation::new("must be a string"));
    }
    // Well-formed, so only half a surrogate pair is left to go wrong.
    serde_json::from_str(json.get()).map_err(|_| Violation::new("must be Unicode text"))
}

/// The largest integer that every JSON reader keeps exact (RFC 8259, section 6).
const MAX_EXACT: i64 = (1 << 53) - 1;

/// poem-openapi's view of a value: an inline schema, and JSON both ways, of which it uses the way out for examples.
macro_rules! describe {
    ($($(const $parameter:ident: $kind:ty),+ =>)? $type:ty, $schema:expr, |$json:ident| $parse:expr, |$value:ident| $print:expr) => {
        impl$(<$(const $parameter: $kind),+>)? ::poem_openapi::types::Type for $type {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> ::std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn schema_ref() -> ::poem_openapi::registry::MetaSchemaRef {
                ::poem_openapi::registry::MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(self.as_raw_value().into_iter())
            }
        }

        impl$(<$(const $parameter: $kind),+>)? ::poem_openapi::types::ParseFromJSON for $type {
            fn parse_from_json(value: Option<::serde_json::Value>) -> ::poem_openapi::types::ParseResult<Self> {
                use ::poem_openapi::types::ParseError;
                let $json = ::serde_json::value::to_raw_value(&value).map_err(ParseError::custom)?;
                $parse.map_err(|violation: $crate::base::validation::Violation| ParseError::custom(violation.detail))
            }
        }

        impl$(<$(const $parameter: $kind),+>)? ::poem_openapi::types::ToJSON for $type {
            fn to_json(&self) -> Option<::serde_json::Value> {
                let $value = self;
                $print
            }
        }
    };
}

pub(crate) use describe;

/// The schema of text of `min` to `max` characters.
pub(crate) fn text_schema(min: usize, max: usize) -> MetaSchema {
    MetaSchema { min_length: Some(min), max_length: Some(max), ..MetaSchema::new("string") }
}

/// Text of 1 to `MAX` characters in an answer. Generated clients hold later versions of the server to `MAX` too, so what
/// is opaque or for people has more room than it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Text<const MAX: usize>(Cow<'static, str>);

impl<const MAX: usize> Text<MAX> {
    /// Takes `text` if it is within the bounds.
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Result<Self, Violation> {
        let text = text.into();
        if (1..=MAX).contains(&text.chars().count()) {
            Ok(Self(text))
        } else {
            Err(Violation::new(format!("must have 1 to {MAX} characters")))
        }
    }

    /// Takes as much of `text`, which is not empty, as is within the bounds.
    pub(crate) fn cut(text: impl Into<Cow<'static, str>>) -> Self {
        let mut text = text.into();
        debug_assert!(!text.is_empty(), "an answer has something to say");
        if let Some((end, _)) = text.char_indices().nth(MAX) {
            text.to_mut().truncate(end);
        }
        Self(text)
    }

    pub(crate) fn schema() -> MetaSchema {
        text_schema(1, MAX)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

describe!(const MAX: usize => Text<MAX>, Self::schema(), |json| text(&json).and_then(Self::new), |value| {
    Some(value.as_str().into())
});

/// An integer from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Integer<const MIN: i64, const MAX: i64 = MAX_EXACT>(i64);

impl<const MIN: i64, const MAX: i64> Integer<MIN, MAX> {
    /// Takes `number` if it is within the bounds.
    pub(crate) fn new(number: i64) -> Result<Self, Violation> {
        if (MIN..=MAX).contains(&number) { Ok(Self(number)) } else { Err(Self::violation()) }
    }

    /// The number within the bounds that is nearest to `number`.
    pub(crate) fn nearest(number: impl Into<i64>) -> Self {
        Self(number.into().clamp(MIN, MAX))
    }

    pub(crate) fn get(self) -> i64 {
        self.0
    }

    fn violation() -> Violation {
        Violation::new(format!("must be an integer from {MIN} to {MAX}"))
    }
}

impl<const MIN: i64, const MAX: i64> FromParameter for Integer<MIN, MAX> {
    fn schema() -> MetaSchema {
        let is_small = i32::try_from(MIN).is_ok() && i32::try_from(MAX).is_ok();
        #[expect(clippy::cast_precision_loss, reason = "no bound is beyond what a double keeps exact")]
        let (minimum, maximum) = (Some(MIN as f64), Some(MAX as f64));
        let format = if is_small { "int32" } else { "int64" };
        MetaSchema { minimum, maximum, ..MetaSchema::new_with_format("integer", format) }
    }

    /// As JSON writes integers: no plus sign, no leading zeros.
    fn from_parameter(text: &str) -> Result<Self, Violation> {
        let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        number.ok_or_else(Self::violation).and_then(Self::new)
    }
}

describe!(
    const MIN: i64, const MAX: i64 => Integer<MIN, MAX>,
    Self::schema(),
    |json| Self::from_parameter(json.get()),
    |value| Some(value.0.into())
);

/// At most `MAX` things in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Items<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Items<T, MAX> {
    /// The first of `items`, as many as are within the bounds.
    pub(crate) fn first(mut items: Vec<T>) -> Self {
        items.truncate(MAX);
        Self(items)
    }
}

impl<T: Type, const MAX: usize> Type for Items<T, MAX> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = T::RawValueType;

    fn name() -> Cow<'static, str> {
        Vec::<T>::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        Vec::<T>::schema_ref().merge(MetaSchema { max_items: Some(MAX), ..MetaSchema::ANY })
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        self.0.raw_element_iter()
    }
}

impl<T: ParseFromJSON, const MAX: usize> ParseFromJSON for Items<T, MAX> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Vec::parse_from_json(value).map(Self::first).map_err(ParseError::propagate)
    }
}

impl<T: ToJSON, const MAX: usize> ToJSON for Items<T, MAX> {
    fn to_json(&self) -> Option<Value> {
        self.0.to_json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_counted_in_characters_and_cut_between_them() {
        assert_eq!(Text::<3>::new("🦀éa").unwrap(), Text::cut("🦀éab"));
        assert_eq!(Text::<3>::cut("é").as_str(), "é");
        for outside in ["", "🦀éab"] {
            assert_eq!(Text::<3>::new(outside).unwrap_err().detail, "must have 1 to 3 characters");
        }
    }

    #[test]
    fn an_integer_is_within_its_bounds_however_it_is_made() {
        type Digit = Integer<0, 9>;
        assert_eq!(Digit::from_parameter("9"), Ok(Digit::nearest(10)));
        assert_eq!(Digit::new(0), Ok(Digit::nearest(-1)));
        for outside in ["10", "-1", "07", "+7", "7.0", "", "99999999999999999999"] {
            assert_eq!(Digit::from_parameter(outside).unwrap_err().detail, "must be an integer from 0 to 9");
        }
    }

    #[test]
    fn the_width_of_an_integer_follows_from_its_bounds() {
        assert_eq!(Integer::<1, 100>::schema().format, Some("int32"));
        assert_eq!(Integer::<0>::schema().format, Some("int64"));
        assert_eq!(Integer::<0>::schema().maximum, Some(9_007_199_254_740_991.0));
    }

    #[test]
    fn of_too_many_items_the_first_are_kept() {
        assert_eq!(Items::<_, 2>::first(vec![1, 2, 3]), Items::first(vec![1, 2]));
    }
}
