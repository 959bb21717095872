//! A peer for the benchmark: what Parlor does, written by hand on axum and sqlx.
//!
//! It is what a good engineer would write in a day: the same interface, tables as Parlor has them, the same durability,
//! prepared statements, and one transaction a request. It is no chat backend: there is no idempotency, no listing, no
//! paging, no limits on what one client may take, no logs, no metrics, no graceful end, and of a live chat only the
//! sender hears anything. What those cost is what a comparison with Parlor shows.
//!
//! | variable | |
//! |---|---|
//! | `DATABASE_URL` | `sqlite://path`, created when missing, or `postgres://user:password@host/database` |
//! | `PEER_API_KEY` | the API key of its one tenant |
//! | `PEER_LISTEN` | where it listens; `127.0.0.1:0` if not given |
//!
//! ```sh
//! DATABASE_URL=sqlite://peer.db PEER_API_KEY=a-key cargo run --release -p parlor-bench-axum
//! ```
//!
//! It says `listens on http://ADDRESS` when it does, and ends with SIGTERM or Ctrl-C.

mod http;
mod model;
mod store;

use std::{env, error::Error};

use axum::serve::ListenerExt as _;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::store::Store;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let key = env::var("PEER_API_KEY").map_err(|_| "PEER_API_KEY is not set")?;
    let listen = env::var("PEER_LISTEN").unwrap_or_else(|_| "127.0.0.1:0".to_owned());

    let store = Store::open(&url).await?;
    let keys = http::keys(&store, &key).await?;
    let listener = TcpListener::bind(listen).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    println!("listens on http://{}", listener.local_addr()?);

    // Answers are small: waiting to fill a segment would only delay them.
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    let router = http::router(store, keys);
    tokio::select! {
        outcome = async { axum::serve(listener, router).await } => outcome?,
        _ = terminate.recv() => {}
        outcome = tokio::signal::ctrl_c() => outcome?,
    }
    Ok(())
}
