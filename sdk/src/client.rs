//! The client and its settings.

use std::env::{self, VarError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::base_url::BaseUrl;
use crate::budget::Budget;
use crate::clock::{Clock, TokioClock};
use crate::error::Error;
use crate::headers::{self, Names};
use crate::retry::RetryPolicy;
use crate::secret::ApiKey;
use crate::transport::{self, Transport};

/// The variable that holds the server's address.
const URL_VARIABLE: &str = "PARLOR_URL";
/// The variable that holds the tenant's API key.
const KEY_VARIABLE: &str = "PARLOR_API_KEY";

/// A client of one Parlor server, for one tenant.
///
/// Cheap to clone: the clones share connections and retry budget. Make one and keep it.
///
/// Its `Debug` shows neither the API key nor the values of headers.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) transport: Transport,
    pub(crate) budget: Budget,
}

impl Client {
    /// A client with the default settings.
    ///
    /// The address may have a path in front of the API's, with or without a slash at its end:
    /// `https://example.com/parlor` leads to `https://example.com/parlor/api/v1/…`.
    ///
    /// ```
    /// let client = parlor_sdk::Client::new("http://localhost:8000", "your-tenant-api-key")?;
    /// assert!(!format!("{client:?}").contains("your-tenant-api-key"));
    /// # Ok::<(), parlor_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) when the address is not `http` or `https`, when it holds a
    /// user name, password, query or fragment, when the key is empty or not visible ASCII, or when the platform has
    /// no certificate roots for an `https` address.
    pub fn new(base_url: impl AsRef<str>, api_key: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder(base_url, api_key).build()
    }

    /// A client with the address and the key from the environment: `PARLOR_URL` and `PARLOR_API_KEY`.
    ///
    /// ```no_run
    /// let client = parlor_sdk::Client::from_env()?;
    /// # Ok::<(), parlor_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) when a variable is missing, empty or not UTF-8: the message
    /// names it. Otherwise as [`Client::new`].
    pub fn from_env() -> Result<Self, Error> {
        ClientBuilder::from_env()?.build()
    }

    /// A client with settings of its own.
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
        ClientBuilder { settings: base_url.and_then(|base_url| Ok(Settings::new(base_url, api_key?))) }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

/// Settings of a [`Client`] to be built.
///
/// Each setting documents its default. What is wrong with one is reported by [`build`](ClientBuilder::build).
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
///     .header("X-Gateway-Token", "what the gateway wants")
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
    /// The first setting that is wrong wins.
    settings: Result<Settings, Error>,
}

pub(crate) struct Settings {
    pub(crate) base_url: BaseUrl,
    pub(crate) api_key: ApiKey,
    pub(crate) headers: HeaderMap,
    pub(crate) attempt_timeout: Duration,
    pub(crate) total_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Fn() -> f64 + Send + Sync>,
    transport: transport::Settings,
}

impl Settings {
    fn new(base_url: BaseUrl, api_key: ApiKey) -> Self {
        let transport = transport::Settings::for_server(&base_url);
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

/// Evenly distributed in `0.0..1.0`. Without a source of randomness every pause has its full length.
fn random() -> f64 {
    // 53 bits, as many as the fraction of an f64 holds, so that no rounding makes it 1.0.
    let bits = getrandom::u64().unwrap_or(u64::MAX) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let numerator = bits as f64;
    numerator / 2_f64.powi(53)
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("base_url", &format_args!("{}", self.base_url))
            .field("api_key", &self.api_key)
            .field("headers", &Names(&self.headers))
            .field("attempt_timeout", &self.attempt_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("retry", &self.retry)
            .field("clock", &self.clock)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// The builder of [`Client::from_env`], for a client that takes its address and key from the environment and has
    /// other settings besides.
    ///
    /// ```no_run
    /// let client = parlor_sdk::ClientBuilder::from_env()?.user_agent("support-desk/2.1").build()?;
    /// # Ok::<(), parlor_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Client::from_env`].
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| env::var(name))
    }

    /// Reading the variables is a parameter, as a test cannot set them without affecting other tests.
    fn from_variables(read: impl Fn(&str) -> Result<String, VarError>) -> Result<Self, Error> {
        let url = variable(&read, URL_VARIABLE, "the server's address, for example http://localhost:8000")?;
        let key = variable(&read, KEY_VARIABLE, "the tenant's API key")?;
        let url = BaseUrl::parse(&url).map_err(|error| error.about(URL_VARIABLE))?;
        let key = ApiKey::parse(&key).map_err(|error| error.about(KEY_VARIABLE))?;
        Ok(Self { settings: Ok(Settings::new(url, key)) })
    }

    /// How long opening a connection may take, with the TLS handshake: 5 seconds unless set.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.amend(|settings| {
            settings.transport.connect_timeout = positive(timeout, "connect")?;
            Ok(())
        })
    }

    /// How long one attempt may take, from opening the connection to the last byte of the answer: 15 seconds unless
    /// set.
    pub fn attempt_timeout(self, timeout: Duration) -> Self {
        self.amend(|settings| {
            settings.attempt_timeout = positive(timeout, "attempt")?;
            Ok(())
        })
    }

    /// How long a call may take, with all its attempts and the pauses between them: 60 seconds unless set. A call can
    /// have its own: [`Call::timeout`](crate::Call::timeout).
    pub fn total_timeout(self, timeout: Duration) -> Self {
        self.amend(|settings| {
            settings.total_timeout = positive(timeout, "total")?;
            Ok(())
        })
    }

    /// What is repeated, how often and when: [`RetryPolicy::default`] unless set.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.amend(|settings| {
            settings.retry = policy;
            Ok(())
        })
    }

    /// A header for every request, for example what a gateway in front of the server wants. Replaces an earlier one of
    /// the same name. A call can add its own: [`Call::header`](crate::Call::header).
    ///
    /// The headers that the SDK sets (`X-API-Key`, `Idempotency-Key`, `User-Agent`, `Accept`, `Content-Type`, and those
    /// of the connection) cannot be set this way.
    pub fn header(self, name: impl TryInto<HeaderName>, value: impl TryInto<HeaderValue>) -> Self {
        self.amend(|settings| {
            let (name, value) = headers::parse(name, value).map_err(Error::configuration)?;
            settings.headers.insert(name, value);
            Ok(())
        })
    }

    /// The application's name and version, as in `support-desk/2.1`. It is sent in front of the SDK's own
    /// `parlor-sdk/…` (RFC 9110, section 10.1.5).
    pub fn user_agent(self, product: impl AsRef<str>) -> Self {
        self.amend(|settings| {
            let value = format!("{} {}", product.as_ref(), transport::USER_AGENT);
            settings.transport.user_agent = HeaderValue::from_str(&value)
                .map_err(|error| Error::configuration("the user agent is not a header value").caused_by(error))?;
            Ok(())
        })
    }

    /// The largest body of a successful answer, in bytes: 8 MiB unless set. A larger one is
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge).
    pub fn max_response_bytes(self, bytes: usize) -> Self {
        self.amend(|settings| {
            settings.transport.max_response_bytes = bytes;
            Ok(())
        })
    }

    /// Connects directly, whatever `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say. A server on this
    /// machine (`localhost`, `127.0.0.1`, `[::1]`) is always connected to directly.
    pub fn no_proxy(self) -> Self {
        self.amend(|settings| {
            settings.transport.proxies = false;
            Ok(())
        })
    }

    /// Where time comes from: Tokio's clock unless set. For tests.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.amend(|settings| {
            settings.clock = Arc::new(clock);
            Ok(())
        })
    }

    /// What draws the length of a pause between attempts, from 0.0 (none) to 1.0 (the longest): the operating system's
    /// randomness unless set. For tests.
    ///
    /// ```
    /// # use parlor_sdk::Client;
    /// let builder = Client::builder("http://localhost:8000", "your-tenant-api-key").randomness(|| 0.5);
    /// ```
    pub fn randomness(self, draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.amend(|settings| {
            settings.randomness = Arc::new(draw);
            Ok(())
        })
    }

    /// Builds the client. No connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) for the first setting that is not usable, and as
    /// [`Client::new`].
    pub fn build(self) -> Result<Client, Error> {
        let settings = self.settings?;
        let transport = Transport::new(&settings.transport)?;
        let budget = Budget::new(settings.retry.budget);
        Ok(Client { inner: Arc::new(Inner { settings, transport, budget }) })
    }

    fn amend(self, change: impl FnOnce(&mut Settings) -> Result<(), Error>) -> Self {
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
        // The error is not kept as the cause: it shows the value.
        Err(VarError::NotUnicode(_)) => Err(Error::configuration(format!("{name} is not UTF-8: set it to {meaning}"))),
    }
}

fn positive(timeout: Duration, name: &str) -> Result<Duration, Error> {
    if timeout.is_zero() {
        return Err(Error::configuration(format!("the {name} time-out is zero: nothing could ever succeed")));
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
    fn what_is_wrong_with_the_environment_names_the_variable() {
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
    fn a_variable_that_is_not_text_is_not_shown() {
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
