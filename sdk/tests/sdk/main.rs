//! The SDK against a scripted server on a real port, in virtual time, and against the server's documents.

mod chats;
mod clock;
mod contract;
mod environment;
mod failures;
mod lists;
mod live;
mod live_chaos;
mod live_failures;
mod live_server;
mod messages;
mod parameters;
mod permanent;
mod redaction;
mod requests;
mod retries;
mod secrets;
mod server;
mod tickets;
mod wait;

use parlor_sdk::{Client, ClientBuilder};

use crate::clock::VirtualClock;
use crate::server::Server;

/// The API key of every test.
const KEY: &str = "plr_0123456789abcdefghijKLMNOPQRSTUVcrc32x";

/// Builds a client of the scripted server in virtual time, whose every delay is half of the maximum.
fn builder(server: &Server, clock: &VirtualClock) -> ClientBuilder {
    Client::builder(server.url(), KEY).clock(clock.clone()).randomness(|| 0.5)
}

fn client(server: &Server) -> Client {
    builder(server, &VirtualClock::new()).build().unwrap()
}
