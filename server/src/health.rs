//! What an orchestrator and a monitor ask: alive, ready, and how busy.

use std::sync::Arc;

use poem::{Endpoint, Request, Response, endpoint::make, endpoint::make_sync};
use tokio_util::sync::CancellationToken;

use crate::{
    base::metrics::Metrics,
    http::{
        named::named,
        problem::{Code, Problem},
    },
    store::Store,
};

/// `GET /healthz`: the process answers. Asks nothing else, so that a database's failure does not restart every node.
pub(crate) fn healthz() -> impl Endpoint {
    make_sync(|_: Request| named("healthz", ok()))
}

/// `GET /readyz`: the database answers and takes writes; 503 when it does not, and from the moment at which `stopping` is
/// cancelled.
pub(crate) fn readyz(store: Store, stopping: CancellationToken) -> impl Endpoint {
    make(move |_: Request| {
        let (store, stopping) = (store.clone(), stopping.clone());
        async move {
            if stopping.is_cancelled() {
                return Ok(named("readyz", Problem::detailed(Code::Unavailable, "The server is stopping.")));
            }
            let response = match store.check_ready().await {
                Ok(()) => named("readyz", ok()),
                Err(error) => named("readyz", Problem::from(error)),
            };
            Ok::<_, poem::Error>(response)
        }
    })
}

/// `GET /metrics`: for Prometheus.
pub(crate) fn metrics(metrics: Arc<Metrics>) -> impl Endpoint {
    make_sync(move |_: Request| {
        named("metrics", Response::builder().content_type(Metrics::CONTENT_TYPE).body(metrics.render()))
    })
}

fn ok() -> Response {
    Response::builder().content_type("application/json").body(r#"{"status":"ok"}"#)
}
