//! Files of pages that are part of the server.

use bytes::Bytes;
use poem::{Response, http::header};

use super::named::{named, shared};

/// Nothing but files of this server, no script or style in the markup, and no markup out of a string: the browser refuses
/// text of users that is taken for code by mistake.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// An answer with a file, under the name of an operation.
pub(crate) fn static_file(operation: &'static str, content_type: &str, content: impl Into<Bytes>) -> Response {
    let response = Response::builder()
        .content_type(content_type)
        .header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::X_FRAME_OPTIONS, "DENY")
        .header(header::REFERRER_POLICY, "no-referrer")
        // The next version of the server may bring another file.
        .header(header::CACHE_CONTROL, "no-cache")
        .body(content.into());
    named(operation, shared(response))
}
