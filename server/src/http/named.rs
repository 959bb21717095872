//! Responses of what is not in the document: their names and their shared bodies.

use poem::{IntoResponse, Response};
use poem_openapi::OperationId;

use super::listen::SharedBody;

/// Names an operation that is not in the document, for the log and the metrics.
pub(crate) fn named(operation: &'static str, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    response.set_data(OperationId(operation));
    response
}

/// Marks an answer whose body all connections share.
pub(crate) fn shared(mut response: Response) -> Response {
    response.set_data(SharedBody);
    response
}
