//! The base URL of the server.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::error::Error;

/// An `http` or `https` URL with an optional path prefix, and without credentials, query and fragment.
#[derive(Clone)]
pub(crate) struct BaseUrl(Url);

impl BaseUrl {
    /// Error messages do not contain the address, because it may contain a password.
    pub(crate) fn parse(address: &str) -> Result<Self, Error> {
        let url = Url::parse(address).map_err(|error| {
            Error::configuration("the base URL is not a valid URL; example: http://localhost:8000").with_source(error)
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::configuration(
                "the base URL must begin with http:// or https://; example: http://localhost:8000",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::configuration(
                "the base URL contains a user name or password: remove it and authenticate with the API key; add \
                 credentials for a gateway with ClientBuilder::header",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Error::configuration(
                "the base URL has a query or fragment: remove everything from the `?` or `#`",
            ));
        }
        Ok(Self(url))
    }

    /// Appends an API path, which begins with a slash.
    pub(crate) fn join(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        url
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns whether the server runs on this machine, which is never reached through a proxy.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prefix_is_kept_with_and_without_a_trailing_slash() {
        for (base, expected) in [
            ("http://localhost:8000", "http://localhost:8000/api/v1/chats/"),
            ("http://localhost:8000/", "http://localhost:8000/api/v1/chats/"),
            ("https://example.com/parlor", "https://example.com/parlor/api/v1/chats/"),
            ("https://example.com/parlor/", "https://example.com/parlor/api/v1/chats/"),
            ("https://example.com/a/b//", "https://example.com/a/b/api/v1/chats/"),
        ] {
            assert_eq!(BaseUrl::parse(base).unwrap().join("/api/v1/chats/").as_str(), expected);
        }
    }

    #[test]
    fn invalid_urls_are_rejected_with_advice() {
        for (address, advice) in [
            ("", "http://localhost:8000"),
            ("localhost", "http://localhost:8000"),
            ("localhost:8000", "http://"),
            ("ftp://example.com", "http://"),
            ("file:///etc/passwd", "http://"),
            ("http://", "http://localhost:8000"),
            ("http://example.com:port", "http://localhost:8000"),
            ("https://user@example.com", "remove it"),
            ("https://example.com?a=b", "remove everything"),
            ("https://example.com/#top", "remove everything"),
        ] {
            let error = BaseUrl::parse(address).map(|url| url.to_string()).unwrap_err();
            assert!(error.to_string().contains(advice), "{address}: {error}");
        }
    }

    #[test]
    fn an_error_does_not_contain_the_password() {
        for address in ["https://user:hunter2@example.com", "https://user:hunter2@example.com:port", "user:hunter2@x"] {
            let error = BaseUrl::parse(address).map(|url| url.to_string()).unwrap_err();
            assert!(!format!("{error} {error:?} {error:#?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn loopback_is_recognised_by_name_and_by_number() {
        for address in ["http://localhost:1", "http://127.0.0.1", "http://127.8.9.1:2", "http://[::1]:3"] {
            assert!(BaseUrl::parse(address).unwrap().is_loopback(), "{address}");
        }
        for address in ["http://example.com", "http://10.0.0.1", "http://[2001:db8::1]", "http://localhost.example"] {
            assert!(!BaseUrl::parse(address).unwrap().is_loopback(), "{address}");
        }
    }
}
