//! Requests and answers by hyper, from a head that has come until the connection is idle again or ends.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
};

use bytes::Bytes;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
};
use hyper_util::rt::TokioIo;
use poem::{
    Endpoint, Response,
    http::{
        self, HeaderMap, HeaderValue, StatusCode, Version, header,
        uri::{Authority, Scheme},
    },
    web::{LocalAddr, RemoteAddr},
};
use tokio::{net::TcpStream, time::sleep_until};

use super::{
    answer::Answer,
    peer_io::{EXCHANGE_BYTES, PeerIo},
    refuse::Refuse,
    state::{ConnectionState, Order, Phase},
    upgraded::{Upgrade, Upgraded},
};
use crate::http::{
    field_error::FieldError,
    problem::{Code, Problem},
};

/// Milliseconds after which hyper gives an idle connection back: long enough that a busy one stays.
const IDLE: u64 = 1_000;
/// How many graces a peer that goes on sending a body has after the server was told to stop.
const MOST_GRACES: u64 = 5;
/// Bytes of an answer's own, beyond which the memory that is held is noted.
const LARGE_ANSWER: u64 = 16 * 1024;

/// The value of `Connection` on an answer after which the connection is closed.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// A mark of an answer whose body is shared with others, so that the connection holds no memory for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedBody;

/// How an exchange ends.
pub(super) enum Outcome {
    /// The peer has not begun another request, or not sent its head; what has come of it.
    Idle(TcpStream, Vec<u8>),
    /// hyper has refused what is not HTTP, with this status; the answer is still to be written.
    Refused(TcpStream, u16),
    /// The last answer is written.
    Ended(TcpStream),
    /// The connection must be dropped.
    Closed,
}

/// The addresses of a connection.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    pub(super) local: LocalAddr,
    pub(super) remote: RemoteAddr,
}

/// Serves requests that begin with `head`.
pub(super) async fn exchange<E: Endpoint<Output = Response> + Refuse + 'static>(
    stream: TcpStream,
    head: Vec<u8>,
    head_limit: usize,
    ends: &Ends,
    endpoint: &Arc<E>,
    state: &Arc<ConnectionState>,
) -> Outcome {
    // A large head is held here, by hyper, and in between.
    state.hold(EXCHANGE_BYTES.max(3 * head.len()));
    let service = hyper::service::service_fn(|request: http::Request<Incoming>| {
        state.working();
        if state.held.load(Relaxed) != EXCHANGE_BYTES {
            // The head or the answer before was a large one, or the connection was asked to hold less.
            state.hold(EXCHANGE_BYTES);
        }
        async move {
            let response = respond(request, ends, endpoint.as_ref(), state).await;
            let is_shared = response.data::<SharedBody>().is_some();
            let response: http::Response<_> = response.into();
            let bytes = response.body().size_hint().exact().unwrap_or_default();
            if bytes > LARGE_ANSWER && !is_shared {
                state.hold(EXCHANGE_BYTES + usize::try_from(bytes).unwrap_or(usize::MAX / 4));
            }
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, state.clone())))
        }
    });
    let io = TokioIo::new(PeerIo::new(stream, head.into(), state.clone()));
    let mut connection = http1::Builder::new()
        // Kept by `deadline` and, before hyper has the connection, by `read_head`.
        .header_read_timeout(None)
        .max_buf_size(head_limit)
        .serve_connection(io, service);
    let mut timer = pin!(sleep_until(state.instant(state.now() + IDLE)));
    let mut stopping = None;
    let mut finishing = false;
    let outcome = poll_fn(|cx| {
        state.register(cx.waker());
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            let order = state.order();
            if order > Order::None && !finishing {
                finishing = true;
                // An idle connection ends at once, any other after its answer, which says so.
                Pin::new(&mut connection).graceful_shutdown();
                continue;
            }
            if order == Order::Abort || order == Order::Displace && state.waiting_since().is_some() {
                return Poll::Ready(None);
            }
            if state.take_shrink() && is_idle(state) {
                return Poll::Ready(None);
            }
            let deadline = deadline(state, &mut stopping);
            if let Some(deadline) = deadline.map(|deadline| state.instant(deadline))
                && deadline < timer.deadline()
            {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = state.now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(None);
            }
            // What is waited for is looked at again, at the latest, after this time.
            timer.as_mut().reset(state.instant(now + IDLE));
        }
    })
    .await;
    let idle = outcome.is_none() && is_idle(state);
    let parts = connection.into_parts();
    let (stream, rest, refused) = parts.io.into_inner().into_parts();
    let unread = if rest.is_empty() { parts.read_buf } else { Bytes::from([parts.read_buf, rest].concat()) };
    match (outcome, refused) {
        (Some(_), Some(status)) => Outcome::Refused(stream, status),
        (Some(Ok(())), None) => match state.take_upgrade() {
            Some(upgrade) => {
                // Closed when the receiver is gone.
                _ = upgrade.send(Upgraded::new(stream, unread));
                Outcome::Closed
            }
            None => Outcome::Ended(stream),
        },
        (Some(Err(error)), None) => {
            // As a rule the peer broke off.
            tracing::debug!(%error, "connection ended early");
            Outcome::Closed
        }
        (None, _) if idle && state.order() == Order::None => {
            state.hold(unread.len());
            Outcome::Idle(stream, unread.into())
        }
        (None, _) => Outcome::Closed,
    }
}

/// Whether the next request is awaited and nothing is left to write.
fn is_idle(state: &ConnectionState) -> bool {
    state.phase() == Phase::Head && state.write_deadline().is_none()
}

/// When to stop waiting for what the connection waits for; `None`: it does not wait, or what waits has its own bound.
/// `stopping` remembers when the connection was told to stop.
fn deadline(state: &ConnectionState, stopping: &mut Option<u64>) -> Option<u64> {
    if let Some(deadline) = state.write_deadline() {
        return Some(deadline);
    }
    let phase = state.phase();
    if state.order() < Order::Stop {
        return (phase == Phase::Head).then(|| state.since() + IDLE);
    }
    let told = *stopping.get_or_insert_with(|| state.now());
    let grace = state.times.stop_grace;
    match phase {
        Phase::Working | Phase::Answered => None,
        Phase::Head => Some(told + grace),
        Phase::Body => Some((state.last_read().max(told) + grace).min(told + MOST_GRACES * grace)),
    }
}

/// Has a request answered.
async fn respond<E: Endpoint<Output = Response> + Refuse>(
    mut request: http::Request<Incoming>,
    ends: &Ends,
    endpoint: &E,
    state: &Arc<ConnectionState>,
) -> Response {
    if let Err(problem) = check(&request) {
        return endpoint.refuse(problem.with_header(header::CONNECTION, "close"));
    }
    let upgrades = request.extensions().get::<hyper::upgrade::OnUpgrade>().is_some();
    if upgrades {
        let upgrade = Upgrade::new(state.offer_upgrade());
        request.extensions_mut().insert(upgrade);
    }
    let has_body = !request.body().is_end_stream();
    state.set_unread_body(has_body);
    if has_body {
        // For the reader of the body, which marks that it waits, and when it has all.
        request.extensions_mut().insert(state.clone());
    }
    let request = (request, ends.local.clone(), ends.remote.clone(), Scheme::HTTP);
    let mut response = endpoint.get_response(request.into()).await;
    if state.has_unread_body() {
        // The next request would begin behind bytes that nobody wants. Told, the client does not send one.
        response.headers_mut().insert(header::CONNECTION, CLOSE);
    }
    if upgrades && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        state.take_upgrade();
    }
    response
}

/// Refuses what hyper lets pass and what two servers might read in two ways.
fn check(request: &http::Request<Incoming>) -> Result<(), Problem> {
    let is_chunked = !request.body().is_end_stream() && request.body().size_hint().exact().is_none();
    if is_chunked && !is_only(request.headers(), &header::TRANSFER_ENCODING, "chunked") {
        return Err(Problem::detailed(
            Code::NotImplemented,
            "The one transfer coding that the server knows is chunked.",
        ));
    }
    // RFC 9112, section 3.2.
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let detail = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => return Ok(()),
        (Some(host), None) if is_host(host.as_bytes()) => return Ok(()),
        (Some(_), None) => "must be a host, and perhaps a port, as in localhost:8000",
        _ => "must be given once",
    };
    Err(Problem::invalid(vec![FieldError::new("/header/Host", detail)]))
}

/// Whether `value` is one of the header `Host` (RFC 9110, section 7.2): a host and perhaps a port, or empty.
fn is_host(value: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.".contains(byte);
    let plain = value.iter().take_while(|byte| is_plain(byte)).count();
    if is_port(&value[plain..]) {
        return plain > 0 || value.is_empty();
    }
    // Others are rare: an IPv6 address, or other characters of a registered name. An authority may have user information.
    !value.contains(&b'@')
        && Authority::try_from(value).is_ok_and(|authority| {
            authority.as_str().strip_prefix(authority.host()).is_some_and(|port| is_port(port.as_bytes()))
        })
}

/// Whether `text` is what may follow a host: nothing, or a colon and a port, which may be empty.
fn is_port(text: &[u8]) -> bool {
    let [b':', digits @ ..] = text else { return text.is_empty() };
    let number = digits.iter().try_fold(0_u32, |number, digit| {
        digit.is_ascii_digit().then(|| (10 * number + u32::from(digit - b'0')).min(1 << 16))
    });
    number.is_some_and(|number| u16::try_from(number).is_ok())
}

/// Whether the header is there once, with this value in any case.
fn is_only(headers: &HeaderMap, name: &header::HeaderName, value: &str) -> bool {
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    values.next().is_some_and(|first| first.trim_ascii().eq_ignore_ascii_case(value.as_bytes()))
        && values.next().is_none()
}
