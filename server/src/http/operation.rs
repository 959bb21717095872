//! What the document says of an operation, and how an operation fails.

use std::{fmt, marker::PhantomData};

use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, Registry},
    types::Type as _,
};

use super::{
    problem::{
        CHALLENGE, CONTENT_TYPE, Code, Problem, ProblemDocument, RETRY_AFTER_SECONDS, constant, request_id_header,
        response_header,
    },
    query::FromQuery,
    schema::text_schema,
};
use crate::base::error::Error;

/// What the document says of an operation beside its handler: the query it takes, and how it can fail.
pub(crate) trait Operation: Send + Sync + 'static {
    /// Its operationId.
    const ID: &'static str;
    /// Its failures beyond those of every operation.
    const CODES: &'static [Code];
    /// What an invalid request may have wrong, for its example: a pointer and what is wrong there.
    const WRONG: (&'static str, &'static str) = ("/query/order", "must be one of asc, desc");
    /// Its query; `()` for none.
    type Query: FromQuery;

    /// All failures of the operation, in the order of their statuses.
    fn codes() -> Vec<Code> {
        // Unauthorized before anything else is looked at; 500 and 503 may always happen.
        let mut codes = vec![Code::Unauthorized, Code::Internal, Code::Unavailable];
        codes.extend_from_slice(Self::CODES);
        codes.sort_by_key(|code| code.status());
        codes
    }
}

/// A [`Problem`] of an operation that says which problems it has.
pub(crate) struct Failure<F>(Problem, PhantomData<F>);

impl<F: Operation> From<Problem> for Failure<F> {
    fn from(problem: Problem) -> Self {
        debug_assert!(F::codes().contains(&problem.code), "{} documents {}", F::ID, problem.code.as_str());
        Self(problem, PhantomData)
    }
}

impl<F: Operation> From<Error> for Failure<F> {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}

impl<F> From<Failure<F>> for poem::Error {
    fn from(failure: Failure<F>) -> Self {
        failure.0.into()
    }
}

impl<F: Operation> ApiResponse for Failure<F> {
    fn meta() -> MetaResponses {
        let codes = F::codes();
        // A status occurs once in a document; the codes that share one are told apart by its examples.
        let first = codes
            .iter()
            .enumerate()
            .filter(|(index, code)| !codes[..*index].iter().any(|earlier| earlier.status() == code.status()));
        MetaResponses { responses: first.map(|(_, code)| response(*code)).collect() }
    }

    fn register(registry: &mut Registry) {
        ProblemDocument::register(registry);
    }
}

impl<F> fmt::Debug for Failure<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn response(code: Code) -> MetaResponse {
    let mut headers = vec![request_id_header()];
    match code {
        Code::Unauthorized => {
            headers.push(response_header("WWW-Authenticate", "How to authenticate.", constant(CHALLENGE)));
        }
        Code::Unavailable => {
            let seconds =
                MetaSchema { pattern: Some("^[0-9]+$".to_owned()), ..text_schema(1, RETRY_AFTER_SECONDS.len()) };
            headers.push(response_header("Retry-After", "Seconds to wait before trying again.", seconds));
        }
        _ => {}
    }
    MetaResponse {
        description: code.description(),
        status: Some(code.status().as_u16()),
        status_range: None,
        content: vec![MetaMediaType { content_type: CONTENT_TYPE, schema: ProblemDocument::schema_ref() }],
        headers,
    }
}
