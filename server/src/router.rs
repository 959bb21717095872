//! What every request passes through, as one list; the first line is the outermost.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use poem::{
    Endpoint, EndpointExt as _, IntoEndpoint as _, IntoResponse as _, Request, Response, Route, get,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use poem_openapi::OperationId;
use tokio_util::sync::CancellationToken;

use crate::{
    base::{deadline, error::Cause, metrics::Metrics},
    demo,
    docs::{asyncapi, openapi, pages},
    health, home,
    http::{
        context::{Context, REQUEST_ID, RequestId},
        cors::{self, Cors, Grant},
        limits::HttpLimits,
        listen::Refuse,
        percent,
        problem::{self, Code, Problem},
        trailing_slash::Paths,
    },
    realtime::{self, Realtime},
    service::{Authenticator, Chats, Messages, Tickets},
    store::Store,
};

/// The name of a request that reached no operation.
const NO_OPERATION: &str = "none";
/// The path of the metrics.
const METRICS: &str = "/metrics";
/// What is answered without a credential and is not for the public: the metrics and the demo.
pub(crate) const PRIVATE: &[&str] = &[METRICS, demo::PAGE];
/// What every path of the interface begins with.
const API: &str = "/api/";

/// What the handlers need.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) chats: Arc<Chats>,
    pub(crate) messages: Arc<Messages>,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Arc<HttpLimits>,
    /// How long a request that only reads may wait for the database.
    pub(crate) read_limit: Duration,
    pub(crate) realtime: Arc<Realtime>,
    pub(crate) cors: Cors,
    pub(crate) demo: Option<demo::Backend>,
}

/// The whole server as one endpoint that cannot fail; not ready any more once `stopping` is cancelled.
pub(crate) fn stack(services: Services, stopping: CancellationToken) -> impl Endpoint<Output = Response> + Refuse {
    let document = openapi::document();
    let mut paths = Paths::of(&document)
        .and_get(&["/healthz", "/readyz", METRICS, pages::OPENAPI, pages::OPENAPI_31, pages::ASYNCAPI, realtime::PATH])
        .and_get_exactly(&["/docs", pages::SWAGGER_UI, "/docs/{file}"])
        .and_get_exactly(home::PATHS);
    let Services { chats, messages, tickets, authenticator, store, metrics, limits, read_limit, realtime, cors, demo } =
        services;
    let swagger_ui = Arc::new(pages::swagger_ui(&document));
    let mut beside = Route::new()
        .at("/healthz", get(health::healthz()))
        .at("/readyz", get(health::readyz(store, stopping)))
        .at(METRICS, get(health::metrics(metrics.clone())))
        .at(pages::OPENAPI, get(pages::document("openapi_json", &document)))
        .at(pages::OPENAPI_31, get(pages::document("openapi_31_json", &openapi::document_31())))
        .at(pages::ASYNCAPI, get(pages::document("asyncapi_json", &asyncapi::document())))
        .at("/docs", get(pages::to_swagger_ui()))
        .at(pages::SWAGGER_UI, get(swagger_ui.clone()))
        .at("/docs/*file", get(swagger_ui))
        .at(realtime::PATH, get(realtime::connect(realtime)));
    #[cfg(feature = "echo")]
    {
        beside = beside.at(realtime::ECHO, get(realtime::echo()));
    }
    beside = home::route(beside, demo.is_some());
    if let Some(backend) = demo {
        paths = paths.and_get_exactly(demo::GET).and_post(demo::POST);
        beside = demo::route(beside, backend);
    }
    let routes = Fork { api: openapi::service().into_endpoint(), beside, read_limit }
        // Each request gets a copy of these: they are shared pointers.
        .data(chats)
        .data(messages)
        .data(tickets)
        .data(authenticator)
        .data(limits);
    Edge { inner: routes.with(paths), metrics, cors }
}

/// The interface, and what is beside it. Nested into one route, the interface would have every request's path taken apart
/// twice and put together again in between.
struct Fork<A> {
    api: A,
    beside: Route,
    /// How long a request that only reads may wait for the database.
    read_limit: Duration,
}

impl<A: Endpoint<Output = Response>> Endpoint for Fork<A> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let path = request.uri().path();
        // A path that cannot be decoded names nothing; the other routes are told apart by literal text alone.
        if path.starts_with(API) && percent::is_decodable(path) {
            if request.method().is_safe() {
                deadline::scope(self.read_limit, self.api.call(request)).await
            } else {
                self.api.call(request).await
            }
        } else {
            self.beside.call(request).await
        }
    }
}

/// The outermost layer: names the request, decides about its origin, catches a panic, renders a failure, counts and logs
/// the answer.
struct Edge<E> {
    inner: E,
    metrics: Arc<Metrics>,
    cors: Cors,
}

impl<E: Endpoint<Output = Response>> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let _in_flight = self.metrics.accepted();
        let context = Context::new(RequestId::of(request.headers()));
        request.extensions_mut().insert(context.clone());
        let method = request.method().clone();
        let (grant, answer) = match self.cors.check(&request) {
            Ok(grant) if grant != Grant::Nothing && cors::is_preflight(&request) => (grant, Ok(cors::preflight())),
            Ok(grant) => {
                let outcome = AssertUnwindSafe(self.inner.call(request)).catch_unwind().await;
                // The panic's own message is on standard error already; here it gets the request's id.
                let panicked = |_| Err(Problem::because(Code::Internal, Cause::new("a handler panicked")).into());
                (grant, outcome.unwrap_or_else(panicked))
            }
            Err(problem) => (Grant::Nothing, Err(problem.into())),
        };
        let mut response = self.finish(answer.unwrap_or_else(into_response), &context, method.as_str(), started);
        self.cors.apply(grant, &mut response);
        Ok(response)
    }
}

impl<E: Send + Sync> Refuse for Edge<E> {
    fn refuse(&self, problem: Problem) -> Response {
        let context = Context::new(RequestId::of(&HeaderMap::new()));
        let mut response = self.finish(problem.into_response(), &context, NO_OPERATION, Instant::now());
        self.cors.apply(self.cors.of_unread_head(), &mut response);
        response
    }
}

impl<E> Edge<E> {
    /// Renders a failure, names the answer, counts it and logs it.
    fn finish(&self, response: Response, context: &Context, method: &str, started: Instant) -> Response {
        let mut response = problem::render(response, &context.request_id);
        if let Ok(id) = HeaderValue::from_str(context.request_id.as_str()) {
            response.headers_mut().insert(HeaderName::from_static(REQUEST_ID), id);
        }
        let operation = response.data::<OperationId>().map_or(NO_OPERATION, |operation| operation.0);
        let duration = started.elapsed();
        self.metrics.answered(operation, response.status().as_u16(), duration);
        tracing::info!(
            request_id = context.request_id.as_str(),
            tenant = context.tenant().map(tracing::field::display),
            operation,
            method,
            status = response.status().as_u16(),
            duration_ms = f64::from(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)) / 1e3,
            "answered"
        );
        response
    }
}

/// A failure of ours has its problem with it; one of the framework gets one.
fn into_response(mut error: poem::Error) -> Response {
    if error.data::<Problem>().is_none() {
        error.set_data(Problem::of_framework(&error));
    }
    error.into_response()
}
