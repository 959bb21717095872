//! Query parameters: like a body's members, each is parsed and checked by its own type, and one answer names everything
//! that is wrong. An operation that takes any refuses those it does not know.

use poem::{Request, RequestBody, error::Result};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, registry::MetaSchema};

use super::{field_error::FieldError, percent, problem::Problem, schema::FromParameter};

/// A parameter, for the document.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) schema: fn() -> MetaSchema,
}

/// The query of an operation.
pub(crate) trait FromQuery: Send + Sized {
    /// All that it may have.
    const PARAMETERS: &'static [Parameter];

    /// Takes every parameter it knows; [`Parameters`] gathers what is wrong.
    fn from_query(parameters: &mut Parameters) -> Option<Self>;
}

/// An operation without parameters ignores a query.
impl FromQuery for () {
    const PARAMETERS: &'static [Parameter] = &[];

    fn from_query(_: &mut Parameters) -> Option<Self> {
        Some(())
    }
}

/// A query as a handler takes it. The document gets its parameters from [`FromQuery::PARAMETERS`].
pub(crate) struct Query<T>(pub(crate) T);

impl<T: FromQuery> Query<T> {
    /// Reads a query string.
    pub(crate) fn parse(query: &str) -> std::result::Result<Self, Problem> {
        percent::check_query(query)?;
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut parameters = Parameters { left: pairs, errors: Vec::new() };
        let value = T::from_query(&mut parameters);
        let errors = parameters.finish();
        match value {
            Some(value) if errors.is_empty() => Ok(Self(value)),
            _ => Err(Problem::invalid(errors)),
        }
    }
}

impl<'a, T: FromQuery> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[];

    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(request: &'a Request, _: &mut RequestBody, _: ExtractParamOptions<()>) -> Result<Self> {
        Ok(Self::parse(request.uri().query().unwrap_or_default())?)
    }
}

/// The parameters of a request, taken one by one.
pub(crate) struct Parameters {
    left: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Parameters {
    /// A parameter that may be absent. The outer `None`: it is there and wrong.
    #[expect(clippy::option_option, reason = "wrong, absent and given are three things")]
    pub(crate) fn optional<T: FromParameter>(&mut self, name: &'static str) -> Option<Option<T>> {
        let mut values = self.take(name);
        let value = values.pop();
        if !values.is_empty() {
            self.refuse(name, "is given twice");
            return None;
        }
        match value {
            Some(text) => self.check(name, &text).map(Some),
            None => Some(None),
        }
    }

    /// A parameter that may be given up to `max` times.
    pub(crate) fn repeated<T: FromParameter>(&mut self, name: &'static str, max: usize) -> Option<Vec<T>> {
        let values = self.take(name);
        if values.len() > max {
            self.refuse(name, format!("must be given at most {max} times"));
            return None;
        }
        let checked: Vec<Option<T>> = values.iter().map(|text| self.check(name, text)).collect();
        checked.into_iter().collect()
    }

    /// Says what is wrong with a parameter.
    pub(crate) fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(format!("/query/{name}"), detail));
    }

    fn check<T: FromParameter>(&mut self, name: &str, text: &str) -> Option<T> {
        T::from_parameter(text).map_err(|violation| self.refuse(name, violation.detail)).ok()
    }

    fn take(&mut self, name: &str) -> Vec<String> {
        self.left.extract_if(.., |(parameter, _)| parameter == name).map(|(_, value)| value).collect()
    }

    fn finish(mut self) -> Vec<FieldError> {
        let mut unknown: Vec<String> = std::mem::take(&mut self.left).into_iter().map(|(name, _)| name).collect();
        unknown.dedup();
        for name in unknown {
            let pointer = format!("/query{}", crate::base::validation::pointer_step(&name));
            self.errors.push(FieldError::new(pointer, "is not a known parameter"));
        }
        self.errors
    }
}
