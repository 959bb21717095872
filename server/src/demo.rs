//! The demo at `/demo/`: a page that chats, and what makes its chats and tickets.
//!
//! A page must not hold an API key. In an application the page's own backend has the key, knows its users and gives
//! them tickets; here [`Backend`] stands for it, and lets anybody in.

use std::sync::Arc;

use futures_util::future::join_all;
use poem::{
    Endpoint, EndpointExt as _, IntoEndpoint as _, Request, Route,
    endpoint::make_sync,
    get,
    http::{HeaderMap, header},
    web::Redirect,
};
use poem_openapi::{Object, OpenApi, OpenApiService};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    api::tickets::Ticket,
    base::error::Error,
    domain::{Chat, Metadata, NewChat, Principal, Status, Title, UserId},
    http::{
        body::{FromMembers, Json, JsonBody, Members},
        context::Context,
        named::named,
        origin,
        path::Path,
        problem::{Code, Problem},
        query::{FromQuery, Parameter, Parameters, Query},
        response::{Created, Issued},
        schema::FromParameter as _,
        static_file::static_file,
    },
    service::{Authenticator, Chats, Tickets},
    wire::values::{ChatId, Nullable, Timestamp},
};

/// The name of the key that the demo's tickets live by.
pub(crate) const KEY_NAME: &str = "demo";
/// Where the page is.
pub(crate) const PAGE: &str = "/demo/";
/// Where the backend is.
const CHATS: &str = "/demo/chats";
/// The path that answers what has become of chats.
const STATES: &str = "/demo/chats/states";
/// The largest number of chats in one request for their states.
const MAX_STATES: usize = 50;
/// The paths that take GET, as they are spelt here.
pub(crate) const GET: &[&str] = &[
    "/demo",
    PAGE,
    "/demo/style.css",
    "/demo/markdown.css",
    "/demo/messages.css",
    "/demo/panels.css",
    "/demo/chat.mjs",
    "/demo/chats.mjs",
    "/demo/composer.mjs",
    "/demo/connection.mjs",
    "/demo/dom.mjs",
    "/demo/guests.mjs",
    "/demo/inline.mjs",
    "/demo/markdown.mjs",
    "/demo/transcript.mjs",
    "/demo/icon.svg",
    STATES,
];
/// The paths that take POST.
pub(crate) const POST: &[&str] = &[CHATS, "/demo/chats/{chat_id}/tickets"];

/// Adds the demo to `routes`.
pub(crate) fn route(routes: Route, backend: Backend) -> Route {
    let backend = OpenApiService::new(backend, "Parlor's demo", env!("CARGO_PKG_VERSION")).into_endpoint();
    routes
        .at("/demo", get(make_sync(|_| named("demo_page", Redirect::see_other(PAGE)))))
        .at(PAGE, get(file("text/html; charset=utf-8", include_str!("../../examples/web/index.html"))))
        .at("/demo/style.css", get(style(include_str!("../../examples/web/style.css"))))
        .at("/demo/markdown.css", get(style(include_str!("../../examples/web/markdown.css"))))
        .at("/demo/messages.css", get(style(include_str!("../../examples/web/messages.css"))))
        .at("/demo/panels.css", get(style(include_str!("../../examples/web/panels.css"))))
        .at("/demo/chat.mjs", get(script(include_str!("../../examples/web/chat.mjs"))))
        .at("/demo/chats.mjs", get(script(include_str!("../../examples/web/chats.mjs"))))
        .at("/demo/composer.mjs", get(script(include_str!("../../examples/web/composer.mjs"))))
        .at("/demo/connection.mjs", get(script(include_str!("../../examples/web/connection.mjs"))))
        .at("/demo/dom.mjs", get(script(include_str!("../../examples/web/dom.mjs"))))
        .at("/demo/guests.mjs", get(script(include_str!("../../examples/web/guests.mjs"))))
        .at("/demo/inline.mjs", get(script(include_str!("../../examples/web/inline.mjs"))))
        .at("/demo/markdown.mjs", get(script(include_str!("../../examples/web/markdown.mjs"))))
        .at("/demo/transcript.mjs", get(script(include_str!("../../examples/web/transcript.mjs"))))
        .at("/demo/icon.svg", get(file("image/svg+xml", include_str!("../../examples/web/icon.svg"))))
        .nest_no_strip(CHATS, backend.before(of_this_page))
}

fn script(text: &'static str) -> impl Endpoint {
    file("text/javascript; charset=utf-8", text)
}

fn style(text: &'static str) -> impl Endpoint {
    file("text/css; charset=utf-8", text)
}

fn file(content_type: &'static str, text: &'static str) -> impl Endpoint {
    make_sync(move |_| static_file("demo_page", content_type, text))
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

    /// Answers what the page's list of earlier chats shows. The id of a chat is what lets the page into it, so the ids
    /// are the question: the chats of a guest could be listed by anyone who has seen the guest's name in a chat.
    #[oai(path = "/states", method = "get", operation_id = "demo_chat_states")]
    async fn chat_states(&self, request: &Request, query: Query<ChatIds>) -> poem::Result<Json<ChatStates>> {
        self.authenticate(request).await?;
        let chats = join_all(query.0.0.iter().map(|id| self.chats.get_chat(self.principal.tenant, id.0))).await;
        let existing = chats.into_iter().filter(|chat| !matches!(chat, Err(Error::ChatNotFound)));
        let chats: Result<Vec<ChatState>, Error> = existing.map(|chat| chat.map(ChatState::from)).collect();
        Ok(Json(ChatStates { chats: chats.map_err(Problem::from)? }))
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

/// The chats that are asked about.
struct ChatIds(Vec<ChatId>);

impl FromQuery for ChatIds {
    const PARAMETERS: &'static [Parameter] =
        &[Parameter { name: "chat_id", description: "A chat; may be repeated.", schema: ChatId::schema }];

    fn from_query(parameters: &mut Parameters) -> Option<Self> {
        parameters.repeated("chat_id", MAX_STATES).map(Self)
    }
}

/// The chats that exist, in the order in which they were asked for; unknown and deleted ones are left out.
#[derive(Debug, Serialize, Object)]
struct ChatStates {
    chats: Vec<ChatState>,
}

#[derive(Debug, Serialize, Object)]
struct ChatState {
    id: Uuid,
    title: Title,
    status: Status,
    message_count: i64,
    created_at: Timestamp,
    last_message_at: Nullable<Timestamp>,
}

impl From<Chat> for ChatState {
    fn from(chat: Chat) -> Self {
        Self {
            id: chat.id,
            title: chat.title,
            status: chat.status,
            message_count: chat.message_count,
            created_at: Timestamp(chat.created_at),
            last_message_at: Nullable(chat.last_message_at.map(Timestamp)),
        }
    }
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
