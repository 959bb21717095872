//! HTTP responses, and the check that turns every status other than 2xx into an error.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, StatusCode};
use reqwest::Url;

use crate::error::{Error, ErrorResponse};
use crate::headers::{self, X_REQUEST_ID};
use crate::problem::{Code, Problem};
use crate::retry_after::retry_after;

/// Maximum number of body bytes that an error keeps.
const MAX_BODY_EXCERPT: usize = 16 * 1024;

/// A response whose body has been read, up to a limit.
#[derive(Debug)]
pub(crate) struct RawResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the body exceeds the limit.
    pub(crate) is_truncated: bool,
}

impl RawResponse {
    /// Returns whether this is a problem document with the code.
    pub(crate) fn has_problem_code(&self, code: &Code) -> bool {
        parse_problem(self).is_some_and(|problem| problem.code == *code)
    }

    /// Converts a response without a problem document to the part that an error keeps.
    pub(crate) fn into_error_response(self) -> ErrorResponse {
        ErrorResponse {
            status: self.status,
            request_id: headers::text(&self.headers, &X_REQUEST_ID).map(str::to_owned),
            retry_after: None,
            problem: None,
            body: Some(body_excerpt(&self.body)).filter(|body| !body.is_empty()),
            headers: self.headers,
        }
    }

    /// Describes status, content type and address, for an error message.
    pub(crate) fn describe(&self, url: &Url) -> String {
        format!("{} {}", self.status, describe_origin(&self.headers, url))
    }
}

/// Returns a 2xx response and converts any other to an error. `now` is the reference for a `Retry-After` date.
pub(crate) fn check_status(response: RawResponse, url: &Url, now: SystemTime) -> Result<RawResponse, Error> {
    if response.status.is_redirection() {
        let message = redirect_message(&response, url);
        return Err(Error::redirect(message, error_response(response, now)));
    }
    if !response.status.is_success() {
        let response = error_response(response, now);
        return Err(Error::status_code(status_message(&response, url), response));
    }
    if response.is_truncated {
        let message = format!("the response ({}) is larger than {} bytes", response.describe(url), response.body.len());
        return Err(Error::too_large(message).with_response_details(response.into_error_response()));
    }
    Ok(response)
}

fn error_response(response: RawResponse, now: SystemTime) -> ErrorResponse {
    let retry_after = retry_after(&response.headers, now);
    let Some(problem) = parse_problem(&response) else {
        return ErrorResponse { retry_after, ..response.into_error_response() };
    };
    let request_id = headers::text(&response.headers, &X_REQUEST_ID)
        .or(Some(problem.request_id.as_str()).filter(|id| !id.is_empty()))
        .map(str::to_owned);
    let RawResponse { status, headers, .. } = response;
    ErrorResponse { status, headers, request_id, retry_after, problem: Some(problem), body: None }
}

fn parse_problem(response: &RawResponse) -> Option<Problem> {
    let media_type = headers::text(&response.headers, &CONTENT_TYPE)?.split(';').next()?.trim();
    if !media_type.eq_ignore_ascii_case("application/problem+json") {
        return None;
    }
    serde_json::from_slice(&response.body).ok()
}

/// Returns the beginning of a body. A secret cut by the limit is still redacted, because its beginning is recognised.
fn body_excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(MAX_BODY_EXCERPT)]).into_owned()
}

/// Describes the content type of a response and its address, without user name, password and query.
fn describe_origin(headers: &HeaderMap, url: &Url) -> String {
    let address = without_secrets(url.clone());
    match headers::text(headers, &CONTENT_TYPE) {
        Some(content_type) => format!("with content type {content_type} from {address}"),
        None => format!("without a content type from {address}"),
    }
}

fn status_message(response: &ErrorResponse, url: &Url) -> String {
    let Some(problem) = &response.problem else {
        let hint = match response.status.as_u16() {
            407 => ": the proxy requires credentials; add them to the proxy's address in HTTP_PROXY or HTTPS_PROXY",
            431 => ": the request headers are larger than the server accepts",
            _ => "",
        };
        let origin = describe_origin(&response.headers, url);
        return format!("the server responded {} without a problem document, {origin}{hint}", response.status);
    };
    let message = format!("{} {}: {}", response.status.as_u16(), problem.code, problem.detail);
    if problem.errors.is_empty() {
        return message;
    }
    let fields: Vec<_> = problem.errors.iter().map(|field| format!("{}: {}", field.pointer, field.detail)).collect();
    format!("{message} [{}]", fields.join("; "))
}

fn redirect_message(response: &RawResponse, url: &Url) -> String {
    let target = headers::text(&response.headers, &LOCATION)
        .and_then(|location| url.join(location).ok())
        .map(|location| format!(" to {}", without_secrets(location)))
        .unwrap_or_default();
    format!(
        "the server responded {} with a redirect{target}, which is not followed because that could drop the request \
         body or send the API key to another host: use the final address as the base URL",
        response.status.as_u16()
    )
}

/// Removes credentials, query and fragment, any of which may hold a secret.
fn without_secrets(mut url: Url) -> Url {
    // Both fail only for URLs that cannot have a user name, and therefore have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn response(status: u16, headers: &[(HeaderName, &str)], body: &str) -> RawResponse {
        RawResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            is_truncated: false,
        }
    }

    fn error_of(response: RawResponse) -> Error {
        check_status(response, &Url::parse("https://example.com/api/v1/chats/").unwrap(), SystemTime::UNIX_EPOCH)
            .unwrap_err()
    }

    #[test]
    fn a_problem_is_recognised_by_its_media_type() {
        let body = r#"{"code":"unavailable","detail":"Later.","request_id":"r"}"#;
        for media_type in ["application/problem+json", "Application/Problem+JSON; charset=utf-8"] {
            let error = error_of(response(503, &[(CONTENT_TYPE, media_type)], body));
            assert_eq!(error.problem().unwrap().detail, "Later.");
            assert_eq!((error.request_id(), error.body()), (Some("r"), None));
        }
        let error = error_of(response(503, &[(CONTENT_TYPE, "application/json")], body));
        assert!(error.problem().is_none());
        assert_eq!(error.body(), Some(body));
    }

    #[test]
    fn an_invalid_problem_document_is_kept_as_a_body() {
        let error = error_of(response(500, &[(CONTENT_TYPE, "application/problem+json")], "oops"));
        assert_eq!((error.code(), error.body()), (None, Some("oops")));
    }

    #[test]
    fn the_request_id_of_the_header_has_precedence() {
        let headers = [(CONTENT_TYPE, "application/problem+json"), (X_REQUEST_ID, "header")];
        assert_eq!(error_of(response(500, &headers, r#"{"request_id":"body"}"#)).request_id(), Some("header"));
    }

    #[test]
    fn every_invalid_field_is_in_the_message() {
        let body = r#"{"code":"invalid_request","detail":"No.","errors":[
            {"pointer":"/user_id","detail":"is required"},{"pointer":"/title","detail":"is empty"}]}"#;
        let error = error_of(response(400, &[(CONTENT_TYPE, "application/problem+json")], body));
        assert_eq!(error.to_string(), "400 invalid_request: No. [/user_id: is required; /title: is empty]");
    }

    #[test]
    fn the_kept_body_is_bounded() {
        let error = error_of(response(502, &[], &"é".repeat(20_000)));
        let body = error.body().unwrap();
        assert!(body.len() <= MAX_BODY_EXCERPT + 3 && body.starts_with('é'), "{}", body.len());
    }

    #[test]
    fn the_target_of_a_redirect_is_printed_without_secrets() {
        let location = "https://user:hunter2@other.example/path?token=hunter2#hunter2";
        let error = error_of(response(302, &[(LOCATION, location)], ""));
        assert!(error.to_string().contains("https://other.example/path,"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        let relative = error_of(response(308, &[(LOCATION, "/elsewhere")], ""));
        assert!(relative.to_string().contains("https://example.com/elsewhere,"), "{relative}");
    }

    #[test]
    fn only_307_and_308_are_certainly_not_processed() {
        for (status, maybe) in [(301, true), (302, true), (303, true), (307, false), (308, false)] {
            let error = error_of(response(status, &[], ""));
            assert_eq!(error.was_maybe_processed(), maybe, "{status}");
            assert!(!error.is_retryable(), "{status}");
        }
    }
}
