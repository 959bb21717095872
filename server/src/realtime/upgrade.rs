//! From HTTP to WebSocket (RFC 6455, section 4.2).
//!
//! Not poem's own: that takes 128 KiB for the read buffer of every connection, copies a text for every recipient, and has
//! no bound on what waits to be written.

use std::sync::Arc;

use poem::{
    Request, Response,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header},
};
use tokio::sync::oneshot;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{RealtimeLimits, message_budget::MessageBudget, metered::Metered};
use crate::{
    base::error::Cause,
    http::{
        field_error::FieldError,
        listen::{Upgrade, Upgraded},
        problem::{Code, Problem},
    },
};

/// The version of the protocol that there is.
const VERSION: &str = "13";
/// The name of the protocol that is spoken inside it, for clients that offer names.
const SUBPROTOCOL: &str = "parlor.v1";
/// Bytes of a connection's read buffer, taken at once, and bytes gathered before they are written.
const BUFFER: usize = 4 * 1024;
/// Bytes that may wait to be written; writing waits for the peer beyond that.
const MAX_UNWRITTEN: usize = 256 * 1024;

/// The server's half of the handshake: what is asked for is WebSocket, and the value of `Sec-WebSocket-Accept`.
pub(crate) fn handshake(request: &Request) -> Result<HeaderValue, Problem> {
    let headers = request.headers();
    let mut errors = Vec::new();
    let mut demand = |name: HeaderName, holds: bool, detail: &str| {
        if !holds {
            errors.push(FieldError::new(format!("/header/{}", title(&name)), detail));
        }
    };
    demand(header::CONNECTION, has_token(headers, &header::CONNECTION, "upgrade"), "must name upgrade");
    let websocket = request.version() >= Version::HTTP_11 && has_token(headers, &header::UPGRADE, "websocket");
    demand(header::UPGRADE, websocket, "must name websocket, in HTTP/1.1");
    let version = headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == VERSION);
    demand(header::SEC_WEBSOCKET_VERSION, version, "must be 13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).filter(|key| is_nonce(key));
    demand(header::SEC_WEBSOCKET_KEY, key.is_some(), "must be 16 bytes in base64");
    match key {
        Some(key) if errors.is_empty() => Ok(HeaderValue::try_from(derive_accept_key(key)).expect("base64 is visible")),
        _ if version => Err(Problem::invalid(errors)),
        // RFC 6455, section 4.4.
        _ => Err(Problem::invalid(errors).with_header(header::SEC_WEBSOCKET_VERSION, VERSION)),
    }
}

/// The subprotocol that both sides speak (RFC 6455, section 4.2.2): ours, if the client offers it. Of what else it offers
/// nothing is chosen; the connection is the same without one.
pub(crate) fn subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    // Names of subprotocols are compared exactly, unlike the tokens of `Connection`.
    let mut offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let is_offered = offers.any(|value| value.split(',').any(|one| one.trim_matches([' ', '\t']) == SUBPROTOCOL));
    is_offered.then(|| HeaderValue::from_static(SUBPROTOCOL))
}

/// The request's connection as it will be after [`switching_protocols`].
pub(crate) fn take(request: &Request) -> Result<oneshot::Receiver<Upgraded>, Problem> {
    let connection = request.data::<Upgrade>().and_then(Upgrade::take);
    connection.ok_or_else(|| Problem::because(Code::Internal, Cause::new("the connection cannot be taken over")))
}

/// 101, with the subprotocol if one is spoken; the connection is the stream's from then on.
pub(crate) fn switching_protocols(accept: HeaderValue, subprotocol: Option<HeaderValue>) -> Response {
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .finish();
    if let Some(subprotocol) = subprotocol {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

/// The server's end of an upgraded connection.
pub(super) async fn stream(
    upgraded: Upgraded,
    limits: &RealtimeLimits,
    budget: &Arc<MessageBudget>,
) -> WebSocketStream<Metered<Upgraded>> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(MAX_UNWRITTEN)
        .max_message_size(Some(limits.message_bytes))
        .max_frame_size(Some(limits.message_bytes));
    let metered = Metered::new(upgraded, limits, budget);
    WebSocketStream::from_raw_socket(metered, Role::Server, Some(config)).await
}

/// Whether a header of tokens has this one, in any case and among others.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// 16 bytes are 22 digits of base64 and two signs of padding.
fn is_nonce(key: &[u8]) -> bool {
    let digits = |digits: &[u8]| digits.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte));
    key.len() == 24 && digits(&key[..22]) && key.ends_with(b"==")
}

/// A header's name as it is usually written.
fn title(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| match word {
        "websocket" => "WebSocket".to_owned(),
        word => word[..1].to_uppercase() + &word[1..],
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&str, &str)]) -> Result<HeaderValue, Problem> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        handshake(&request.finish())
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_as_there() {
        let accept = asked(&[
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "WebSocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]);
        assert_eq!(accept.unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn each_header_is_demanded() {
        let all = [
            ("Connection", "upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for left_out in 0..all.len() {
            let rest: Vec<_> = (0..all.len()).filter(|index| *index != left_out).map(|index| all[index]).collect();
            assert!(asked(&rest).is_err(), "{}", all[left_out].0);
        }
        for key in ["", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZ!==", "c2hvcnQ="] {
            assert!(asked(&[all[0], all[1], all[2], ("Sec-WebSocket-Key", key)]).is_err(), "{key}");
        }
    }
}
