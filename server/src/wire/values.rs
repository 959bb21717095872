//! How the domain's value types read from JSON and look in the document. Their bounds are written once, in the domain;
//! the schema and the check both take them from there.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{Serialize, Serializer};
use serde_json::{Value, value::RawValue};
use uuid::{Uuid, fmt::Hyphenated};

use super::date_time;
use crate::{
    base::validation::Violation,
    domain::{
        ClientMessageId, Content, FinishReason, MediaType, MediaUrl, Metadata, MetadataPatch, Role, Status, Ticket,
        Title, UserId,
    },
    http::{
        path::FromPath,
        problem::Code,
        schema::{FromMember, FromParameter, Integer, describe, text, text_schema},
    },
};

/// How many of something there are, or come before something.
pub(crate) type Count = Integer<0>;

impl FromPath for UserId {
    const NOT_FOUND: Code = Code::UserNotFound;
}

/// A chat's id in a path.
pub(crate) struct ChatId(pub(crate) Uuid);

impl FromParameter for ChatId {
    fn schema() -> MetaSchema {
        MetaSchema::new_with_format("string", "uuid")
    }

    fn from_parameter(text: &str) -> Result<Self, Violation> {
        // The hyphenated form only: one chat has one path.
        let id = Uuid::try_parse(text).ok().filter(|_| text.len() == Hyphenated::LENGTH);
        id.map(Self).ok_or_else(|| Violation::new("must be a UUID"))
    }
}

impl FromPath for ChatId {
    const NOT_FOUND: Code = Code::ChatNotFound;
}

impl FromMember for MetadataPatch {
    fn from_member(json: &RawValue) -> Result<Self, Violation> {
        Self::new(json)
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
pub(crate) struct Nullable<T>(pub(crate) Option<T>);

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

fn metadata_schema() -> MetaSchema {
    MetaSchema {
        additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)))),
        ..MetaSchema::new("object")
    }
}

/// A moment on the wire: RFC 3339, UTC with the suffix `Z`, at most microseconds.
#[derive(Debug)]
pub(crate) struct Timestamp(pub(crate) DateTime<Utc>);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As chrono would, but not character by character.
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl FromParameter for Timestamp {
    fn schema() -> MetaSchema {
        MetaSchema::new_with_format("string", "date-time")
    }

    fn from_parameter(text: &str) -> Result<Self, Violation> {
        let moment = date_time::parse(text);
        let moment = moment.ok_or_else(|| Violation::new("must be a date-time such as 2024-01-15T10:30:00Z"))?;
        Ok(Self(moment.to_utc()))
    }
}

impl FromMember for Timestamp {
    fn from_member(json: &RawValue) -> Result<Self, Violation> {
        Self::from_parameter(&text(json)?)
    }
}

describe!(Timestamp, Self::schema(), |json| Self::from_member(&json), |value| serde_json::to_value(value).ok());
describe!(Metadata, metadata_schema(), |json| Self::from_member(&json), |value| {
    serde_json::from_str(value.as_json()).ok()
});
describe!(MetadataPatch, metadata_schema(), |json| Self::from_member(&json), |value| {
    serde_json::from_str(value.as_json()).ok()
});

/// The schema of a ticket.
pub(crate) fn ticket_schema() -> MetaSchema {
    MetaSchema { pattern: Some(Ticket::PATTERN.to_owned()), ..text_schema(Ticket::CHARS, Ticket::CHARS) }
}

/// A ticket in the answer that hands it out; elsewhere it is not shown.
#[derive(Debug)]
pub(crate) struct RevealedTicket(pub(crate) Ticket);

impl Serialize for RevealedTicket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.reveal())
    }
}

impl FromMember for RevealedTicket {
    fn from_member(json: &RawValue) -> Result<Self, Violation> {
        Ticket::presented(&text(json)?).map(Self).ok_or_else(|| Violation::new("must be a ticket"))
    }
}

describe!(RevealedTicket, ticket_schema(), |json| Self::from_member(&json), |value| serde_json::to_value(value).ok());

/// A value that is checked text, with the bounds that its type has. Text in all scripts has no pattern: engines read one in
/// different ways.
macro_rules! describe_text {
    ($($type:ty $(: $pattern:expr)?),+) => {
        $(impl FromParameter for $type {
            fn schema() -> MetaSchema {
                MetaSchema {
                    $(pattern: Some($pattern.to_owned()),)?
                    ..text_schema(<$type>::MIN_CHARS, <$type>::MAX_CHARS)
                }
            }

            fn from_parameter(text: &str) -> Result<Self, Violation> {
                Self::new(text.to_owned())
            }
        }

        impl FromMember for $type {
            fn from_member(json: &RawValue) -> Result<Self, Violation> {
                Self::new(text(json)?)
            }
        }

        describe!($type, <$type>::schema(), |json| Self::from_member(&json), |value| Some(value.as_str().into()));)+
    };
}

describe_text!(
    UserId,
    Title,
    Content,
    ClientMessageId,
    MediaType: MediaType::PATTERN,
    MediaUrl: MediaUrl::PATTERN
);

/// A parameter that is one of a few words.
macro_rules! parameter_words {
    ($type:ty: $($word:literal => $variant:path),+) => {
        impl FromParameter for $type {
            fn schema() -> MetaSchema {
                MetaSchema { enum_items: vec![$($word.into()),+], ..MetaSchema::new("string") }
            }

            fn from_parameter(text: &str) -> Result<Self, Violation> {
                match text {
                    $($word => Ok($variant),)+
                    _ => Err(Violation::new(format!("must be one of {}", [$($word),+].join(", ")))),
                }
            }
        }
    };
}

pub(crate) use parameter_words;

/// A parameter or a member that is one of a few words.
macro_rules! describe_words {
    ($type:ty: $($word:literal => $variant:path),+) => {
        parameter_words!($type: $($word => $variant),+);

        impl FromMember for $type {
            fn from_member(json: &RawValue) -> Result<Self, Violation> {
                Self::from_parameter(&text(json)?)
            }
        }

        describe!($type, <$type>::schema(), |json| Self::from_member(&json), |value| {
            serde_json::to_value(value).ok()
        });
    };
}

describe_words!(Status: "active" => Status::Active, "closed" => Status::Closed);
describe_words!(Role: "user" => Role::User, "assistant" => Role::Assistant);
describe_words!(FinishReason: "stop" => FinishReason::Stop, "length" => FinishReason::Length,
    "cancelled" => FinishReason::Cancelled, "interrupted" => FinishReason::Interrupted, "error" => FinishReason::Error);

/// An example of a schema, out of JSON.
pub(crate) fn example<T: ParseFromJSON>(json: serde_json::Value) -> T {
    T::parse_from_json(Some(json)).unwrap_or_else(|error| panic!("an example breaks a rule: {}", error.into_message()))
}
