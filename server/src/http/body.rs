//! JSON in and out.
//!
//! A request body is read once, as bytes; its members are cut out as raw JSON and each is parsed and checked by the type
//! of its field. So types are strict (a number is not a string), nothing is coerced, unknown and repeated members are
//! refused, and one answer names everything that is wrong.

use std::{borrow::Cow, mem, pin::pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use poem::{
    Body, IntoResponse, Request, RequestBody, Response,
    error::Result,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions,
    payload::Payload,
    registry::{MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::{
    body_time::BodyTime,
    field_error::FieldError,
    limits::HttpLimits,
    listen::ConnectionState,
    problem::{Code, Problem, request_id_header},
    schema::FromMember,
};
use crate::{
    base::{
        error::Cause,
        validation::{Violation, pointer_step},
    },
    domain::{Names, RawObject},
};

/// The media type of JSON (RFC 8259).
const CONTENT_TYPE: &str = "application/json";
/// The media type of a merge patch (RFC 7396).
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
/// Room for an ordinary answer, so that its buffer need not grow by doubling.
const ORDINARY_BYTES: usize = 1_024;

/// A request body: a JSON object with known members.
pub(crate) trait FromMembers: Type + Sized {
    /// Further media types under which a body may be sent, beside `application/json`. The document names `application/json`
    /// alone, since generators make code of two that does not compile; the operation's description names the others.
    const OTHER_MEDIA_TYPES: &'static [&'static str] = &[];

    /// Bytes at most in the body.
    fn max_bytes(limits: &HttpLimits) -> usize {
        limits.body_bytes
    }

    /// Takes every member it knows; [`Members`] gathers what is wrong.
    fn from_members(members: &mut Members<'_>) -> Option<Self>;
}

/// A request body as a handler takes it: the value or what is wrong with it, and the bytes it was read from.
#[derive(Debug)]
pub(crate) struct JsonBody<T> {
    value: std::result::Result<T, Vec<FieldError>>,
    bytes: Bytes,
}

impl<T> JsonBody<T> {
    /// The body as it came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value, or everything that is wrong: with the request's headers, as the caller found, and with the body.
    pub(crate) fn value_after(self, mut errors: Vec<FieldError>) -> std::result::Result<T, Problem> {
        match self.value {
            Ok(value) if errors.is_empty() => Ok(value),
            Ok(_) => Err(Problem::invalid(errors)),
            Err(more) => {
                errors.extend(more);
                Err(Problem::invalid(errors))
            }
        }
    }

    /// The value, or everything that is wrong with it.
    pub(crate) fn value(self) -> std::result::Result<T, Problem> {
        self.value_after(Vec::new())
    }
}

impl<T: FromMembers> JsonBody<T> {
    async fn read(request: &Request, body: &mut RequestBody) -> std::result::Result<Self, Problem> {
        check_media_type(request, T::OTHER_MEDIA_TYPES)?;
        let bytes = read_bytes(request, body, T::max_bytes).await?;
        Ok(Self { value: parse(&bytes), bytes })
    }
}

impl<'a, T: FromMembers> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: CONTENT_TYPE, schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(request: &'a Request, body: &mut RequestBody, _: ExtractParamOptions<()>) -> Result<Self> {
        Ok(Self::read(request, body).await?)
    }
}

/// Takes `application/json` and `others`, in UTF-8 if a charset is given.
fn check_media_type(request: &Request, others: &[&str]) -> std::result::Result<(), Problem> {
    let mut declared = request.headers().get_all(header::CONTENT_TYPE).iter();
    let (Some(declared), None) = (declared.next(), declared.next()) else {
        return Err(Problem::new(Code::UnsupportedMediaType));
    };
    let declared = declared.to_str().unwrap_or_default();
    let mut parts = declared.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|essence| {
        [CONTENT_TYPE].iter().chain(others).any(|media_type| essence.eq_ignore_ascii_case(media_type))
    });
    let is_utf8 = parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if is_json && is_utf8 { Ok(()) } else { Err(Problem::new(Code::UnsupportedMediaType)) }
}

async fn read_bytes(
    request: &Request,
    body: &mut RequestBody,
    max_bytes: fn(&HttpLimits) -> usize,
) -> std::result::Result<Bytes, Problem> {
    let limits = request.data::<Arc<HttpLimits>>();
    let limits = limits.ok_or_else(|| Problem::because(Code::Internal, Cause::new("a request came without limits")))?;
    let limit = max_bytes(limits);
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    // Before the body is read: an honest client learns it at once.
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large(limit));
    }
    let body = body.take().map_err(|error| Problem::because(Code::Internal, Cause::new(error.to_string())))?;
    // Absent when there is nothing to wait for.
    let connection = request.data::<Arc<ConnectionState>>();
    let _reading = connection.map(|connection| connection.reading_body());
    let bytes = gather(body, limit, BodyTime::start(limits, Instant::now())).await?;
    if let Some(connection) = connection {
        connection.set_unread_body(false);
    }
    Ok(bytes)
}

fn too_large(limit: usize) -> Problem {
    Problem::detailed(Code::PayloadTooLarge, format!("The body must have at most {limit} bytes."))
}

/// Puts the pieces of a body together. Most have one, which is not copied.
async fn gather(body: Body, limit: usize, mut time: BodyTime) -> std::result::Result<Bytes, Problem> {
    let mut pieces = pin!(body.into_bytes_stream());
    let mut first = Bytes::new();
    let mut gathered = BytesMut::new();
    while let Some(piece) = timeout_at(time.deadline(), pieces.next()).await.map_err(|_| time.exceeded())? {
        let piece = piece.map_err(|_| Problem::invalid(vec![FieldError::new("", "ended before it was complete")]))?;
        if first.len() + gathered.len() + piece.len() > limit {
            return Err(too_large(limit));
        }
        time.arrived(piece.len(), Instant::now());
        if first.is_empty() && gathered.is_empty() {
            first = piece;
        } else {
            gathered.extend_from_slice(&mem::take(&mut first));
            gathered.extend_from_slice(&piece);
        }
    }
    Ok(if gathered.is_empty() { first } else { gathered.freeze() })
}

/// Reads a JSON object, or says everything that is wrong with it.
pub(crate) fn parse<T: FromMembers>(bytes: &[u8]) -> std::result::Result<T, Vec<FieldError>> {
    let whole = |detail: Cow<'static, str>| vec![FieldError::new("", detail)];
    if bytes.is_empty() {
        return Err(whole("is missing".into()));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| whole(format!("is not UTF-8 at byte {}", error.valid_up_to()).into()))?;
    let object = serde_json::from_str(text).map_err(|_| vec![no_object(text)])?;
    let mut members = Members::of(object);
    let value = T::from_members(&mut members);
    let errors = members.finish();
    match value {
        Some(value) if errors.is_empty() => Ok(value),
        _ => Err(errors),
    }
}

/// Why `text` is no JSON object whose members can be told apart.
fn no_object(text: &str) -> FieldError {
    match serde_json::from_str::<&RawValue>(text) {
        Err(error) => {
            let place = format!("is not valid JSON at line {}, column {}", error.line(), error.column());
            FieldError::new("", place)
        }
        Ok(raw) if !raw.get().starts_with('{') => FieldError::new("", "must be an object"),
        Ok(_) => FieldError::new("", "has a member name that is not Unicode text"),
    }
}

/// The members of a body, taken one by one.
pub(crate) struct Members<'a> {
    left: Vec<(Cow<'a, str>, &'a RawValue)>,
    errors: Vec<FieldError>,
}

impl Members<'_> {
    /// A member that must be there.
    pub(crate) fn required<T: FromMember>(&mut self, name: &'static str) -> Option<T> {
        match self.take(name) {
            Some(json) => self.check(name, T::from_member(json)),
            None => {
                self.errors.push(FieldError::new(format!("/{name}"), "is required"));
                None
            }
        }
    }

    /// A member that may be absent or `null`, which mean the same. The outer `None`: it is there and wrong.
    #[expect(clippy::option_option, reason = "wrong, absent and given are three things")]
    pub(crate) fn optional<T: FromMember>(&mut self, name: &'static str) -> Option<Option<T>> {
        match self.take(name) {
            Some(json) if json.get() != "null" => self.check(name, T::from_member(json)).map(Some),
            _ => Some(None),
        }
    }

    fn check<T>(&mut self, name: &str, outcome: std::result::Result<T, Violation>) -> Option<T> {
        outcome.map_err(|violation| self.errors.push(FieldError::at(&format!("/{name}"), violation))).ok()
    }

    fn finish(mut self) -> Vec<FieldError> {
        for (name, _) in self.left {
            self.errors.push(FieldError::new(pointer_step(&name), "is not a known member"));
        }
        self.errors
    }
}

impl<'a> Members<'a> {
    fn of(object: RawObject<'a>) -> Self {
        let mut members = Self { left: Vec::new(), errors: Vec::new() };
        let mut seen = Names::default();
        for (name, json) in object.0 {
            if seen.contain(&name) {
                members.errors.push(FieldError::new(pointer_step(&name), "is given twice"));
            } else {
                seen.add(name.clone());
                members.left.push((name, json));
            }
        }
        members
    }

    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let place = self.left.iter().position(|(member, _)| member == name)?;
        Some(self.left.remove(place).1)
    }
}

/// A JSON answer.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Type> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// 200 with a JSON body.
impl<T: Type> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Done.",
                status: Some(StatusCode::OK.as_u16()),
                status_range: None,
                content: vec![MetaMediaType { content_type: CONTENT_TYPE, schema: T::schema_ref() }],
                headers: vec![request_id_header()],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// An answer that is larger keeps no spare room in its buffer.
const LARGE_BYTES: usize = 16 * 1_024;

impl<T: Serialize + Send> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(ORDINARY_BYTES);
        match serde_json::to_writer(&mut body, &self.0) {
            Ok(()) => {
                // A large one may wait for a slow peer for a while.
                if body.capacity() > LARGE_BYTES {
                    body.shrink_to_fit();
                }
                Response::builder().content_type(CONTENT_TYPE).body(body)
            }
            Err(error) => Problem::because(Code::Internal, Cause::new(error)).into_response(),
        }
    }
}
