//! Responses to requests that reach no handler.

use poem::Response;

use crate::http::problem::Problem;

/// Renders the failures of requests that reach no handler.
pub(crate) trait Refuse: Send + Sync {
    /// The answer, counted and logged as any other.
    fn refuse(&self, problem: Problem) -> Response;
}
