//! Successful answers that have more to say than their body.

use poem::{
    IntoResponse, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    payload::Payload as _,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

use super::{
    body::Json,
    problem::{constant, request_id_header, response_header},
    schema::Text,
};

/// Set on an answer that repeats an earlier one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const TRUE: &str = "true";
/// Keeps an answer out of caches.
const NO_STORE: &str = "no-store";
/// The path of a new resource.
type Location = Text<255>;

/// 201 for a secret that is shown this once and must not be kept on the way.
#[derive(Debug)]
pub(crate) struct Issued<T>(Json<T>);

impl<T> Issued<T> {
    /// `body` holds the secret.
    pub(crate) fn new(body: T) -> Self {
        Self(Json(body))
    }
}

impl<T: Serialize + Send> IntoResponse for Issued<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        if response.status().is_success() {
            response.set_status(StatusCode::CREATED);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
        }
        response
    }
}

impl<T: Type + Serialize> ApiResponse for Issued<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Created. This answer is not given again.",
                status: Some(StatusCode::CREATED.as_u16()),
                status_range: None,
                content: vec![MetaMediaType { content_type: Json::<T>::CONTENT_TYPE, schema: T::schema_ref() }],
                headers: vec![
                    response_header("Cache-Control", "`no-store`: what is in the body is secret.", constant(NO_STORE)),
                    request_id_header(),
                ],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// 201, with `Location` where the new resource has a path of its own.
#[derive(Debug)]
pub(crate) struct Created<T> {
    body: Json<T>,
    location: Option<Location>,
    replayed: bool,
}

impl<T> Created<T> {
    /// `body` is the new resource.
    pub(crate) fn new(body: T, replayed: bool) -> Self {
        Self { body: Json(body), location: None, replayed }
    }

    /// It is found at the path `location`.
    pub(crate) fn at(self, location: String) -> Self {
        Self { location: Location::new(location).ok(), ..self }
    }
}

impl<T: Serialize + Send> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = self.body.into_response();
        if !response.status().is_success() {
            return response;
        }
        response.set_status(StatusCode::CREATED);
        // A path of ours is visible ASCII; a header that could not be set would be a missing hint, not a wrong answer.
        if let Some(Ok(location)) = self.location.map(|location| HeaderValue::from_str(location.as_str())) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static(TRUE));
        }
        response
    }
}

impl<T: Type + Serialize> ApiResponse for Created<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Created. A repetition under the same `Idempotency-Key` gets this answer again.",
                status: Some(StatusCode::CREATED.as_u16()),
                status_range: None,
                content: vec![MetaMediaType { content_type: Json::<T>::CONTENT_TYPE, schema: T::schema_ref() }],
                headers: vec![
                    response_header("Location", "The path of the new resource, if it has one.", Location::schema()),
                    response_header(
                        "Idempotency-Replayed",
                        "`true` when this answer repeats an earlier one.",
                        constant(TRUE),
                    ),
                    request_id_header(),
                ],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}
