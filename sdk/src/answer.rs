//! HTTP responses, and the check that turns every status other than 2xx into an error.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, StatusCode};
use reqwest::Url;

use crate::error::{Error, Refusal};
use crate::headers::{self, X_REQUEST_ID};
use crate::problem::{Code, Problem};
use crate::retry_after::retry_after;

/// Maximum number of body bytes that an error keeps.
const MAX_KEPT_BODY: usize = 16 * 1024;

/// A response whose body has been read, up to a limit.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the body exceeds the limit.
    pub(crate) is_cut: bool,
}

impl Answer {
    /// Returns whether this is a problem document with the code.
    pub(crate) fn says(&self, code: &Code) -> bool {
        problem(self).is_some_and(|problem| problem.code == *code)
    }

    /// Converts a response without a problem document to the part that an error keeps.
    pub(crate) fn into_refusal(self) -> Refusal {
        Refusal {
            status: self.status,
            request_id: headers::text(&self.headers, &X_REQUEST_ID).map(str::to_owned),
            retry_after: None,
            problem: None,
            body: Some(kept(&self.body)).filter(|body| !body.is_empty()),
            headers: self.headers,
        }
    }

    /// Describes status, content type and address, for an error message.
    pub(crate) fn describe(&self, url: &Url) -> String {
        format!("{} {}", self.status, origin(&self.headers, url))
    }
}

/// Returns a 2xx response and converts any other to an error. `now` is the reference for a `Retry-After` date.
pub(crate) fn judge(answer: Answer, url: &Url, now: SystemTime) -> Result<Answer, Error> {
    if answer.status.is_redirection() {
        let message = redirect_message(&answer, url);
        return Err(Error::redirect(message, refusal(answer, now)));
    }
    if !answer.status.is_success() {
        let refusal = refusal(answer, now);
        return Err(Error::status_code(status_message(&refusal, url), refusal));
    }
    if answer.is_cut {
        let message = format!("the response ({}) is larger than {} bytes", answer.describe(url), answer.body.len());
        return Err(Error::too_large(message).in_answer(answer.into_refusal()));
    }
    Ok(answer)
}

fn refusal(answer: Answer, now: SystemTime) -> Refusal {
    let retry_after = retry_after(&answer.headers, now);
    let Some(problem) = problem(&answer) else {
        return Refusal { retry_after, ..answer.into_refusal() };
    };
    let request_id = headers::text(&answer.headers, &X_REQUEST_ID)
        .or(Some(problem.request_id.as_str()).filter(|id| !id.is_empty()))
        .map(str::to_owned);
    let Answer { status, headers, .. } = answer;
    Refusal { status, headers, request_id, retry_after, problem: Some(problem), body: None }
}

fn problem(answer: &Answer) -> Option<Problem> {
    let media_type = headers::text(&answer.headers, &CONTENT_TYPE)?.split(';').next()?.trim();
    if !media_type.eq_ignore_ascii_case("application/problem+json") {
        return None;
    }
    serde_json::from_slice(&answer.body).ok()
}

/// Returns the beginning of a body. A secret cut by the limit is still redacted, because its beginning is recognised.
fn kept(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(MAX_KEPT_BODY)]).into_owned()
}

/// Describes the content type of a response and its address, without user name, password and query.
fn origin(headers: &HeaderMap, url: &Url) -> String {
    let address = without_secrets(url.clone());
    match headers::text(headers, &CONTENT_TYPE) {
        Some(content_type) => format!("with content type {content_type} from {address}"),
        None => format!("without a content type from {address}"),
    }
}

fn status_message(refusal: &Refusal, url: &Url) -> String {
    let Some(problem) = &refusal.problem else {
        let hint = match refusal.status.as_u16() {
            407 => ": the proxy requires credentials; add them to the proxy's address in HTTP_PROXY or HTTPS_PROXY",
            431 => ": the request headers are larger than the server accepts",
            _ => "",
        };
        let origin = origin(&refusal.headers, url);
        return format!("the server responded {} without a problem document, {origin}{hint}", refusal.status);
    };
    let message = format!("{} {}: {}", refusal.status.as_u16(), problem.code, problem.detail);
    if problem.errors.is_empty() {
        return message;
    }
    let fields: Vec<_> = problem.errors.iter().map(|field| format!("{}: {}", field.pointer, field.detail)).collect();
    format!("{message} [{}]", fields.join("; "))
}

fn redirect_message(answer: &Answer, url: &Url) -> String {
    let target = headers::text(&answer.headers, &LOCATION)
        .and_then(|location| url.join(location).ok())
        .map(|location| format!(" to {}", without_secrets(location)))
        .unwrap_or_default();
    format!(
        "the server responded {} with a redirect{target}, which is not followed because that could drop the request \
         body or send the API key to another host: use the final address as the base URL",
        answer.status.as_u16()
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

    fn answer(status: u16, headers: &[(HeaderName, &str)], body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            is_cut: false,
        }
    }

    fn judged(answer: Answer) -> Error {
        judge(answer, &Url::parse("https://example.com/api/v1/chats/").unwrap(), SystemTime::UNIX_EPOCH).unwrap_err()
    }

    #[test]
    fn a_problem_is_recognised_by_its_media_type() {
        let body = r#"{"code":"unavailable","detail":"Later.","request_id":"r"}"#;
        for media_type in ["application/problem+json", "Application/Problem+JSON; charset=utf-8"] {
            let error = judged(answer(503, &[(CONTENT_TYPE, media_type)], body));
            assert_eq!(error.problem().unwrap().detail, "Later.");
            assert_eq!((error.request_id(), error.body()), (Some("r"), None));
        }
        let error = judged(answer(503, &[(CONTENT_TYPE, "application/json")], body));
        assert!(error.problem().is_none());
        assert_eq!(error.body(), Some(body));
    }

    #[test]
    fn a_body_that_only_claims_to_be_a_problem_is_kept_as_it_is() {
        let error = judged(answer(500, &[(CONTENT_TYPE, "application/problem+json")], "oops"));
        assert_eq!((error.code(), error.body()), (None, Some("oops")));
    }

    #[test]
    fn the_header_has_the_request_id_in_preference_to_the_problem() {
        let headers = [(CONTENT_TYPE, "application/problem+json"), (X_REQUEST_ID, "header")];
        assert_eq!(judged(answer(500, &headers, r#"{"request_id":"body"}"#)).request_id(), Some("header"));
    }

    #[test]
    fn every_refused_field_is_in_the_message() {
        let body = r#"{"code":"invalid_request","detail":"No.","errors":[
            {"pointer":"/user_id","detail":"is required"},{"pointer":"/title","detail":"is empty"}]}"#;
        let error = judged(answer(400, &[(CONTENT_TYPE, "application/problem+json")], body));
        assert_eq!(error.to_string(), "400 invalid_request: No. [/user_id: is required; /title: is empty]");
    }

    #[test]
    fn the_kept_body_is_bounded() {
        let error = judged(answer(502, &[], &"é".repeat(20_000)));
        let body = error.body().unwrap();
        assert!(body.len() <= MAX_KEPT_BODY + 3 && body.starts_with('é'), "{}", body.len());
    }

    #[test]
    fn where_a_redirect_leads_is_told_without_its_secrets() {
        let location = "https://user:hunter2@other.example/path?token=hunter2#hunter2";
        let error = judged(answer(302, &[(LOCATION, location)], ""));
        assert!(error.to_string().contains("https://other.example/path,"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        let relative = judged(answer(308, &[(LOCATION, "/elsewhere")], ""));
        assert!(relative.to_string().contains("https://example.com/elsewhere,"), "{relative}");
    }

    #[test]
    fn only_a_redirect_that_repeats_the_request_elsewhere_has_surely_done_nothing() {
        for (status, maybe) in [(301, true), (302, true), (303, true), (307, false), (308, false)] {
            let error = judged(answer(status, &[], ""));
            assert_eq!(error.was_maybe_processed(), maybe, "{status}");
            assert!(!error.is_retryable(), "{status}");
        }
    }
}
