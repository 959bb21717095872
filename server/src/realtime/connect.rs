//! `GET /ws/chat`: who asks, for which chat. What is wrong is answered before the protocols are switched.

use std::{sync::Arc, time::Duration};

use poem::{
    Endpoint, Request, Response,
    endpoint::make,
    http::{HeaderMap, HeaderValue},
};
use poem_openapi::registry::MetaSchema;
use uuid::Uuid;

use super::{Realtime, session::Session, socket::Socket, upgrade};
use crate::{
    auth::{self, Caller},
    base::{
        error::{Cause, Error},
        validation::Violation,
    },
    domain::{ApiKey, Redemption, TenantId, Ticket, TicketGrant, UserId},
    http::{
        context::Context,
        field_error::FieldError,
        named::named,
        operation::{Failure, Operation},
        problem::{Code, Problem},
        query::{FromQuery, Parameter, Parameters, Query},
        schema::{FromParameter, text_schema},
    },
    wire::{
        protocol::{
            Close,
            event::{ConnectionEstablished, UserCreated, encode},
        },
        values::{ChatId, Count, ticket_schema},
    },
};

/// Where connections are made.
pub(crate) const PATH: &str = "/ws/chat";
/// How long a peer may take from our 101 to the switch.
const SWITCHING: Duration = Duration::from_secs(10);

/// The endpoint.
pub(crate) fn connect(realtime: Arc<Realtime>) -> impl Endpoint<Output = Response> {
    make(move |request| {
        let realtime = realtime.clone();
        async move {
            let answer = realtime.connect(request).await.map_err(Failure::<ConnectChat>::from)?;
            Ok::<_, poem::Error>(named(ConnectChat::ID, answer))
        }
    })
}

/// See [`connect`].
pub(crate) struct ConnectChat;

impl Operation for ConnectChat {
    const ID: &'static str = "connect_chat";
    const CODES: &'static [Code] = &[Code::InvalidRequest, Code::ChatNotFound];
    type Query = ConnectQuery;
}

/// Who joins what.
struct Join {
    tenant: TenantId,
    /// The key that the connection lives by.
    key: Uuid,
    user: UserId,
    chat: Uuid,
    after_seq: Option<i64>,
    /// The server's half of the handshake.
    accept: HeaderValue,
}

impl Realtime {
    async fn connect(self: Arc<Self>, request: Request) -> Result<Response, Problem> {
        // First: for want of one no ticket is to be used up.
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| {
            Error::Unavailable(Cause::new("there are as many connections as there may be, or the server stops"))
        })?;
        // Whoever stops the server waits for this connection from here on.
        let tracked = self.sockets.token();
        let join = self.join(&request).await?;
        // Before the chat is read: what is stored from here on is not missed.
        let membership = self.hub.enter(join.tenant, join.chat, join.user.clone(), join.key, self.limits.outbox_bytes);
        if self.closed.is_cancelled() {
            membership.inbox.close(Close::GoingAway);
        }
        let (chat, user_is_new) = self.chats.join_chat(join.tenant, join.chat, &join.user).await?;
        let resumed = join.after_seq.is_some_and(|seq| seq <= chat.message_count);
        let established = ConnectionEstablished {
            user_id: join.user.clone(),
            chat_id: join.chat,
            tenant_id: join.tenant.0,
            last_seq: Count::nearest(chat.message_count),
            resumed,
        };
        let mut greeting = vec![encode(&established, self.now())];
        if user_is_new {
            greeting.push(encode(&UserCreated { user_id: join.user.clone() }, self.now()));
        }
        let delivered = join.after_seq.filter(|_| resumed).unwrap_or(chat.message_count);
        let abandoned = self.answers.is_missing_in(&chat).await?.then_some(chat.message_count);
        let now = tokio::time::Instant::now().into();
        let session =
            Session::new(membership.inbox.id, join.user, delivered, self.bounds(), now).with_abandoned(abandoned);
        let upgrade = upgrade::take(&request)?;
        let realtime = self.clone();
        self.sockets.spawn(async move {
            let _tracked = tracked;
            let open = realtime.metrics.opened();
            // A peer that goes away in between takes its place in the room with it.
            let Ok(Ok(upgraded)) = tokio::time::timeout(SWITCHING, upgrade).await else { return };
            let stream = upgrade::stream(upgraded, &realtime.limits, &realtime.budget).await;
            let socket = Socket {
                stream,
                tenant: join.tenant,
                membership,
                session,
                last_seq: chat.message_count,
                realtime,
                _slot: slot,
                _open: open,
            };
            // A task of its own, which has no room for what the switch needed.
            socket.realtime.sockets.clone().spawn(Box::new(socket).run(greeting));
        });
        Ok(upgrade::switching_protocols(join.accept, upgrade::subprotocol(request.headers())))
    }

    /// Who asks for what.
    async fn join(&self, request: &Request) -> Result<Join, Problem> {
        let query = request.uri().query().unwrap_or_default();
        let has_ticket = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == TICKET.name);
        if has_ticket {
            let Query(ConnectByTicket { ticket, chat_id, after_seq }) = Query::parse(query)?;
            // A ticket is good for one connection: one that cannot be made must not use it up.
            let accept = upgrade::handshake(request)?;
            let chat = match chat_id.map(|Given(chat)| ChatId::from_parameter(&chat)) {
                Some(Ok(ChatId(chat))) => Some(chat),
                Some(Err(_)) => return Err(other_chat()),
                None => None,
            };
            return self.redeem(request, &ticket.0, chat, after_seq, accept).await;
        }
        let key_in_query = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == API_KEY.name);
        let caller = match key_in_query {
            Some((_, key)) => Caller::by_key(request, key.as_bytes()).await?,
            None => Caller::authenticate(request).await?,
        };
        let Query(ConnectQuery { user_id, chat_id, after_seq }) = Query::parse(query)?;
        let mut errors = Vec::new();
        let user = user_id.or_else(|| from_header(request.headers(), USER_ID, &mut errors));
        let chat = chat_id.or_else(|| from_header(request.headers(), CHAT_ID, &mut errors));
        let (Some(user), Some(Given(chat))) = (user, chat) else { return Err(Problem::invalid(errors)) };
        let ChatId(chat) = ChatId::from_parameter(&chat).map_err(|_| Problem::new(Code::ChatNotFound))?;
        let accept = upgrade::handshake(request)?;
        Ok(Join { tenant: caller.tenant, key: caller.key, user, chat, after_seq: after_seq.map(Count::get), accept })
    }

    async fn redeem(
        &self,
        request: &Request,
        ticket: &str,
        chat: Option<Uuid>,
        after_seq: Option<Count>,
        accept: HeaderValue,
    ) -> Result<Join, Problem> {
        let refused = || Problem::detailed(Code::Unauthorized, "The ticket is unknown, used or expired.");
        let ticket = Ticket::presented(ticket).ok_or_else(refused)?;
        let TicketGrant { tenant, key, chat_id, user_id } = match self.tickets.redeem(&ticket, chat).await? {
            Redemption::Granted(grant) => grant,
            Redemption::OtherChat => return Err(other_chat()),
            Redemption::Refused => return Err(refused()),
        };
        Context::authenticated(request, tenant);
        Ok(Join { tenant, key, user: user_id, chat: chat_id, after_seq: after_seq.map(Count::get), accept })
    }
}

/// The refusal of a ticket beside a chat that it is not for.
fn other_chat() -> Problem {
    Problem::invalid(vec![FieldError::new(format!("/query/{}", CHAT.name), "is not the chat of the ticket")])
}

/// The header `name`, checked like a parameter; what is wrong with it, or with its absence, goes to `errors`.
fn from_header<T: FromParameter>(headers: &HeaderMap, name: &str, errors: &mut Vec<FieldError>) -> Option<T> {
    let mut values = headers.get_all(name).iter();
    let outcome = match (values.next(), values.next()) {
        (Some(value), None) => value
            .to_str()
            .map_err(|_| "must be visible ASCII".to_owned())
            .and_then(|text| T::from_parameter(text).map_err(|violation| violation.detail)),
        (Some(_), Some(_)) => Err("is given twice".to_owned()),
        (None, _) => Err("is required, here or in the query".to_owned()),
    };
    outcome.map_err(|detail| errors.push(FieldError::new(format!("/header/{name}"), detail))).ok()
}

/// The greatest number of characters of a header that offers subprotocols; what bounds it is the head as a whole.
const MAX_OFFERED_CHARS: usize = 8_192;

/// The parameters' twins among the headers.
const USER_ID: &str = "X-User-ID";
const CHAT_ID: &str = "X-Chat-ID";

/// What the query may say, headers may say.
pub(crate) const HEADERS: &[Parameter] = &[
    Parameter { name: auth::HEADER, ..API_KEY },
    Parameter { name: USER_ID, ..USER },
    Parameter { name: CHAT_ID, ..CHAT },
    SUBPROTOCOLS,
];

/// Text whose meaning is looked for elsewhere: what cannot name anything is no different from what names nothing.
struct Given(String);

impl FromParameter for Given {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    fn from_parameter(text: &str) -> Result<Self, Violation> {
        Ok(Self(text.to_owned()))
    }
}

pub(crate) struct ConnectByTicket {
    ticket: Given,
    chat_id: Option<Given>,
    after_seq: Option<Count>,
}

impl FromQuery for ConnectByTicket {
    /// The chat is in the ticket; beside it, it tells a proxy where to go.
    const PARAMETERS: &'static [Parameter] = &[TICKET, CHAT, AFTER_SEQ];

    fn from_query(parameters: &mut Parameters) -> Option<Self> {
        let ticket = parameters.optional(TICKET.name);
        let chat_id = parameters.optional(CHAT.name);
        let after_seq = parameters.optional(AFTER_SEQ.name);
        // Asked for when there is one.
        Some(Self { ticket: ticket??, chat_id: chat_id?, after_seq: after_seq? })
    }
}

pub(crate) struct ConnectQuery {
    user_id: Option<UserId>,
    chat_id: Option<Given>,
    after_seq: Option<Count>,
}

pub(crate) const TICKET: Parameter =
    Parameter { name: "ticket", description: "In place of key, user and chat.", schema: ticket_schema };
pub(crate) const API_KEY: Parameter = Parameter {
    name: "api_key",
    description: "The tenant's API key.",
    schema: || text_schema(ApiKey::MIN_CHARS, ApiKey::MAX_CHARS),
};
const USER: Parameter =
    Parameter { name: "user_id", description: "Who connects; created if unknown.", schema: UserId::schema };
const CHAT: Parameter = Parameter { name: "chat_id", description: "To which chat.", schema: ChatId::schema };
const SUBPROTOCOLS: Parameter = Parameter {
    name: "Sec-WebSocket-Protocol",
    description: "May offer `parlor.v1`, which is then chosen; of other names none is.",
    schema: || text_schema(1, MAX_OFFERED_CHARS),
};
const AFTER_SEQ: Parameter = Parameter {
    name: "after_seq",
    description: "Stored messages with a greater `seq` come before anything live.",
    schema: Count::schema,
};

impl FromQuery for ConnectQuery {
    const PARAMETERS: &'static [Parameter] = &[API_KEY, USER, CHAT, AFTER_SEQ];

    fn from_query(parameters: &mut Parameters) -> Option<Self> {
        let key = parameters.optional::<Given>(API_KEY.name);
        let user_id = parameters.optional(USER.name);
        let chat_id = parameters.optional(CHAT.name);
        let after_seq = parameters.optional(AFTER_SEQ.name);
        key?;
        Some(Self { user_id: user_id?, chat_id: chat_id?, after_seq: after_seq? })
    }
}
