//! Which site's page asks, as browsers say it in `Origin` (RFC 6454, section 7).

use poem::http::{HeaderMap, header};

/// Whether it is a page of this server. The scheme is not compared: a proxy may have ended TLS.
pub(crate) fn is_own(headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origin.and_then(|origin| origin.split_once("://")).is_some_and(|(_, authority)| Some(authority) == host)
}
