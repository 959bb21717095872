//! The IO of one connection: moves bytes, time and the database's answers into the session, and does what it says.

use std::sync::Arc;

use futures_util::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    future::{self, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error as WsError, Message as WsMessage, Utf8Bytes},
};

use super::{
    Realtime,
    end::{self, End},
    hub::Membership,
    metered::{self, Incoming, Metered},
    session::{Effect, Input, Session},
};
use crate::{
    base::{error::Result, metrics::Counted},
    domain::{ClientMessageId, Created, Message, NewMessage, Order, Start, TenantId, Window},
    wire::protocol::Close,
};

type Sent = (Option<ClientMessageId>, Result<Created<Message>>);

/// A connection on its way.
///
/// In a box of its own: a future would keep a second place for what it is given.
pub(super) struct Socket<S> {
    pub(super) stream: WebSocketStream<Metered<S>>,
    pub(super) tenant: TenantId,
    pub(super) membership: Membership,
    pub(super) session: Session,
    /// The chat's last message when the connection came.
    pub(super) last_seq: i64,
    pub(super) realtime: Arc<Realtime>,
    /// What it takes away from other connections.
    pub(super) _slot: OwnedSemaphorePermit,
    /// Counts it.
    pub(super) _open: Counted,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Serves the connection until it ends; `greeting` goes first.
    pub(super) async fn run(mut self: Box<Self>, greeting: Vec<Utf8Bytes>) {
        if let End::Close(close) = self.serve(greeting).await {
            self.end(close).await;
        }
    }

    async fn serve(&mut self, greeting: Vec<Utf8Bytes>) -> End {
        let mut effects: Vec<Effect> = greeting.into_iter().map(Effect::Send).collect();
        effects.push(self.session.begin(self.last_seq));
        let mut sending: FuturesUnordered<BoxFuture<'static, Sent>> = FuturesUnordered::new();
        let mut reading: Option<BoxFuture<'static, Input>> = None;
        let mut closing = None;
        let alarm = sleep_until(self.session.deadline().into());
        tokio::pin!(alarm);
        loop {
            // What is done may bring more to be done.
            while !effects.is_empty() {
                if let Err(end) = self.perform(&mut effects, &mut sending, &mut reading).await {
                    return end;
                }
            }
            if let Some(close) = closing {
                return End::Close(close);
            }
            if alarm.deadline() != Instant::from(self.session.deadline()) {
                alarm.as_mut().reset(self.session.deadline().into());
            }
            let input = tokio::select! {
                frame = metered::next(&mut self.stream), if self.session.may_read() => match frame {
                    Some(Ok(Incoming::Message(message))) => match message {
                        WsMessage::Text(text) => Input::Text(text),
                        WsMessage::Binary(_) => Input::Binary,
                        WsMessage::Ping(_) | WsMessage::Pong(_) => Input::Control,
                        WsMessage::Close(_) => {
                            end::agree(&mut self.stream).await;
                            return End::Gone;
                        }
                        WsMessage::Frame(_) => continue,
                    },
                    Some(Ok(Incoming::Skipped(skipped))) => Input::Skipped(skipped),
                    Some(Err(error)) => return End::of(&error),
                    None => return End::Gone,
                },
                () = self.membership.inbox.news() => {
                    let taken = self.membership.inbox.take();
                    closing = taken.closing;
                    for item in taken.items {
                        self.handle(Input::Item(item), &mut effects);
                    }
                    continue;
                }
                Some((name, outcome)) = sending.next(), if !sending.is_empty() => Input::Sent(name, outcome),
                page = wait_for(&mut reading) => {
                    reading = None;
                    page
                }
                () = &mut alarm => {
                    if self.message_is_late() {
                        return End::Close(Close::TooSlow);
                    }
                    Input::Tick
                }
            };
            self.handle(input, &mut effects);
        }
    }

    /// Whether a message that has begun to arrive takes too long. Looked at with each alarm, so at least once per ping.
    fn message_is_late(&self) -> bool {
        let began = self.stream.get_ref().message_began();
        self.session.may_read() && began.is_some_and(|began| began.elapsed() > self.realtime.limits.message)
    }

    fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) {
        self.session.handle(input, Instant::now().into(), self.realtime.now(), effects);
    }

    /// Does what the session says, in its order.
    async fn perform(
        &mut self,
        effects: &mut Vec<Effect>,
        sending: &mut FuturesUnordered<BoxFuture<'static, Sent>>,
        reading: &mut Option<BoxFuture<'static, Input>>,
    ) -> std::result::Result<(), End> {
        let mut written = false;
        let mut left = std::mem::take(effects);
        for effect in left.drain(..) {
            match effect {
                Effect::Send(event) => {
                    self.write(WsMessage::Text(event)).await?;
                    written = true;
                }
                Effect::Ping => {
                    self.write(WsMessage::Ping(Vec::new().into())).await?;
                    written = true;
                }
                Effect::Store(message) => sending.push(self.store(*message)),
                Effect::Typing => self.membership.typing(self.realtime.now()),
                Effect::Cancel => self.realtime.cancel(self.membership.chat),
                Effect::Read(after) => *reading = Some(self.read(after)),
                Effect::Join(delivered) => {
                    let joined = self.membership.join(delivered, self.realtime.now());
                    self.handle(if joined { Input::Joined } else { Input::Behind }, effects);
                }
                Effect::Leave => self.membership.inbox.leave(),
                Effect::Close(close) => return Err(End::Close(close)),
            }
        }
        if effects.is_empty() {
            // Its room is kept for the next time.
            *effects = left;
        }
        if written {
            self.in_time(async |stream| stream.flush().await).await?;
        }
        Ok(())
    }

    async fn write(&mut self, message: WsMessage) -> std::result::Result<(), End> {
        self.in_time(async move |stream| stream.feed(message).await).await
    }

    /// A peer that takes nothing for so long is not there, or does not keep up.
    async fn in_time(
        &mut self,
        write: impl AsyncFnOnce(&mut WebSocketStream<Metered<S>>) -> std::result::Result<(), WsError>,
    ) -> std::result::Result<(), End> {
        match timeout(self.realtime.limits.write, write(&mut self.stream)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Close(Close::TooSlow)),
        }
    }

    fn store(&self, message: NewMessage) -> BoxFuture<'static, Sent> {
        let name = message.client_message_id.clone();
        let sent = self.realtime.messages.send_message(self.tenant, self.membership.chat, message, None);
        sent.map(|outcome| (name, outcome)).boxed()
    }

    fn read(&self, after: i64) -> BoxFuture<'static, Input> {
        let (realtime, tenant, chat) = (self.realtime.clone(), self.tenant, self.membership.chat);
        async move {
            let window = Window { start: Start::Offset(0), limit: Realtime::PAGE, order: Order::Asc };
            let page = realtime.messages.list_messages(tenant, chat, Some(after), window).await;
            Input::Page(page.map(|page| (page.items, page.has_more)))
        }
        .boxed()
    }

    async fn end(&mut self, close: Close) {
        tracing::debug!(chat = %self.membership.chat, code = close.code(), "closing a connection");
        self.realtime.metrics.closed(close.code());
        end::close(&mut self.stream, close).await;
    }
}

async fn wait_for(reading: &mut Option<BoxFuture<'static, Input>>) -> Input {
    match reading {
        Some(page) => page.await,
        None => future::pending().await,
    }
}
