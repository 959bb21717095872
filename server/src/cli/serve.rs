//! `parlor serve`.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    num::{NonZeroU16, NonZeroUsize},
    time::Duration,
};

use clap::{Args, builder::BoolishValueParser};
use tokio_util::sync::CancellationToken;

use super::{
    Database, Failure, Unshown, assistant::Assistant, greeting::greeting, listen_address::ListenAddress, log::Log,
    secret_setting::secret, signals::stop_on_signals,
};
use crate::{
    app::{App, BoundPort},
    config::Config,
    domain::ApiKey,
};

/// The group of the help in which a setting of no other group is. Named at each setting after a group of another struct,
/// which clap would otherwise go on with.
const SERVER: &str = "Server";

#[derive(Debug, Args)]
#[command(next_help_heading = SERVER)]
pub(super) struct Serve {
    /// The address to listen on, as in `8000`, `localhost:8000`, `0.0.0.0` or `[::1]:80`; port 0 takes a free one.
    #[arg(long, env = "PARLOR_LISTEN", default_value_t = Config::LISTEN.into())]
    listen: ListenAddress,
    #[command(flatten)]
    database: Database,
    /// A key for the tenant `default`, for development and provisioning; without it an empty database gets a random one,
    /// printed once. It replaces the bootstrap keys of earlier starts, which are revoked.
    #[arg(long, env = "PARLOR_BOOTSTRAP_API_KEY", hide_env_values = true, help_heading = SERVER)]
    bootstrap_api_key: Option<Unshown>,
    /// A file that holds that key, in place of the key.
    #[arg(long, env = "PARLOR_BOOTSTRAP_API_KEY_FILE", help_heading = SERVER)]
    bootstrap_api_key_file: Option<OsString>,
    /// Let the bootstrap keys of earlier starts stay valid beside the new one.
    #[arg(long, env = "PARLOR_KEEP_BOOTSTRAP_KEYS", value_parser = BoolishValueParser::new(), help_heading = SERVER)]
    keep_bootstrap_keys: bool,
    /// The origins whose pages may use the API and open live connections, separated by commas; without any, every origin.
    #[arg(long, env = "PARLOR_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = origin, help_heading = SERVER)]
    allowed_origins: Vec<String>,
    #[command(flatten)]
    assistant: Assistant,
    /// Serve a page to chat with at /demo/. Whoever reaches it gets in without a key, into the chats of the tenant
    /// `default` and to the assistant: not for the internet.
    #[arg(long, env = "PARLOR_DEMO", value_parser = BoolishValueParser::new(), help_heading = "Demo")]
    demo: bool,
    /// HTTP connections at one time, live connections apart.
    #[arg(long, env = "PARLOR_MAX_CONNECTIONS", default_value = "10000", help_heading = SERVER)]
    max_connections: NonZeroUsize,
    /// HTTP connections at one time from one client address (an IPv4 address or an IPv6 /64). A reverse proxy is one address.
    #[arg(long, env = "PARLOR_MAX_CONNECTIONS_PER_ADDRESS", default_value = "2000", help_heading = SERVER)]
    max_connections_per_address: NonZeroUsize,
    /// Memory that HTTP connections may hold for heads, bodies and answers, in MiB.
    #[arg(long, env = "PARLOR_MAX_CONNECTION_MEMORY", default_value = "24", help_heading = SERVER)]
    max_connection_memory: NonZeroU16,
    /// After a signal to stop, how long the port stays open while /readyz answers 503, as in `10s`.
    #[arg(long, env = "PARLOR_DRAIN_DELAY", default_value = "0s", value_parser = humantime::parse_duration, help_heading = SERVER)]
    drain_delay: Duration,
    #[command(flatten)]
    log: Log,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.log.start()?;
        let mut config = Config::new(self.database.url()?);
        let key = secret("PARLOR_BOOTSTRAP_API_KEY", self.bootstrap_api_key, self.bootstrap_api_key_file.clone())?;
        config.bootstrap_key = key.as_deref().map(ApiKey::chosen).transpose()?;
        config.keep_bootstrap_keys = self.keep_bootstrap_keys;
        config.origins = self.allowed_origins;
        config.limits.assistant = self.assistant.limits();
        config.assistant = self.assistant.provider()?;
        config.demo = self.demo;
        config.limits.http.connections = self.max_connections.get();
        config.limits.http.connections_per_address = self.max_connections_per_address.get();
        config.limits.http.connection_bytes = usize::from(self.max_connection_memory.get()) * 1024 * 1024;
        config.limits.drain_delay = self.drain_delay;
        // Taken before anything is stored; connections come only once everything is ready.
        let port = BoundPort::bind(self.listen.resolve().await?)?;
        let app = App::open(config, port).await?;
        let address = app.address();
        let text = greeting(address, app.bootstrap(), self.bootstrap_api_key_file.as_deref(), app.has_demo());
        let shutdown = CancellationToken::new();
        stop_on_signals(shutdown.clone())?;
        let mut output = io::stdout().lock();
        if let Err(error) = output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
            tracing::warn!(%error, "could not print the address and the first key; `parlor key create` makes another");
        }
        drop(output);
        if app.has_demo() {
            tracing::warn!(
                "with --demo anybody who reaches this server may chat without a key, as the tenant `default`"
            );
        }
        tracing::info!(%address, "listening");
        app.run(shutdown).await;
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
