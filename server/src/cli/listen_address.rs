//! The value of `--listen`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use crate::{
    base::error::{Error, Result},
    config::Config,
};

const EXAMPLES: &str = "an address is written as 8000, localhost:8000, 0.0.0.0:8000 or [::1]:8000";

/// An address to listen on: a host, a port, or both. A missing host is this machine ([`Config::LISTEN`]), an empty one (as
/// in `:8000`) every IPv4 address; a missing port is that of [`Config::LISTEN`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListenAddress {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl ListenAddress {
    /// Looks up a host name; of its addresses an IPv4 one is preferred, since most clients try those.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name is unknown.
    pub(super) async fn resolve(&self) -> Result<SocketAddr> {
        let name = match &self.host {
            Host::Address(address) => return Ok(SocketAddr::new(*address, self.port)),
            Host::Name(name) => name,
        };
        let unknown = |reason: String| {
            Error::Invalid(format!(
                "cannot listen on {self}: the host name {name:?} is unknown ({reason}); --listen takes an address of this \
                 machine, as in 127.0.0.1:8000"
            ))
        };
        let found = tokio::net::lookup_host((name.as_str(), self.port)).await;
        let addresses: Vec<SocketAddr> = found.map_err(|error| unknown(error.to_string()))?.collect();
        let preferred = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        preferred.copied().ok_or_else(|| unknown("it has no address".to_owned()))
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Address(address.ip()), port: address.port() }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text.is_empty() {
            return Err(format!("it is empty; {EXAMPLES}"));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(SocketAddr::new(address, Config::LISTEN.port()).into());
        }
        if text.contains("://") {
            return Err("an address has no scheme, as in localhost:8000".to_owned());
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(SocketAddr::new(Config::LISTEN.ip(), port(text)?).into());
        }
        if let Some(inside) = text.strip_prefix('[') {
            return in_brackets(inside);
        }
        let (name, port) = match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                return Err("an IPv6 address with a port has brackets, as in [::1]:8000".to_owned());
            }
            Some((name, digits)) => (name, port(digits)?),
            None => (text, Config::LISTEN.port()),
        };
        if name.is_empty() {
            return Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port).into());
        }
        if is_host_name(name) {
            return Ok(Self { host: Host::Name(name.to_owned()), port });
        }
        Err(format!("{name:?} is neither an IP address nor a host name; {EXAMPLES}"))
    }
}

/// Reads an IPv6 address that ends in a bracket, and perhaps a port.
fn in_brackets(text: &str) -> std::result::Result<ListenAddress, String> {
    let wrong = || format!("in brackets stands an IPv6 address; {EXAMPLES}");
    let (address, rest) = text.split_once(']').ok_or_else(wrong)?;
    let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
    let port = match rest.strip_prefix(':') {
        Some(digits) => port(digits)?,
        None if rest.is_empty() => Config::LISTEN.port(),
        None => return Err(wrong()),
    };
    Ok(SocketAddr::new(address.into(), port).into())
}

fn port(digits: &str) -> std::result::Result<u16, String> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = if is_number { digits.parse().ok() } else { None };
    port.ok_or_else(|| format!("a port is a number from 0 to 65535, not {digits:?}"))
}

/// Whether `name` can be looked up. One that ends in a number is a mistake in an IPv4 address.
fn is_host_name(name: &str) -> bool {
    let last = name.rsplit('.').find(|label| !label.is_empty()).unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) && !is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_write_an_address_is_taken() {
        for (text, meant) in [
            ("8000", "127.0.0.1:8000"),
            ("0", "127.0.0.1:0"),
            (":80", "0.0.0.0:80"),
            ("localhost", "localhost:8000"),
            ("localhost:80", "localhost:80"),
            ("chat-1.example:80", "chat-1.example:80"),
            ("0.0.0.0", "0.0.0.0:8000"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("::", "[::]:8000"),
            ("::1", "[::1]:8000"),
            ("[::1]", "[::1]:8000"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), meant, "{text}");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, reason) in [
            ("", "it is empty"),
            ("65536", "from 0 to 65535"),
            ("localhost:", "from 0 to 65535"),
            ("localhost:http", "not \"http\""),
            ("localhost:+80", "not \"+80\""),
            ("http://localhost:8000", "no scheme"),
            ("::1:80:", "brackets"),
            ("localhost:80:81", "brackets"),
            ("[::1", "in brackets"),
            ("[localhost]:80", "in brackets"),
            ("[::1]80", "in brackets"),
            ("256.0.0.1:80", "neither an IP address nor a host name"),
            ("10.1", "neither an IP address nor a host name"),
            ("local host:80", "neither an IP address nor a host name"),
            ("*:80", "neither an IP address nor a host name"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn a_host_name_is_looked_up_and_an_unknown_one_is_named() {
        let address = "localhost:80".parse::<ListenAddress>().unwrap().resolve().await.unwrap();
        assert!(address.ip().is_loopback() && address.port() == 80, "{address}");
        let unknown = "parlor.invalid:80".parse::<ListenAddress>().unwrap().resolve().await.unwrap_err().to_string();
        assert!(unknown.contains("\"parlor.invalid\" is unknown") && unknown.contains("--listen takes"), "{unknown}");
    }
}
