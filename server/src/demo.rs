//! The demo at `/demo/`: a page that chats, and what makes its chats and tickets.
//!
//! A page must not hold an API key. In an application the page's own backend has the key, knows its users and gives
//! them tickets; here [`Backend`] stands for it, and lets anybody in.

use std::sync::Arc;

use poem::{
    Endpoint, EndpointExt as _, IntoEndpoint as _, Request, Response, Route,
    endpoint::make_sync,
    get,
    http::{HeaderMap, header},
    web::Redirect,
};
use poem_openapi::{Object, OpenApi, OpenApiService};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    api::{tickets::Ticket, values::ChatId},
    chat::{Chats, Metadata, NewChat, Tickets, UserId},
    http::{
        answer::{Created, Issued},
        body::{FromMembers, JsonBody, Members},
        context::Context,
        docs::{named, shared},
        origin,
        path::Path,
        problem::{Code, Problem},
    },
    tenant::{Authenticator, Principal},
};

/// The name of the key that the demo's tickets live by.
pub(crate) const KEY_NAME: &str = "demo";
/// Where the page is.
pub(crate) const PAGE: &str = "/demo/";
/// Where the backend is.
const CHATS: &str = "/demo/chats";
/// The paths that take GET, as they are spelt here.
pub(crate) const GET: &[&str] = &[
    "/demo",
    PAGE,
    "/demo/style.css",
    "/demo/chat.mjs",
    "/demo/connection.mjs",
    "/demo/transcript.mjs",
    "/demo/icon.svg",
];
/// The paths that take POST.
pub(crate) const POST: &[&str] = &[CHATS, "/demo/chats/{chat_id}/tickets"];

/// Nothing but these files and this server, no script or style in the markup, and no markup out of a string: were what
/// somebody writes ever taken for code, the browser would refuse it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// Adds the demo to `routes`.
pub(crate) fn route(routes: Route, backend: Backend) -> Route {
    let backend = OpenApiService::new(backend, "Parlor's demo", env!("CARGO_PKG_VERSION")).into_endpoint();
    routes
        .at("/demo", get(make_sync(|_| named("demo_page", Redirect::see_other(PAGE)))))
        .at(PAGE, get(file("text/html; charset=utf-8", include_str!("../../examples/web/index.html"))))
        .at("/demo/style.css", get(file("text/css; charset=utf-8", include_str!("../../examples/web/style.css"))))
        .at("/demo/chat.mjs", get(script(include_str!("../../examples/web/chat.mjs"))))
        .at("/demo/connection.mjs", get(script(include_str!("../../examples/web/connection.mjs"))))
        .at("/demo/transcript.mjs", get(script(include_str!("../../examples/web/transcript.mjs"))))
        .at("/demo/icon.svg", get(file("image/svg+xml", include_str!("../../examples/web/icon.svg"))))
        .nest_no_strip(CHATS, backend.before(of_this_page))
}

fn script(text: &'static str) -> impl Endpoint {
    file("text/javascript; charset=utf-8", text)
}

fn file(content_type: &'static str, text: &'static str) -> impl Endpoint {
    make_sync(move |_| {
        let response = Response::builder()
            .content_type(content_type)
            .header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(header::X_FRAME_OPTIONS, "DENY")
            .header(header::REFERRER_POLICY, "no-referrer")
            // The next version of the server may bring another page.
            .header(header::CACHE_CONTROL, "no-cache")
            .body(text);
        named("demo_page", shared(response))
    })
}

/// Refuses what another site's page asks for, which a browser would send from inside the network that this server is in.
async fn of_this_page(request: Request) -> poem::Result<Request> {
    if is_of_this_page(request.headers()) {
        return Ok(request);
    }
    Err(Problem::detailed(Code::Unauthorized, "Only the demo's own page may ask for this.").into())
}

fn is_of_this_page(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site")
        && site != "same-origin"
    {
        return false;
    }
    // No browser posts without it.
    !headers.contains_key(header::ORIGIN) || origin::is_own(headers)
}

/// What an application's backend does for its pages.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) principal: Principal,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) chats: Arc<Chats>,
    pub(crate) tickets: Arc<Tickets>,
}

#[OpenApi(prefix_path = "/demo/chats")]
impl Backend {
    #[oai(path = "/", method = "post", operation_id = "demo_create_chat")]
    async fn create_chat(&self, request: &Request, body: JsonBody<Visitor>) -> poem::Result<Created<NewChatId>> {
        self.authenticate(request).await?;
        let Visitor { user_id } = body.value()?;
        let new = NewChat { user_id, title: None, metadata: Metadata::empty() };
        let created = self.chats.create_chat(self.principal.tenant, new, None).await.map_err(Problem::from)?;
        Ok(Created::new(NewChatId { chat_id: created.resource.id }, created.replayed))
    }

    #[oai(path = "/:chat_id/tickets", method = "post", operation_id = "demo_create_ticket")]
    async fn create_ticket(
        &self,
        request: &Request,
        #[oai(name = "chat_id")] chat: Path<ChatId>,
        body: JsonBody<Visitor>,
    ) -> poem::Result<Issued<Ticket>> {
        self.authenticate(request).await?;
        let Visitor { user_id } = body.value()?;
        let Principal { tenant, key } = self.principal;
        let issued = self.tickets.create_ticket(tenant, key, chat.0.0, user_id).await.map_err(Problem::from)?;
        Ok(Issued::new(issued.into()))
    }
}

impl Backend {
    /// Whoever revokes the demo's key ends the demo.
    async fn authenticate(&self, request: &Request) -> Result<(), Problem> {
        let Principal { tenant, key } = self.principal;
        if !self.authenticator.live_keys(&[key]).await?.contains(&key) {
            return Err(Problem::detailed(Code::Unauthorized, "The demo's API key is revoked."));
        }
        Context::authenticated(request, tenant);
        Ok(())
    }
}

/// Who is at the page: whoever the page says. A real backend knows it from its own session.
#[derive(Debug, Object)]
struct Visitor {
    user_id: UserId,
}

impl FromMembers for Visitor {
    fn from_members(members: &mut Members<'_>) -> Option<Self> {
        Some(Self { user_id: members.required("user_id")? })
    }
}

#[derive(Debug, Serialize, Object)]
struct NewChatId {
    chat_id: Uuid,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        is_of_this_page(&headers.collect())
    }

    #[test]
    fn only_this_server_s_page_is_taken_for_it() {
        assert!(is_taken(&[("host", "localhost:8000")]));
        assert!(is_taken(&[("host", "localhost:8000"), ("origin", "http://localhost:8000")]));
        assert!(is_taken(&[("host", "chat.example"), ("origin", "https://chat.example")]));
        assert!(is_taken(&[("host", "a"), ("origin", "http://a"), ("sec-fetch-site", "same-origin")]));
        for origin in ["http://evil.example", "http://localhost", "http://localhost:8000.evil.example", "null", ""] {
            assert!(!is_taken(&[("host", "localhost:8000"), ("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert!(!is_taken(&[("host", "a"), ("origin", "http://a"), ("sec-fetch-site", site)]), "{site}");
        }
        assert!(!is_taken(&[("origin", "http://a")]));
    }
}
