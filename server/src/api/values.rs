//! How the domain's value types read from JSON and look in the document. Their bounds are written once, in the domain;
//! the schema and the check both take them from there.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{
    chat::{Metadata, Title, UserId, Violation},
    http::body::{FromMember, text},
};

impl FromMember for UserId {
    fn from_member(json: &RawValue) -> Result<Self, Violation> {
        Self::new(text(json)?)
    }
}

impl FromMember for Title {
    fn from_member(json: &RawValue) -> Result<Self, Violation> {
        Self::new(&text(json)?)
    }
}

impl FromMember for Metadata {
    fn from_member(json: &RawValue) -> Result<Self, Violation> {
        Self::new(json)
    }
}

/// A member of an answer that is always there and may be `null`. (`Option` says that it may be absent.)
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Nullable<T>(pub(super) Option<T>);

impl<T: Type> Type for Nullable<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = T::RawValueType;
    type RawElementValueType = T::RawElementValueType;

    fn name() -> Cow<'static, str> {
        format!("nullable_{}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref().merge(MetaSchema { nullable: true, ..MetaSchema::ANY })
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        self.0.as_ref().and_then(Type::as_raw_value)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        match &self.0 {
            Some(value) => value.raw_element_iter(),
            None => Box::new(std::iter::empty()),
        }
    }
}

impl<T: ParseFromJSON> ParseFromJSON for Nullable<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Option::<T>::parse_from_json(value).map(Self).map_err(ParseError::propagate)
    }
}

impl<T: ToJSON> ToJSON for Nullable<T> {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.as_ref().and_then(ToJSON::to_json).unwrap_or(Value::Null))
    }
}

fn text_schema(min: usize, max: usize, pattern: &str) -> MetaSchema {
    MetaSchema {
        min_length: Some(min),
        max_length: Some(max),
        pattern: Some(pattern.to_owned()),
        ..MetaSchema::new("string")
    }
}

fn user_id_schema() -> MetaSchema {
    text_schema(UserId::MIN_CHARS, UserId::MAX_CHARS, UserId::PATTERN)
}

fn title_schema() -> MetaSchema {
    text_schema(Title::MIN_CHARS, Title::MAX_CHARS, Title::PATTERN)
}

fn metadata_schema() -> MetaSchema {
    MetaSchema {
        additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)))),
        ..MetaSchema::new("object")
    }
}

/// poem-openapi's view of a value: an inline schema, and JSON both ways, of which it uses the way out for examples.
macro_rules! describe {
    ($type:ty, $schema:expr, |$json:ident| $parse:expr, |$value:ident| $print:expr) => {
        impl Type for $type {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(self.as_raw_value().into_iter())
            }
        }

        impl ParseFromJSON for $type {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                let $json = serde_json::value::to_raw_value(&value).map_err(ParseError::custom)?;
                $parse.map_err(|violation: Violation| ParseError::custom(violation.detail))
            }
        }

        impl ToJSON for $type {
            fn to_json(&self) -> Option<Value> {
                let $value = self;
                $print
            }
        }
    };
}

/// A moment on the wire: RFC 3339, UTC with the suffix `Z`, at most microseconds.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Timestamp(pub(super) DateTime<Utc>);

impl FromMember for Timestamp {
    fn from_member(json: &RawValue) -> Result<Self, Violation> {
        let moment = DateTime::parse_from_rfc3339(&text(json)?).map_err(|_| Violation::new("must be a date-time"))?;
        Ok(Self(moment.to_utc()))
    }
}

fn timestamp_schema() -> MetaSchema {
    MetaSchema::new_with_format("string", "date-time")
}

describe!(Timestamp, timestamp_schema(), |json| Self::from_member(&json), |value| serde_json::to_value(value).ok());
describe!(UserId, user_id_schema(), |json| Self::from_member(&json), |value| Some(value.as_str().into()));
describe!(Title, title_schema(), |json| Self::from_member(&json), |value| Some(value.as_str().into()));
describe!(Metadata, metadata_schema(), |json| Self::from_member(&json), |value| {
    serde_json::from_str(value.as_json()).ok()
});
