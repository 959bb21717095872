//! Who calls: the tenant behind `X-API-Key`.

use std::sync::Arc;

use poem::{Request, RequestBody, error::Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};
use uuid::Uuid;

use crate::{
    base::error::{Cause, Error},
    domain::{ApiKey, Principal, TenantId},
    http::{
        context::Context,
        problem::{Code, Problem},
    },
    service::Authenticator,
};

/// The header that carries the key.
pub(crate) const HEADER: &str = "X-API-Key";
/// The scheme's name in the document.
const SCHEME: &str = "ApiKey";

/// The authenticated caller. A handler that takes one, as its first argument, is closed to everybody else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// Whose key it is.
    pub(crate) tenant: TenantId,
    /// Which of the tenant's keys it is.
    pub(crate) key: Uuid,
}

impl Caller {
    /// By the header.
    pub(crate) async fn authenticate(request: &Request) -> std::result::Result<Self, Problem> {
        let mut keys = request.headers().get_all(HEADER).iter();
        let key = match (keys.next(), keys.next()) {
            (Some(key), None) => key,
            (None, _) => return Err(Problem::detailed(Code::Unauthorized, "The header X-API-Key is missing.")),
            (Some(_), Some(_)) => {
                return Err(Problem::detailed(Code::Unauthorized, "The header X-API-Key must be given once."));
            }
        };
        Self::by_key(request, key.as_bytes()).await
    }

    /// By `key`, wherever it was.
    pub(crate) async fn by_key(request: &Request, key: &[u8]) -> std::result::Result<Self, Problem> {
        let key = ApiKey::presented(key).ok_or_else(|| Problem::new(Code::Unauthorized))?;
        let authenticator = request
            .data::<Arc<Authenticator>>()
            .ok_or_else(|| Error::Internal(Cause::new("the stack has no authenticator")))?;
        let principal = authenticator.authenticate(&key).await?;
        let Principal { tenant, key } = principal.ok_or_else(|| Problem::new(Code::Unauthorized))?;
        Context::authenticated(request, tenant);
        Ok(Self { tenant, key })
    }
}

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "apiKey",
                description: Some("The tenant's API key. It determines the tenant; everything is scoped to it."),
                name: Some(HEADER),
                key_in: Some("header"),
                scheme: None,
                bearer_format: None,
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(request: &'a Request, _: &mut RequestBody, _: ExtractParamOptions<()>) -> Result<Self> {
        Ok(Self::authenticate(request).await?)
    }
}
