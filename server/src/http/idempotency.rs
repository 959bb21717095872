//! `Idempotency-Key`: one intent, one effect.

use poem::{Request, RequestBody, error::Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

use super::{
    body::JsonBody,
    problem::{FieldError, Problem},
};
use crate::chat::{Fingerprint, Idempotency, IdempotencyKey, Violation};

/// The header's name.
const HEADER: &str = "Idempotency-Key";

/// The header as an optional parameter of a handler.
#[derive(Debug)]
pub(crate) struct IdempotencyHeader(Option<IdempotencyKey>);

impl IdempotencyHeader {
    /// The request's identity, when it has a key.
    pub(crate) fn over<T>(self, operation: &str, body: &JsonBody<T>) -> Option<Idempotency> {
        let fingerprint = |key| Idempotency { key, fingerprint: Fingerprint::of(operation, body.bytes()) };
        self.0.map(fingerprint)
    }

    fn parse(request: &Request) -> std::result::Result<Self, Violation> {
        let mut values = request.headers().get_all(HEADER).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(value), None) => IdempotencyKey::new(value.as_bytes()).map(|key| Self(Some(key))),
            (Some(_), Some(_)) => Err(Violation::new("must be given once")),
        }
    }
}

impl<'a> ApiExtractor<'a> for IdempotencyHeader {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(IdempotencyKey::MIN_CHARS),
            max_length: Some(IdempotencyKey::MAX_CHARS),
            pattern: Some(IdempotencyKey::PATTERN.to_owned()),
            ..MetaSchema::new("string")
        })))
    }

    async fn from_request(request: &'a Request, _: &mut RequestBody, _: ExtractParamOptions<String>) -> Result<Self> {
        let parsed = Self::parse(request);
        Ok(parsed.map_err(|violation| Problem::invalid(vec![FieldError::at("/header/Idempotency-Key", violation)]))?)
    }
}
