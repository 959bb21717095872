//! `Idempotency-Key`: one intent, one effect.

use poem::{Request, RequestBody, error::Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

use super::{body::JsonBody, field_error::FieldError, problem::Problem, schema::text_schema};
use crate::{
    base::validation::Violation,
    domain::{Fingerprint, Idempotency, IdempotencyKey},
};

/// The header's name.
const HEADER: &str = "Idempotency-Key";

/// The header as an optional parameter of a handler: its key, if it has one, or what is wrong with it.
#[derive(Debug)]
pub(crate) struct IdempotencyHeader(std::result::Result<Option<IdempotencyKey>, Violation>);

impl IdempotencyHeader {
    /// The request's identity when it has a key, and its body; or everything that is wrong with either.
    pub(crate) fn over<T>(
        self,
        operation: &str,
        body: JsonBody<T>,
    ) -> std::result::Result<(Option<Idempotency>, T), Problem> {
        match self.0 {
            Ok(key) => {
                let idempotency =
                    key.map(|key| Idempotency { key, fingerprint: Fingerprint::of(operation, body.bytes()) });
                Ok((idempotency, body.value()?))
            }
            Err(violation) => {
                let errors = vec![FieldError::at("/header/Idempotency-Key", violation)];
                body.value_after(errors).map(|value| (None, value))
            }
        }
    }

    fn parse(request: &Request) -> std::result::Result<Option<IdempotencyKey>, Violation> {
        let mut values = request.headers().get_all(HEADER).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => IdempotencyKey::new(value.as_bytes()).map(Some),
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
            pattern: Some(IdempotencyKey::PATTERN.to_owned()),
            ..text_schema(IdempotencyKey::MIN_CHARS, IdempotencyKey::MAX_CHARS)
        })))
    }

    async fn from_request(request: &'a Request, _: &mut RequestBody, _: ExtractParamOptions<String>) -> Result<Self> {
        Ok(Self(Self::parse(request)))
    }
}
