//! HTTP over reqwest. Apart from the URL type, only this file uses reqwest.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::{Url, redirect, retry};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::base_url::BaseUrl;
use crate::error::Error;
use crate::raw_response::RawResponse;

pub(crate) const USER_AGENT: &str = concat!("parlor-sdk/", env!("CARGO_PKG_VERSION"));

/// Maximum number of body bytes read from an error response. A problem document is far smaller.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;

/// Connection settings.
#[derive(Debug)]
pub(crate) struct TransportSettings {
    pub(crate) connect_timeout: Duration,
    pub(crate) max_response_bytes: usize,
    pub(crate) user_agent: HeaderValue,
    pub(crate) proxies: bool,
    needs_tls: bool,
}

impl TransportSettings {
    pub(crate) fn for_server(base_url: &BaseUrl) -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            max_response_bytes: 8 * 1024 * 1024,
            user_agent: HeaderValue::from_static(USER_AGENT),
            proxies: !base_url.is_loopback(),
            needs_tls: base_url.is_https(),
        }
    }
}

/// A request that can be sent any number of times.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

pub(crate) struct Transport {
    http: reqwest::Client,
    max_response_bytes: usize,
}

impl Transport {
    pub(crate) fn new(settings: &TransportSettings) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .user_agent(settings.user_agent.clone())
            .redirect(redirect::Policy::none())
            // The retry loop counts attempts and charges the budget, so reqwest must not retry.
            .retry(retry::never())
            .referer(false)
            .http1_only()
            .tls_backend_preconfigured(tls_config(settings.needs_tls)?);
        if !settings.proxies {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            Error::configuration("the HTTP client cannot be created").with_source(TransportCause(error.without_url()))
        })?;
        Ok(Self { http, max_response_bytes: settings.max_response_bytes })
    }

    #[cfg(feature = "realtime")]
    pub(crate) fn max_response_bytes(&self) -> usize {
        self.max_response_bytes
    }

    /// Sends the request and reads the response, whatever its status.
    pub(crate) async fn send(&self, request: &Request) -> Result<RawResponse, Error> {
        let response = self.execute(request).await?;
        self.read_response(response, &request.url).await
    }

    /// Sends a request to upgrade the protocol. The connection may come from the pool and is not returned to it.
    #[cfg(feature = "realtime")]
    pub(crate) async fn upgrade(&self, request: &Request) -> Result<Upgrade, Error> {
        let mut response = self.execute(request).await?;
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            return self.read_response(response, &request.url).await.map(Upgrade::Refused);
        }
        let headers = std::mem::take(response.headers_mut());
        let connection = response.upgrade().await.map_err(|error| call_error(error, &request.url))?;
        Ok(Upgrade::Accepted { headers, connection })
    }

    async fn execute(&self, request: &Request) -> Result<reqwest::Response, Error> {
        let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
        outgoing.headers_mut().clone_from(&request.headers);
        *outgoing.body_mut() = request.body.clone().map(Into::into);
        self.http.execute(outgoing).await.map_err(|error| call_error(error, &request.url))
    }

    async fn read_response(&self, mut response: reqwest::Response, url: &Url) -> Result<RawResponse, Error> {
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let limit = if status.is_success() { self.max_response_bytes } else { MAX_ERROR_BODY_BYTES };
        match read_body(&mut response, limit).await {
            PartialBody { broken: Some(error), .. } if status.is_success() => Err(call_error(error, url)),
            // The status identifies an error response, even if the body is incomplete.
            PartialBody { bytes, is_truncated, .. } => Ok(RawResponse { status, headers, body: bytes, is_truncated }),
        }
    }
}

/// The result of a request to upgrade the protocol.
#[cfg(feature = "realtime")]
pub(crate) enum Upgrade {
    /// 101: the connection uses the other protocol from here on.
    Accepted {
        headers: HeaderMap,
        connection: reqwest::Upgraded,
    },
    Refused(RawResponse),
}

/// The part of a body that could be read, up to a limit.
struct PartialBody {
    bytes: Bytes,
    is_truncated: bool,
    broken: Option<reqwest::Error>,
}

async fn read_body(response: &mut reqwest::Response, limit: usize) -> PartialBody {
    let mut bytes = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if chunk.len() > limit - bytes.len() => {
                bytes.extend_from_slice(&chunk[..limit - bytes.len()]);
                return PartialBody { bytes: bytes.freeze(), is_truncated: true, broken: None };
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return PartialBody { bytes: bytes.freeze(), is_truncated: false, broken: None },
            Err(error) => return PartialBody { bytes: bytes.freeze(), is_truncated: false, broken: Some(error) },
        }
    }
}

/// Configures rustls with ring, regardless of the process-wide provider, and the platform's certificate roots.
fn tls_config(needed: bool) -> Result<ClientConfig, Error> {
    let unusable =
        |error: rustls::Error| Error::configuration("TLS cannot be configured on this platform").with_source(error);
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    match versions.clone().with_platform_verifier() {
        Ok(verified) => Ok(verified.with_no_client_auth()),
        Err(error) if needed => Err(unusable(error)),
        // A small container image may have no certificate roots. Plain HTTP does not need them. If TLS is used anyway,
        // through a proxy, no certificate is trusted.
        Err(_) => Ok(versions.with_root_certificates(RootCertStore::empty()).with_no_client_auth()),
    }
}

fn call_error(error: reqwest::Error, url: &Url) -> Error {
    if let Some((kind, why)) = permanent_failure(&error) {
        let origin = url.origin().ascii_serialization();
        let failure = match kind {
            Permanent::Connection => Error::connect(format!("no connection to {origin}: {why}")),
            Permanent::Response => Error::transport(format!("the response from {origin} cannot be read: {why}")),
        };
        return failure.with_source(TransportCause(error.without_url())).permanent();
    }
    if !error.is_connect() {
        return Error::transport("the connection broke before the response was complete")
            .with_source(TransportCause(error.without_url()));
    }
    Error::connect(format!("no connection to {}", url.origin().ascii_serialization()))
        .with_source(TransportCause(error.without_url()))
}

/// What a permanent failure prevented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permanent {
    /// Opening the connection: the server processed nothing.
    Connection,
    /// Reading the response: the server may have processed the request.
    Response,
}

/// Describes why a retry would fail in the same way; none if it may succeed.
fn permanent_failure(error: &(dyn StdError + 'static)) -> Option<(Permanent, &'static str)> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(cause) = error.downcast_ref().and_then(permanent_tls).or_else(|| permanent_http(error)) {
            return Some(cause);
        }
        next = match error.downcast_ref().and_then(io::Error::get_ref) {
            // `io::Error::source` would skip the error that it wraps.
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn permanent_tls(error: &rustls::Error) -> Option<(Permanent, &'static str)> {
    use rustls::AlertDescription as Alert;
    use rustls::Error as Tls;

    let why = match error {
        Tls::InvalidCertificate(_) | Tls::InvalidCertRevocationList(_) | Tls::NoCertificatesPresented => {
            "the server's certificate was rejected"
        }
        Tls::InvalidMessage(_) => {
            "the port does not speak TLS; if it is an HTTP port, the base URL must begin with http://"
        }
        Tls::PeerIncompatible(_) => "the server and the SDK share no TLS version or cipher suite",
        // With TLS 1.3, the server's handshake alert may arrive after the request was written.
        Tls::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::HandshakeFailure
            | Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::NoApplicationProtocol
            | Alert::UnrecognisedName,
        ) => "the server rejected the TLS handshake",
        Tls::AlertReceived(_) => {
            return Some((Permanent::Response, "the server closed the TLS connection with an alert"));
        }
        _ => return None,
    };
    Some((Permanent::Connection, why))
}

fn permanent_http(error: &(dyn StdError + 'static)) -> Option<(Permanent, &'static str)> {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // hyper has a method for this only with its feature `server`.
        if error.is_parse() && error.to_string().contains("too large") {
            return Some((Permanent::Response, "its headers are larger than the SDK accepts"));
        }
        if error.is_parse() {
            let why = "the port does not speak HTTP/1.1; if it is a TLS port, the base URL must begin with https://";
            return Some((Permanent::Response, why));
        }
    }
    // The type of this proxy error is private to hyper-util, so it is recognised by its message.
    (error.to_string() == "tunnel error: proxy authorization required").then_some((
        Permanent::Connection,
        "the proxy requires credentials (407); add them to its address in HTTPS_PROXY",
    ))
}

/// Hides reqwest's error type from the application.
struct TransportCause(reqwest::Error);

impl fmt::Debug for TransportCause {
    /// Prints the whole chain of causes, which is what `main` prints for an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        std::iter::successors(self.source(), |&cause| cause.source()).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl fmt::Display for TransportCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for TransportCause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn permanent_failures_are_found_inside_io_errors() {
        use rustls::{AlertDescription, InvalidMessage, PeerIncompatible};

        for (error, kind) in [
            (rustls::Error::InvalidCertificate(CertificateError::Expired), Permanent::Connection),
            (rustls::Error::NoCertificatesPresented, Permanent::Connection),
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), Permanent::Connection),
            (rustls::Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered), Permanent::Connection),
            (rustls::Error::AlertReceived(AlertDescription::HandshakeFailure), Permanent::Connection),
            (rustls::Error::AlertReceived(AlertDescription::CertificateRequired), Permanent::Connection),
            (rustls::Error::AlertReceived(AlertDescription::InternalError), Permanent::Response),
        ] {
            let found = |error: &(dyn StdError + 'static)| permanent_failure(error).map(|(kind, _)| kind);
            assert_eq!(found(&error), Some(kind), "{error}");
            assert_eq!(found(&io::Error::other(error.clone())), Some(kind), "{error}");
            assert_eq!(found(&io::Error::other(io::Error::other(error.clone()))), Some(kind), "{error}");
        }
    }

    #[test]
    fn other_handshake_failures_are_temporary() {
        assert!(permanent_failure(&io::Error::other(rustls::Error::DecryptError)).is_none());
        assert!(permanent_failure(&io::Error::from(io::ErrorKind::ConnectionRefused)).is_none());
    }

    #[test]
    fn tls_needs_no_process_wide_provider() {
        tls_config(false).unwrap();
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }
}
