//! Options of the attack driver, and the warm-up of a server.

use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use super::scripts::{MESSAGE_BYTES, MESSAGES, Target};
use crate::{
    Outcome,
    http::{CHATS, Connection, get, new_chat, post},
    options::new_chats,
    server::Server,
    trial::TrialOptions,
    websocket::Live,
};

/// Chats that are created before a server counts as warm.
const WARM_UP: usize = 300;

/// How to attack.
#[derive(Debug, Args)]
pub(crate) struct AttackOptions {
    #[command(flatten)]
    pub(super) trial: TrialOptions,
    /// Seconds that each attack lasts.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(super) seconds: u64,
    /// The most connections of an attack.
    #[arg(long, default_value_t = 10_000)]
    pub(super) connections: usize,
    /// Attack once each, in turn from one address and from many, instead of from both.
    #[arg(long)]
    pub(super) quick: bool,
    /// Milliseconds between two probes of one kind from one address.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(super) probe_millis: u64,
}

/// Brings a new server to the state whose memory is the idle one, and makes what attacks refer to.
pub(super) async fn warm_up(server: &Server) -> Outcome<Target> {
    let chat = new_chats(server, (0..WARM_UP).map(|n| new_chat(n, "warm"))).await?.swap_remove(0);
    let mut connection = Connection::open(server.address).await?;
    let path = format!("{CHATS}{chat}/messages");
    let message = format!(r#"{{"content":"{}"}}"#, "x".repeat(MESSAGE_BYTES));
    for _ in 0..MESSAGES {
        connection.exchange(&post(&path, &message)).await?;
    }
    for path in ["/openapi.json", "/asyncapi.json", "/docs/swagger-ui-bundle.js", "/readyz", &path] {
        connection.exchange(&get(path)).await?;
    }
    drop(Live::open(server.address, &chat).await?);
    sleep(Duration::from_millis(500)).await;
    Ok(Target { chat })
}
