//! The WebSocket handshake (RFC 6455, section 4.1), up to the server's first event.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use uuid::Uuid;

use crate::client::{ClientInner, ClientSettings};
use crate::error::Error;
use crate::headers::X_API_KEY;
use crate::operation::CONNECT;
use crate::path_and_query::Query;
use crate::raw_response;
use crate::realtime::event::{Connected, Event};
use crate::realtime::socket::{Incoming, Socket};
use crate::redact::Secrets;
use crate::transport::{Request, Upgrade};

const X_CHAT_ID: HeaderName = HeaderName::from_static("x-chat-id");
const X_USER_ID: HeaderName = HeaderName::from_static("x-user-id");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// The user and chat of a session.
#[derive(Clone, Debug)]
pub(crate) struct Participant {
    pub(crate) chat_id: Uuid,
    pub(crate) user_id: String,
}

impl Participant {
    /// Returns none if the user id must be sent in the query: headers have no standard encoding for non-ASCII text, and
    /// surrounding white space is not part of the value (RFC 9110, section 5.5).
    fn user_header(&self) -> Option<HeaderValue> {
        let is_plain = self.user_id.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let is_whole = !self.user_id.is_empty() && self.user_id.trim() == self.user_id;
        HeaderValue::from_str(&self.user_id).ok().filter(|_| is_plain && is_whole)
    }

    fn query(&self, after_seq: Option<u64>) -> Query {
        let mut query = Query::default();
        if self.user_header().is_none() {
            query.set("user_id", self.user_id.clone());
        }
        if let Some(seq) = after_seq {
            query.set("after_seq", seq.to_string());
        }
        query
    }

    fn headers(&self, settings: &ClientSettings, key: &str) -> HeaderMap {
        let mut headers = settings.headers.clone();
        // The SDK supports no extensions or subprotocols, so it must not offer any.
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_str(key).expect("base64 is a header value"));
        headers.insert(X_API_KEY, settings.api_key.header_value());
        headers.remove(X_USER_ID);
        headers.extend(self.user_header().map(|user_id| (X_USER_ID, user_id)));
        headers.insert(X_CHAT_ID, HeaderValue::from_str(&self.chat_id.to_string()).expect("an id is a header value"));
        headers
    }
}

/// Opens a connection and waits for the server's first event. Errors are redacted.
pub(crate) async fn open(
    client: &ClientInner,
    participant: &Participant,
    after_seq: Option<u64>,
) -> Result<(Socket, Connected), Error> {
    let key = generate_key()?;
    let mut url = client.settings.base_url.join(CONNECT.path());
    participant.query(after_seq).write_to(&mut url);
    let headers = participant.headers(&client.settings, &key);
    let request = Request { method: Method::GET, url, headers, body: None };
    let secrets = Arc::new(Secrets::of(&request.headers));
    upgrade(client, &request, &key, &secrets).await.map_err(|error| error.redact(&secrets))
}

async fn upgrade(
    client: &ClientInner,
    request: &Request,
    key: &str,
    secrets: &Arc<Secrets>,
) -> Result<(Socket, Connected), Error> {
    match client.transport.upgrade(request).await? {
        Upgrade::Accepted { headers, connection } => {
            check_upgrade(&headers, key)?;
            let socket = Socket::new(connection, client.transport.max_response_bytes(), Arc::clone(secrets)).await;
            wait_for_greeting(socket).await
        }
        Upgrade::Refused(response) => {
            let response = raw_response::check_status(response, &request.url, client.settings.clock.system_time())?;
            let what = response.describe(&request.url);
            Err(Error::decode(format!("the response is a success, but not a WebSocket upgrade: {what}"))
                .with_response_details(response.into_error_response()))
        }
    }
}

async fn wait_for_greeting(mut socket: Socket) -> Result<(Socket, Connected), Error> {
    loop {
        match socket.next(true).await {
            Ok(Incoming::Control) => {}
            Ok(Incoming::Text(text)) => match socket.event(&text) {
                Event::Connected(connected) => return Ok((socket, connected)),
                _ => return Err(Error::decode("the first event is not connection_established")),
            },
            Err(loss) => return Err(loss.into_error()),
        }
    }
}

/// Generates the nonce of the handshake, which prevents a response from a cache.
fn generate_key() -> Result<String, Error> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| {
        Error::transport("the operating system provides no randomness for the handshake").with_source(error.to_string())
    })?;
    Ok(STANDARD.encode(nonce))
}

/// Checks that the response accepts this handshake.
fn check_upgrade(headers: &HeaderMap, key: &str) -> Result<(), Error> {
    let wrong = |what: &str| Err(Error::decode(format!("the server switched protocols, but not to WebSocket: {what}")));
    let has = |name: HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    if !has(UPGRADE, "websocket") {
        return wrong("the header Upgrade is not `websocket`");
    }
    if !has(CONNECTION, "upgrade") {
        return wrong("the header Connection does not contain `upgrade`");
    }
    if headers.get(SEC_WEBSOCKET_ACCEPT).is_none_or(|found| found != accept_value(key).as_str()) {
        return wrong("the header Sec-WebSocket-Accept does not match the request");
    }
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) || headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return wrong("it selected an extension or subprotocol that was not offered");
    }
    Ok(())
}

/// Computes `Sec-WebSocket-Accept` (RFC 6455, section 1.3).
fn accept_value(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept_value(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_nonce_has_16_bytes_and_is_random() {
        let (one, two) = (generate_key().unwrap(), generate_key().unwrap());
        assert_ne!(one, two);
        assert_eq!(STANDARD.decode(one).unwrap().len(), 16);
    }

    #[test]
    fn an_invalid_upgrade_response_is_rejected() {
        let right = [
            (UPGRADE, "WebSocket"),
            (CONNECTION, "keep-alive, Upgrade"),
            (SEC_WEBSOCKET_ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        check_upgrade(&headers(&right), KEY).unwrap();
        for (name, value) in [
            (UPGRADE, "h2c"),
            (CONNECTION, "close"),
            (SEC_WEBSOCKET_ACCEPT, "AAAA"),
            (SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate"),
            (SEC_WEBSOCKET_PROTOCOL, "chat"),
        ] {
            let mut wrong = headers(&right);
            wrong.insert(name.clone(), HeaderValue::from_static(value));
            assert_eq!(check_upgrade(&wrong, KEY).unwrap_err().kind(), crate::ErrorKind::Decode, "{name}");
        }
        for (name, _) in &right {
            let mut wrong = headers(&right);
            wrong.remove(name);
            assert!(check_upgrade(&wrong, KEY).is_err(), "{name}");
        }
    }

    #[test]
    fn a_user_id_is_sent_as_a_header_or_query_parameter() {
        let sent = |user_id: &str| {
            let participant = Participant { chat_id: Uuid::nil(), user_id: user_id.to_owned() };
            let query = participant.query(Some(7)).get("user_id").map(str::to_owned);
            (participant.user_header().map(|header| header.to_str().unwrap().to_owned()), query)
        };
        for plain in ["user123", "ada lovelace", "a,b;c=d", "~"] {
            assert_eq!(sent(plain), (Some(plain.to_owned()), None));
        }
        for other in ["", " a", "a ", "a\tb", "é日", "a\nb", "a\0"] {
            assert_eq!(sent(other), (None, Some(other.to_owned())));
        }
    }
}
