//! `parlor serve`.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    num::{NonZeroU16, NonZeroUsize},
    process,
};

use clap::{Args, builder::BoolishValueParser};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Database, Failure, Unshown, assistant::Assistant, log::Log};
use crate::{
    app::{App, bind},
    config::Config,
    tenant::{ApiKey, Bootstrap},
};

/// The exit status after a second signal: 128 + SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "PARLOR_LISTEN", default_value_t = Config::LISTEN)]
    listen: SocketAddr,
    #[command(flatten)]
    database: Database,
    /// A key for the tenant `default`, for development and provisioning; without it an empty database gets a random one,
    /// printed once.
    #[arg(long, env = "PARLOR_BOOTSTRAP_API_KEY", hide_env_values = true)]
    bootstrap_api_key: Option<Unshown>,
    /// The origins whose pages may use the API and open live connections, separated by commas; without any, every origin.
    #[arg(long, env = "PARLOR_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = origin)]
    allowed_origins: Vec<String>,
    #[command(flatten)]
    assistant: Assistant,
    /// Serve a page to chat with at /demo/. Whoever reaches it gets in without a key, into the chats of the tenant
    /// `default` and to the assistant: not for the internet.
    #[arg(long, env = "PARLOR_DEMO", value_parser = BoolishValueParser::new())]
    demo: bool,
    /// HTTP connections at one time, live connections apart.
    #[arg(long, env = "PARLOR_MAX_CONNECTIONS", default_value = "10000")]
    max_connections: NonZeroUsize,
    /// HTTP connections at one time from one client address (an IPv4 address or an IPv6 /64). A reverse proxy is one address.
    #[arg(long, env = "PARLOR_MAX_CONNECTIONS_PER_ADDRESS", default_value = "2000")]
    max_connections_per_address: NonZeroUsize,
    /// Memory that HTTP connections may hold for heads, bodies and answers, in MiB.
    #[arg(long, env = "PARLOR_MAX_CONNECTION_MEMORY", default_value = "24")]
    max_connection_memory: NonZeroU16,
    #[command(flatten)]
    log: Log,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.log.start()?;
        let mut config = Config::new(self.database.url()?);
        config.bootstrap_key = self.bootstrap_api_key.map(|key| ApiKey::chosen(&key.0)).transpose()?;
        config.origins = self.allowed_origins;
        config.limits.assistant = self.assistant.limits();
        config.assistant = self.assistant.provider()?;
        config.demo = self.demo;
        config.limits.connections = self.max_connections.get();
        config.limits.connections_per_address = self.max_connections_per_address.get();
        config.limits.connection_bytes = usize::from(self.max_connection_memory.get()) * 1024 * 1024;
        let app = App::open(config).await?;
        // Bound last: a server that is not ready does not let connections pile up.
        let listener = bind(self.listen)
            .map_err(Failure::io(format!("cannot listen on {} (--listen takes another address)", self.listen)))?;
        let address = listener.local_addr().map_err(Failure::io("cannot read the address listened on"))?;
        let shutdown = CancellationToken::new();
        stop_on_signals(shutdown.clone())?;
        print!("{}", greeting(address, app.bootstrap(), self.demo));
        if self.demo {
            tracing::warn!(
                "with --demo anybody who reaches this server may chat without a key, as the tenant `default`"
            );
        }
        tracing::info!(%address, "listening");
        app.run(listener, shutdown).await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Takes an origin as a browser writes it in `Origin`: what is written otherwise would never match. Browsers leave out the
/// scheme's own port.
fn origin(text: &str) -> Result<String, String> {
    let of_scheme = |scheme: &str, own_port: &str| text.strip_prefix(scheme).filter(|host| !host.ends_with(own_port));
    let host = of_scheme("https://", ":443").or_else(|| of_scheme("http://", ":80"));
    let is_host = |host: &str| {
        !host.is_empty()
            && host.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']'))
    };
    if host.is_some_and(is_host) {
        Ok(text.to_owned())
    } else {
        Err("an origin is written like https://example.org or http://localhost:3000: in lower case, without a path and \
             without the ports 80 of http and 443 of https"
            .to_owned())
    }
}

/// The first SIGTERM or SIGINT asks the server to finish; the second ends the process at once.
fn stop_on_signals(shutdown: CancellationToken) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::io("cannot wait for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::io("cannot wait for SIGINT"))?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if shutdown.is_cancelled() {
                tracing::warn!("ending at once, after a second signal");
                process::exit(INTERRUPTED);
            }
            tracing::info!("stopping: accepted requests finish; a second signal ends at once");
            shutdown.cancel();
        }
    });
    Ok(())
}

/// What a new user needs to go on. Printed, not logged: it may hold the new key.
fn greeting(address: SocketAddr, bootstrap: &Bootstrap, demo: bool) -> String {
    let url = format!("http://{address}");
    let mut text = format!("Parlor listens on {url}\nSwagger UI: {url}/docs/\n");
    if demo {
        _ = writeln!(text, "Demo: {url}/demo/");
    }
    let key = match bootstrap {
        Bootstrap::Issued(issued) => {
            _ = write!(
                text,
                "\nThe database was empty: the tenant `default` has the API key\n\n    {}\n\n\
                 It is shown this once. `parlor key create --tenant default` makes another.\n",
                issued.key.reveal()
            );
            issued.key.reveal()
        }
        Bootstrap::Adopted => {
            text.push_str("\nThe tenant `default` now has the key of PARLOR_BOOTSTRAP_API_KEY.\n");
            "$PARLOR_BOOTSTRAP_API_KEY"
        }
        Bootstrap::Ready => return text,
    };
    _ = write!(
        text,
        "\nCreate a chat:\n\n    curl -X POST {url}/api/v1/chats/ \\\n      -H \"X-API-Key: {key}\" \\\n      \
         -H \"Content-Type: application/json\" \\\n      -d '{{\"user_id\": \"user123\", \"title\": \"Support Session\"}}'\n\n"
    );
    text
}
