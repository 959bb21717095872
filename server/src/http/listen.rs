//! Connections: accepting them, bounding them, and letting them finish.
//!
//! poem's own server sets no `TCP_NODELAY`, spins when descriptors run out, and has no limit on connections or on how long
//! a request's head may take; so the loop is ours, on hyper's connection. HTTP/1.1 only: HTTP/2 is spoken by the proxy
//! that ends TLS, and telling the two apart would mean to wait for a connection's first bytes without that limit.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::{
    Addr, Endpoint, Response,
    http::{self, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::Limits;

/// The pause after `accept` failed for want of descriptors or memory: trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `endpoint` on `listener` until `shutdown`, then lets accepted requests finish, for at most
/// [`Limits::drain`].
pub(crate) async fn serve(
    listener: TcpListener,
    endpoint: impl Endpoint<Output = Response> + 'static,
    limits: &Limits,
    shutdown: CancellationToken,
) {
    let endpoint = Arc::new(endpoint);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let aborted = CancellationToken::new();
    let local = listener.local_addr().ok();
    loop {
        // At the limit new connections wait in the kernel's queue, where they cost nothing.
        let (slot, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            } => next,
        };
        let (stream, remote) = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                refused(&error).await;
                continue;
            }
        };
        let connection = Connection {
            stream,
            local: LocalAddr(local.unwrap_or(remote).into()),
            remote: RemoteAddr(Addr::SocketAddr(remote)),
            head_timeout: limits.head,
            shutdown: shutdown.clone(),
        };
        let endpoint = endpoint.clone();
        let aborted = aborted.clone();
        connections.spawn(async move {
            let _slot = slot;
            tokio::select! {
                () = connection.serve(endpoint) => {}
                () = aborted.cancelled() => {}
            }
        });
    }
    // From here on nobody is accepted: the port is free for a successor.
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections that did not finish in time");
        aborted.cancel();
        connections.wait().await;
    }
}

async fn refused(error: &io::Error) {
    // The peer went away between the handshake and us: nothing to wait for.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

struct Connection {
    stream: TcpStream,
    local: LocalAddr,
    remote: RemoteAddr,
    head_timeout: Duration,
    shutdown: CancellationToken,
}

impl Connection {
    async fn serve(self, endpoint: Arc<impl Endpoint<Output = Response> + 'static>) {
        let Self { stream, local, remote, head_timeout, shutdown } = self;
        // Answers are small: waiting to fill a segment would only delay them.
        _ = stream.set_nodelay(true);
        let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            let endpoint = endpoint.clone();
            let request = (request, local.clone(), remote.clone(), Scheme::HTTP);
            async move { Ok::<http::Response<_>, Infallible>(endpoint.get_response(request.into()).await.into()) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // Also bounds how long an idle connection is kept: the timer runs while the next head is awaited.
            .header_read_timeout(head_timeout)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(connection);
        let outcome = tokio::select! {
            outcome = &mut connection => outcome,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            // As a rule the peer broke off. What hyper could still answer, it has answered.
            tracing::debug!(%error, "connection ended early");
        }
    }
}
