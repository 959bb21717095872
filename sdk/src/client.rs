//! The client, its builder and its settings.

use std::env::{self, VarError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::api_key::ApiKey;
use crate::base_url::BaseUrl;
use crate::clock::{Clock, TokioClock};
use crate::error::Error;
use crate::headers::{self, HeaderNames};
use crate::retry_budget::RetryBudget;
use crate::retry_policy::RetryPolicy;
use crate::transport::{self, Transport, TransportSettings};

/// The environment variable with the server's address.
const URL_VARIABLE: &str = "PARLOR_URL";
/// The environment variable with the tenant's API key.
const KEY_VARIABLE: &str = "PARLOR_API_KEY";

/// A client for one Parlor server and one tenant.
///
/// Cheap to clone: clones share connections and the retry budget. Create one client and reuse it.
///
/// `Debug` prints neither the API key nor header values.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<ClientInner>,
}

pub(crate) struct ClientInner {
    pub(crate) settings: ClientSettings,
    pub(crate) transport: Transport,
    pub(crate) retry_budget: RetryBudget,
}

impl Client {
    /// Creates a client with the default settings.
    ///
    /// The address may include a path prefix, with or without a trailing slash: `https://example.com/parlor` leads to
    /// `https://example.com/parlor/api/v1/…`.
    ///
    /// ```
    /// let client = parlor_sdk::Client::new("http://localhost:8000", "your-tenant-api-key")?;
    /// assert!(!format!("{client:?}").contains("your-tenant-api-key"));
    /// # Ok::<(), parlor_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the address is not `http` or `https`, if it contains a
    /// user name, password, query or fragment, if the key is empty or not visible ASCII, or if the platform has no
    /// certificate roots for an `https` address.
    pub fn new(base_url: impl AsRef<str>, api_key: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder(base_url, api_key).build()
    }

    /// Creates a client with the address and key from the environment variables `PARLOR_URL` and `PARLOR_API_KEY`.
    ///
    /// ```no_run
    /// let client = parlor_sdk::Client::from_env()?;
    /// # Ok::<(), parlor_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if a variable is missing, empty or not UTF-8; the message
    /// names the variable. Otherwise as [`Client::new`].
    pub fn from_env() -> Result<Self, Error> {
        ClientBuilder::from_env()?.build()
    }

    /// Returns a builder for a client with custom settings.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let client = parlor_sdk::Client::builder("http://localhost:8000", "your-tenant-api-key")
    ///     .total_timeout(Duration::from_secs(10))
    ///     .user_agent("support-desk/2.1")
    ///     .build()?;
    /// # Ok::<(), parlor_sdk::Error>(())
    /// ```
    pub fn builder(base_url: impl AsRef<str>, api_key: impl AsRef<str>) -> ClientBuilder {
        let base_url = BaseUrl::parse(base_url.as_ref());
        let api_key = ApiKey::parse(api_key.as_ref());
        ClientBuilder { settings: base_url.and_then(|base_url| Ok(ClientSettings::new(base_url, api_key?))) }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

/// Builder for a [`Client`].
///
/// Each setting documents its default. Invalid settings are reported by [`build`](ClientBuilder::build).
///
/// ```
/// use std::time::Duration;
/// use parlor_sdk::{Client, ErrorKind, RetryPolicy};
///
/// let client = Client::builder("https://example.com/parlor", "your-tenant-api-key")
///     .connect_timeout(Duration::from_secs(2))
///     .attempt_timeout(Duration::from_secs(5))
///     .total_timeout(Duration::from_secs(20))
///     .retry(RetryPolicy::default().max_attempts(4))
///     .header("X-Gateway-Token", "gateway-token")
///     .user_agent("support-desk/2.1")
///     .max_response_bytes(1024 * 1024)
///     .build()?;
///
/// let wrong = Client::builder("example.com", "your-tenant-api-key").no_proxy().build();
/// assert_eq!(wrong.unwrap_err().kind(), ErrorKind::Configuration);
/// # Ok::<(), parlor_sdk::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ClientBuilder {
    /// The settings, or the first error.
    settings: Result<ClientSettings, Error>,
}

pub(crate) struct ClientSettings {
    pub(crate) base_url: BaseUrl,
    pub(crate) api_key: ApiKey,
    pub(crate) headers: HeaderMap,
    pub(crate) attempt_timeout: Duration,
    pub(crate) total_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Fn() -> f64 + Send + Sync>,
    transport: TransportSettings,
}

impl ClientSettings {
    fn new(base_url: BaseUrl, api_key: ApiKey) -> Self {
        let transport = TransportSettings::for_server(&base_url);
        Self {
            base_url,
            api_key,
            headers: HeaderMap::new(),
            attempt_timeout: Duration::from_secs(15),
            total_timeout: Duration::from_secs(60),
            retry: RetryPolicy::default(),
            clock: Arc::new(TokioClock),
            randomness: Arc::new(random),
            transport,
        }
    }
}

/// Returns a uniformly distributed number in `0.0..1.0`. Without a source of randomness, every delay has its maximum
/// length.
fn random() -> f64 {
    // An f64 has a 53-bit significand, so 53 bits never round up to 1.0.
    let bits = getrandom::u64().unwrap_or(u64::MAX) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let numerator = bits as f64;
    numerator / 2_f64.powi(53)
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("base_url", &format_args!("{}", self.base_url))
            .field("api_key", &self.api_key)
            .field("headers", &HeaderNames(&self.headers))
            .field("attempt_timeout", &self.attempt_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("retry", &self.retry)
            .field("clock", &self.clock)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Creates a builder with the address and key from the environment, as [`Client::from_env`] does.
    ///
    /// ```no_run
    /// let client = parlor_sdk::ClientBuilder::from_env()?.user_agent("support-desk/2.1").build()?;
    /// # Ok::<(), parlor_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Same as [`Client::from_env`].
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| env::var(name))
    }

    /// Takes the lookup as a parameter: setting real variables in a test would affect other tests.
    fn from_variables(read: impl Fn(&str) -> Result<String, VarError>) -> Result<Self, Error> {
        let url = variable(&read, URL_VARIABLE, "the server's address, for example http://localhost:8000")?;
        let key = variable(&read, KEY_VARIABLE, "the tenant's API key")?;
        let url = BaseUrl::parse(&url).map_err(|error| error.context(URL_VARIABLE))?;
        let key = ApiKey::parse(&key).map_err(|error| error.context(KEY_VARIABLE))?;
        Ok(Self { settings: Ok(ClientSettings::new(url, key)) })
    }

    /// Sets the maximum time to open a connection, including the TLS handshake. Default: 5 seconds.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.modify(|settings| {
            settings.transport.connect_timeout = positive_timeout(timeout, "connect")?;
            Ok(())
        })
    }

    /// Sets the maximum time for one attempt, from opening the connection to the last byte of the response. Default: 15
    /// seconds.
    pub fn attempt_timeout(self, timeout: Duration) -> Self {
        self.modify(|settings| {
            settings.attempt_timeout = positive_timeout(timeout, "attempt")?;
            Ok(())
        })
    }

    /// Sets the maximum time for a call, including all attempts and the delays between them. Default: 60 seconds. A
    /// single call can override it with [`Call::timeout`](crate::Call::timeout).
    pub fn total_timeout(self, timeout: Duration) -> Self {
        self.modify(|settings| {
            settings.total_timeout = positive_timeout(timeout, "total")?;
            Ok(())
        })
    }

    /// Sets which requests are retried, how often and when. Default: [`RetryPolicy::default`].
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.modify(|settings| {
            settings.retry = policy;
            Ok(())
        })
    }

    /// Adds a header to every request, for example one that a gateway in front of the server requires. Replaces an
    /// earlier header with the same name. A single call can add its own with [`Call::header`](crate::Call::header).
    ///
    /// The headers that the SDK sets (`X-API-Key`, `Idempotency-Key`, `User-Agent`, `Accept`, `Content-Type` and those
    /// of the connection) cannot be set this way.
    pub fn header(self, name: impl TryInto<HeaderName>, value: impl TryInto<HeaderValue>) -> Self {
        self.modify(|settings| {
            let (name, value) = headers::parse(name, value).map_err(Error::configuration)?;
            settings.headers.insert(name, value);
            Ok(())
        })
    }

    /// Sets the application's name and version, for example `support-desk/2.1`. It precedes the SDK's own
    /// `parlor-sdk/…` in `User-Agent` (RFC 9110, section 10.1.5).
    pub fn user_agent(self, product: impl AsRef<str>) -> Self {
        self.modify(|settings| {
            let value = format!("{} {}", product.as_ref(), transport::USER_AGENT);
            settings.transport.user_agent = HeaderValue::from_str(&value).map_err(|error| {
                Error::configuration("the user agent is not a valid header value").with_source(error)
            })?;
            Ok(())
        })
    }

    /// Sets the maximum size of a successful response body, in bytes. Default: 8 MiB. A larger body is
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge).
    pub fn max_response_bytes(self, bytes: usize) -> Self {
        self.modify(|settings| {
            settings.transport.max_response_bytes = bytes;
            Ok(())
        })
    }

    /// Ignores the proxies in `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY` and connects directly. Loopback addresses
    /// (`localhost`, `127.0.0.1`, `[::1]`) never use a proxy.
    pub fn no_proxy(self) -> Self {
        self.modify(|settings| {
            settings.transport.proxies = false;
            Ok(())
        })
    }

    /// Sets the clock. Default: Tokio's clock. Intended for tests.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.modify(|settings| {
            settings.clock = Arc::new(clock);
            Ok(())
        })
    }

    /// Sets the source of jitter for the delay between attempts: a function that returns a number from 0.0 (no delay)
    /// to 1.0 (the maximum delay). Default: the operating system's randomness. Intended for tests.
    ///
    /// ```
    /// # use parlor_sdk::Client;
    /// let builder = Client::builder("http://localhost:8000", "your-tenant-api-key").randomness(|| 0.5);
    /// ```
    pub fn randomness(self, draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.modify(|settings| {
            settings.randomness = Arc::new(draw);
            Ok(())
        })
    }

    /// Builds the client. Does not open a connection.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) for the first invalid setting; otherwise as [`Client::new`].
    pub fn build(self) -> Result<Client, Error> {
        let settings = self.settings?;
        let transport = Transport::new(&settings.transport)?;
        let retry_budget = RetryBudget::new(settings.retry.budget);
        Ok(Client { inner: Arc::new(ClientInner { settings, transport, retry_budget }) })
    }

    fn modify(self, change: impl FnOnce(&mut ClientSettings) -> Result<(), Error>) -> Self {
        let settings = self.settings.and_then(|mut settings| {
            change(&mut settings)?;
            Ok(settings)
        });
        Self { settings }
    }
}

fn variable(read: &impl Fn(&str) -> Result<String, VarError>, name: &str, meaning: &str) -> Result<String, Error> {
    match read(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        Ok(_) => Err(Error::configuration(format!("{name} is empty: set it to {meaning}"))),
        Err(VarError::NotPresent) => Err(Error::configuration(format!("{name} is not set: set it to {meaning}"))),
        // `NotUnicode` is not kept as the cause because it prints the value.
        Err(VarError::NotUnicode(_)) => Err(Error::configuration(format!("{name} is not UTF-8: set it to {meaning}"))),
    }
}

fn positive_timeout(timeout: Duration, name: &str) -> Result<Duration, Error> {
    if timeout.is_zero() {
        return Err(Error::configuration(format!("the {name} timeout must be greater than zero")));
    }
    Ok(timeout)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::ffi::OsString;

    use super::*;

    fn from(variables: &[(&'static str, &'static str)]) -> Result<Client, Error> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        ClientBuilder::from_variables(|name| {
            variables.get(name).map(|value| (*value).to_owned()).ok_or(VarError::NotPresent)
        })?
        .build()
    }

    #[test]
    fn the_environment_is_read() {
        let client = from(&[("PARLOR_URL", "http://localhost:8000/"), ("PARLOR_API_KEY", "key")]).unwrap();
        assert_eq!(client.inner.settings.base_url.to_string(), "http://localhost:8000");
        assert_eq!(client.inner.settings.api_key.header_value(), "key");
    }

    #[test]
    fn errors_name_the_variable() {
        let (url, key) = (("PARLOR_URL", "http://localhost:8000"), ("PARLOR_API_KEY", "key"));
        for (variables, expected) in [
            (vec![key], "PARLOR_URL is not set"),
            (vec![url], "PARLOR_API_KEY is not set"),
            (vec![("PARLOR_URL", ""), key], "PARLOR_URL is empty"),
            (vec![url, ("PARLOR_API_KEY", "")], "PARLOR_API_KEY is empty"),
            (vec![("PARLOR_URL", "localhost:8000"), key], "PARLOR_URL"),
            (vec![url, ("PARLOR_API_KEY", "key\n")], "PARLOR_API_KEY"),
        ] {
            let error = from(&variables).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Configuration);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_variable_that_is_not_utf8_is_not_printed() {
        let error = ClientBuilder::from_variables(|_| Err(VarError::NotUnicode(OsString::from("hunter2"))))
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains("PARLOR_URL is not UTF-8"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn random_numbers_are_in_range_and_differ() {
        let drawn: Vec<f64> = (0..100).map(|_| random()).collect();
        assert!(drawn.iter().all(|number| (0.0..1.0).contains(number)), "{drawn:?}");
        assert!(drawn.windows(2).any(|pair| pair[0].to_bits() != pair[1].to_bits()), "{drawn:?}");
    }
}
