//! Path parameters. What cannot name anything is not found: it is no different from what names nothing.

use poem::{Request, RequestBody, error::Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef},
};

use super::{
    problem::{Code, Problem},
    schema::FromParameter,
};

/// A value of a path parameter.
pub(crate) trait FromPath: FromParameter + Send {
    /// What is answered when it names nothing.
    const NOT_FOUND: Code;
}

/// A path parameter as a handler takes it. (poem-openapi's macro knows a path parameter by this type's name.)
pub(crate) struct Path<T>(pub(crate) T);

impl<'a, T: FromPath> ApiExtractor<'a> for Path<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Path)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<String>,
    ) -> Result<Self> {
        let text = request.raw_path_param(options.name).unwrap_or_default();
        Ok(T::from_parameter(text).map(Self).map_err(|_| Problem::new(T::NOT_FOUND))?)
    }
}
