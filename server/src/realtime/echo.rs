//! `GET /ws/echo`: what comes goes back, on the handshake, the stream and the closing that chats have. A conformance suite
//! speaks to it; no server that people use has it.

use futures_util::SinkExt as _;
use poem::{Endpoint, Request, Response, endpoint::make};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message as WsMessage};

use super::{
    RealtimeLimits,
    end::{self, End},
    message_budget::MessageBudget,
    metered::{self, Incoming, Metered},
    upgrade,
};
use crate::http::{listen::Upgraded, problem::Problem};

/// Where it is.
pub(crate) const ECHO: &str = "/ws/echo";

/// The endpoint.
pub(crate) fn echo() -> impl Endpoint<Output = Response> {
    make(|request: Request| async move {
        let accept = upgrade::handshake(&request)?;
        let upgrade = upgrade::take(&request)?;
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                let limits = RealtimeLimits::default();
                let budget = MessageBudget::new(limits.arriving_bytes);
                repeat(upgrade::stream(upgraded, &limits, &budget).await).await;
            }
        });
        Ok::<_, Problem>(upgrade::switching_protocols(accept, None))
    })
}

async fn repeat(mut stream: WebSocketStream<Metered<Upgraded>>) {
    while let Some(read) = metered::next(&mut stream).await {
        let sent = match read {
            Ok(Incoming::Message(message @ (WsMessage::Text(_) | WsMessage::Binary(_)))) => stream.send(message).await,
            Ok(_) => Ok(()),
            Err(error) => {
                if let End::Close(close) = End::of(&error) {
                    end::close(&mut stream, close).await;
                }
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}
