//! Connections: accepting them, bounding them, and letting them finish.
//!
//! poem's own server sets no `TCP_NODELAY`, spins when descriptors run out, and bounds neither connections nor the time that
//! a request takes to arrive; so the loop is Parlor's own, on hyper's connection. HTTP/1.1 only: HTTP/2 is spoken by the
//! proxy that ends TLS.
//!
//! ```text
//! admission    how many connections, and which one makes room for another
//! connection   the life of one: head, exchange, head, ...
//! head         reads a request's head into a small buffer
//! exchange     requests and answers, by hyper
//! port         the address, taken before it is listened on
//! peer_io      hyper's view of the socket; notes what the connection waits for
//! state        what it waits for, since when, and what it was told to do
//! ```

mod admission;
mod answer;
mod connection;
mod exchange;
mod head;
mod peer_io;
mod port;
mod refuse;
mod state;
mod upgraded;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use poem::{
    Addr, Endpoint, Response,
    web::{LocalAddr, RemoteAddr},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::port::BoundPort;
use self::{
    admission::{Admission, Admitted, Bounds, Permit},
    connection::Connection,
    exchange::Ends,
    state::{Order, Times, millis},
};
pub(crate) use self::{
    exchange::SharedBody,
    refuse::Refuse,
    state::ConnectionState,
    upgraded::{Upgrade, Upgraded},
};
use super::limits::HttpLimits;

/// The pause after `accept` failed for want of descriptors or memory: trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The least bound on a request's head, which is hyper's.
const MIN_HEAD_LIMIT: usize = 8 * 1024;

/// Serves `endpoint` on `listener` until `shutdown`, then lets accepted requests finish, for at most
/// [`HttpLimits::drain`].
pub(crate) async fn serve<E: Endpoint<Output = Response> + Refuse + 'static>(
    listener: TcpListener,
    endpoint: E,
    limits: &HttpLimits,
    shutdown: CancellationToken,
) {
    let endpoint = Arc::new(endpoint);
    let bounds = Bounds {
        total: limits.connections,
        per_address: limits.connections_per_address,
        bytes: limits.connection_bytes,
    };
    let times = Times {
        head: millis(limits.head),
        write: millis(limits.write),
        write_rate: limits.write_rate.into(),
        stop_grace: millis(limits.stop_grace),
    };
    let admission = Arc::new(Admission::new(bounds));
    let head_limit = limits.head_bytes.max(MIN_HEAD_LIMIT);
    let connections = TaskTracker::new();
    let local = listener.local_addr().ok();
    loop {
        let next = tokio::select! {
            () = shutdown.cancelled() => break,
            next = accept(&listener, &admission, times) => next,
        };
        let Some((stream, remote, permit)) = next else { continue };
        let ends =
            Ends { local: LocalAddr(local.unwrap_or(remote).into()), remote: RemoteAddr(Addr::SocketAddr(remote)) };
        let endpoint = endpoint.clone();
        let connection = Connection { stream, permit, ends, endpoint, head_limit };
        connections.spawn(connection.serve());
    }
    // From here on the port is free for a successor.
    drop(listener);
    connections.close();
    admission.give_all(Order::Stop);
    if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections that did not finish in time");
        admission.give_all(Order::Abort);
        connections.wait().await;
    }
}

/// Accepts a connection and waits until it is admitted; `None`: there is none.
async fn accept(
    listener: &TcpListener,
    admission: &Arc<Admission>,
    times: Times,
) -> Option<(TcpStream, SocketAddr, Permit)> {
    let (stream, remote) = match listener.accept().await {
        Ok(connection) => connection,
        Err(error) => {
            failed(&error).await;
            return None;
        }
    };
    loop {
        match admission.admit(remote.ip(), times) {
            Admitted::Yes(permit) => return Some((stream, remote, permit)),
            Admitted::NotFromThisAddress => return None,
            // Those that come later wait in the kernel, where they cost nothing.
            Admitted::NotNow => admission.change().await,
        }
    }
}

async fn failed(error: &io::Error) {
    // The peer went away between the handshake and the accept: nothing to wait for.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
