//! HTTP, through reqwest: the only file that knows it, besides the URL type.

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

use crate::answer::Answer;
use crate::base_url::BaseUrl;
use crate::error::Error;

pub(crate) const USER_AGENT: &str = concat!("parlor-sdk/", env!("CARGO_PKG_VERSION"));

/// How much of the body of a refusal is read, in bytes: a problem document is far smaller.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// What the connections are made with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) connect_timeout: Duration,
    pub(crate) max_response_bytes: usize,
    pub(crate) user_agent: HeaderValue,
    pub(crate) proxies: bool,
    needs_tls: bool,
}

impl Settings {
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
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .user_agent(settings.user_agent.clone())
            .redirect(redirect::Policy::none())
            // Attempts are counted and paid for in one place, and that is not here.
            .retry(retry::never())
            .referer(false)
            .http1_only()
            .tls_backend_preconfigured(tls(settings.needs_tls)?);
        if !settings.proxies {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            Error::configuration("the HTTP client cannot be set up").caused_by(Cause(error.without_url()))
        })?;
        Ok(Self { http, max_response_bytes: settings.max_response_bytes })
    }

    #[cfg(feature = "realtime")]
    pub(crate) fn max_response_bytes(&self) -> usize {
        self.max_response_bytes
    }

    /// Sends the request and reads the answer, whatever its status.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let response = self.execute(request).await?;
        self.answer(response, &request.url).await
    }

    /// Sends a request to change protocols. The connection is taken from those of the other requests and does not
    /// return to them.
    #[cfg(feature = "realtime")]
    pub(crate) async fn upgrade(&self, request: &Request) -> Result<Upgrade, Error> {
        let mut response = self.execute(request).await?;
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            return self.answer(response, &request.url).await.map(Upgrade::Refused);
        }
        let headers = std::mem::take(response.headers_mut());
        let connection = response.upgrade().await.map_err(|error| failure(error, &request.url))?;
        Ok(Upgrade::Accepted { headers, connection })
    }

    async fn execute(&self, request: &Request) -> Result<reqwest::Response, Error> {
        let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
        outgoing.headers_mut().clone_from(&request.headers);
        *outgoing.body_mut() = request.body.clone().map(Into::into);
        self.http.execute(outgoing).await.map_err(|error| failure(error, &request.url))
    }

    async fn answer(&self, mut response: reqwest::Response, url: &Url) -> Result<Answer, Error> {
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let limit = if status.is_success() { self.max_response_bytes } else { MAX_REFUSAL_BYTES };
        match read(&mut response, limit).await {
            Body { broken: Some(error), .. } if status.is_success() => Err(failure(error, url)),
            // A refusal is known by its status, even if its body is not complete.
            Body { bytes, is_cut, .. } => Ok(Answer { status, headers, body: bytes, is_cut }),
        }
    }
}

/// What comes of a request to change protocols.
#[cfg(feature = "realtime")]
pub(crate) enum Upgrade {
    /// 101: from here on the connection speaks the other protocol.
    Accepted {
        headers: HeaderMap,
        connection: reqwest::Upgraded,
    },
    Refused(Answer),
}

/// As much of a body as there is, within the bound.
struct Body {
    bytes: Bytes,
    is_cut: bool,
    broken: Option<reqwest::Error>,
}

async fn read(response: &mut reqwest::Response, limit: usize) -> Body {
    let mut bytes = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if chunk.len() > limit - bytes.len() => {
                bytes.extend_from_slice(&chunk[..limit - bytes.len()]);
                return Body { bytes: bytes.freeze(), is_cut: true, broken: None };
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Body { bytes: bytes.freeze(), is_cut: false, broken: None },
            Err(error) => return Body { bytes: bytes.freeze(), is_cut: false, broken: Some(error) },
        }
    }
}

/// rustls with ring, whatever provider the process has installed, and the platform's certificate roots.
fn tls(needed: bool) -> Result<ClientConfig, Error> {
    let unusable =
        |error: rustls::Error| Error::configuration("TLS cannot be set up on this platform").caused_by(error);
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    match versions.clone().with_platform_verifier() {
        Ok(verified) => Ok(verified.with_no_client_auth()),
        Err(error) if needed => Err(unusable(error)),
        // A small image may have no certificate roots. Over plain HTTP nothing is missing; should TLS be tried all the
        // same, by way of a proxy, no certificate is trusted.
        Err(_) => Ok(versions.with_root_certificates(RootCertStore::empty()).with_no_client_auth()),
    }
}

fn failure(error: reqwest::Error, url: &Url) -> Error {
    if !error.is_connect() {
        return Error::transport("the connection broke before the answer was complete")
            .caused_by(Cause(error.without_url()));
    }
    let refused = refuses_certificate(&error);
    let failure = Error::connect(format!("no connection to {}", url.origin().ascii_serialization()))
        .caused_by(Cause(error.without_url()));
    if refused { failure.permanent() } else { failure }
}

/// Whether the server's certificate is the reason, which waiting does not mend.
fn refuses_certificate(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        next = match error.downcast_ref().and_then(io::Error::get_ref) {
            // `source` of an io::Error would skip the error that it wraps.
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

/// What went wrong, without a type that the application would have to know.
struct Cause(reqwest::Error);

impl fmt::Debug for Cause {
    /// The whole chain in words: it is what an application prints that ends with an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        std::iter::successors(self.source(), |&cause| cause.source()).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn a_refused_certificate_is_found_inside_an_io_error() {
        let refused = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert!(refuses_certificate(&io::Error::other(refused.clone())));
        assert!(refuses_certificate(&io::Error::other(io::Error::other(refused.clone()))));
        assert!(refuses_certificate(&refused));
    }

    #[test]
    fn another_failure_of_the_handshake_is_not_a_refused_certificate() {
        assert!(!refuses_certificate(&io::Error::other(rustls::Error::DecryptError)));
        assert!(!refuses_certificate(&io::Error::from(io::ErrorKind::ConnectionRefused)));
    }

    #[test]
    fn tls_can_be_set_up_without_a_process_wide_provider() {
        tls(false).unwrap();
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }
}
