//! Cross-origin requests (the CORS protocol of the Fetch standard), by REST and by WebSocket alike.
//!
//! Every origin is allowed unless the operator lists some: no credential is ambient, since Parlor neither sets nor reads
//! cookies, so that a page can do nothing without a key or a ticket that it was given. What is answered without any
//! credential and is not for the public, the metrics and the demo, is never readable across origins.

use std::{
    mem,
    sync::Mutex,
    time::{Duration, Instant},
};

use poem::{
    Request, Response,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
};

use super::{
    origin,
    problem::{Code, Problem},
};
use crate::base::{
    error::{Error, Result},
    lock::lock,
};

/// Allows every origin.
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
/// The methods that a page may use: all that any path takes.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
/// The request headers that a page may send. `*` stands for all others, but never for `Authorization`.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-API-Key, X-Chat-ID, X-Request-Id, X-User-ID, *",
);
/// The response headers that a page may read, beside those that every page may.
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("X-Request-Id, Location, Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After");
/// How long a browser may remember the answer to a preflight, in seconds: two hours, the most that Chromium keeps.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// Says that the answer depends on the origin, for caches.
const VARY: HeaderValue = HeaderValue::from_static("Origin");

/// The shortest time between two lines in the log about refused origins.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// The greatest number of characters of a refused origin, or of its path, that the log and the answer repeat.
const SHOWN_CHARS: usize = 200;

/// Decides which origins may use the server.
#[derive(Debug)]
pub(crate) struct Cors {
    /// The listed origins; empty: every origin is allowed.
    allowed: Vec<HeaderValue>,
    /// What is answered without a credential and is not for the public: these paths and all below them.
    private: &'static [&'static str],
    refusals: Mutex<Refusals>,
}

/// What the log was told about refused origins.
#[derive(Debug, Default)]
struct Refusals {
    logged_at: Option<Instant>,
    /// How many there were since then.
    unlogged: u64,
}

/// What a response says about its reader's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Every origin may read it.
    AnyOrigin,
    /// This one may.
    Origin(HeaderValue),
    /// None but the server's own may.
    Nothing,
}

impl Cors {
    /// Allows the origins `allowed`, as browsers write them in `Origin`; every origin if there are none.
    ///
    /// # Errors
    /// [`Error::Invalid`] when one of them cannot stand in a header.
    pub(crate) fn new(allowed: &[String], private: &'static [&'static str]) -> Result<Self> {
        let header = |origin: &String| {
            HeaderValue::from_str(origin).map_err(|_| Error::Invalid(format!("{origin:?} is no origin of a page")))
        };
        let allowed = allowed.iter().map(header).collect::<Result<_>>()?;
        Ok(Self { allowed, private, refusals: Mutex::default() })
    }

    /// Returns what the response to `request` says about its origin.
    ///
    /// # Errors
    /// `forbidden` when some origins are listed and the request comes from a page of another one.
    pub(crate) fn check(&self, request: &Request) -> std::result::Result<Grant, Problem> {
        let is_private = self.is_private(request.uri().path());
        if self.allowed.is_empty() {
            return Ok(if is_private { Grant::Nothing } else { Grant::AnyOrigin });
        }
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            (None, _) => return Ok(Grant::Nothing),
            // No browser sends two; a listed one must not let another pass.
            (Some(_), Some(_)) => return Err(self.refuse(request, "more than one origin")),
            (Some(origin), None) => origin,
        };
        if !self.allowed.contains(origin) && !origin::is_own(request.headers()) {
            let shown: String = origin.to_str().unwrap_or("an origin in bytes").chars().take(SHOWN_CHARS).collect();
            return Err(self.refuse(request, &shown));
        }
        Ok(if is_private { Grant::Nothing } else { Grant::Origin(origin.clone()) })
    }

    fn is_private(&self, path: &str) -> bool {
        let is_in = |place: &&str| {
            let rest = path.strip_prefix(place.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.private.iter().any(is_in)
    }

    /// Returns what the response to a request says whose head could not be read.
    pub(crate) fn of_unread_head(&self) -> Grant {
        if self.allowed.is_empty() { Grant::AnyOrigin } else { Grant::Nothing }
    }

    /// Adds the headers of `grant` to `response`.
    pub(crate) fn apply(&self, grant: Grant, response: &mut Response) {
        let headers = response.headers_mut();
        // On every response, with an origin or without: a cache must not give one to a page that lacks them.
        if !self.allowed.is_empty() {
            headers.append(header::VARY, VARY);
        }
        let origin = match grant {
            Grant::AnyOrigin => ANY_ORIGIN,
            Grant::Origin(origin) => origin,
            Grant::Nothing => return,
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }

    fn refuse(&self, request: &Request, origin: &str) -> Problem {
        self.log(request, origin);
        let detail = format!("Pages of this origin may not use this server: {origin} is not among those it allows.");
        Problem::detailed(Code::Forbidden, detail)
    }

    /// Tells the operator, who has perhaps listed an origin in another spelling; at most one line every
    /// [`LOG_INTERVAL`], since any page can cause them.
    fn log(&self, request: &Request, origin: &str) {
        let mut refusals = lock(&self.refusals);
        let now = Instant::now();
        if refusals.logged_at.is_some_and(|logged_at| now.duration_since(logged_at) < LOG_INTERVAL) {
            refusals.unlogged += 1;
            return;
        }
        refusals.logged_at = Some(now);
        let unlogged = mem::take(&mut refusals.unlogged);
        drop(refusals);
        let path: String = request.uri().path().chars().take(SHOWN_CHARS).collect();
        tracing::warn!(origin, path, unlogged, "refused a page whose origin is not among --allowed-origins");
    }
}

/// Whether a browser asks if a page may send the request that it wants to send.
pub(crate) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Returns the answer to a preflight. It is the same for every path, so that a page can read why its request failed.
pub(crate) fn preflight() -> Response {
    let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
    let allow: [(HeaderName, HeaderValue); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    response.headers_mut().extend(HeaderMap::from_iter(allow));
    response
}
