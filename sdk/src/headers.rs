//! Request headers: those that an application adds, and those reserved for the SDK.

use std::fmt;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of the message or the connection, which the SDK controls.
const RESERVED: [HeaderName; 11] = [
    ACCEPT,
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Parses a header from the application. The error does not contain the value, which may be a secret.
pub(crate) fn parse(
    name: impl TryInto<HeaderName>,
    value: impl TryInto<HeaderValue>,
) -> Result<(HeaderName, HeaderValue), String> {
    let name: HeaderName = name.try_into().map_err(|_| "a header name is not valid".to_owned())?;
    let value = value.try_into().map_err(|_| format!("the value of the header `{name}` is not valid"))?;
    match alternative(&name) {
        Some(instead) => Err(format!("the header `{name}` is set by the SDK: {instead}")),
        None => Ok((name, value)),
    }
}

/// Returns the alternative to setting this header; none if it may be set.
fn alternative(name: &HeaderName) -> Option<&'static str> {
    if name == X_API_KEY {
        Some("pass the key to Client::new or Client::builder")
    } else if name == IDEMPOTENCY_KEY {
        Some("use Call::idempotency_key")
    } else if name == USER_AGENT {
        Some("use ClientBuilder::user_agent")
    } else if RESERVED.contains(name) {
        Some("it is derived from the request")
    } else {
        None
    }
}

/// Returns the text of a header; none if it is absent or not ASCII.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Prints header names only, because any value may be a secret.
pub(crate) struct HeaderNames<'a>(pub(crate) &'a HeaderMap);

impl fmt::Debug for HeaderNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys().map(HeaderName::as_str)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_the_application_is_accepted() {
        let (name, value) = parse("X-Request-Id", "r-1").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-request-id", "r-1"));
    }

    #[test]
    fn reserved_headers_are_rejected_with_advice() {
        for (name, instead) in [
            ("X-API-Key", "Client::builder"),
            ("Idempotency-Key", "Call::idempotency_key"),
            ("User-Agent", "ClientBuilder::user_agent"),
            ("Content-Type", "derived from the request"),
            ("Host", "derived from the request"),
        ] {
            let message = parse(name, "x").unwrap_err();
            assert!(message.contains(instead), "{message}");
        }
    }

    #[test]
    fn an_invalid_value_is_not_in_the_error() {
        let message = parse("Authorization", "secret\n").unwrap_err();
        assert!(message.contains("authorization") && !message.contains("secret"), "{message}");
        assert!(parse("no name", "x").is_err());
    }
}
