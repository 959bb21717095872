//! `GET /ws/echo`: what comes goes back, on the handshake, the stream and the closing that chats have. A conformance suite
//! speaks to it; no server that people use has it.

use futures_util::{SinkExt as _, StreamExt as _};
use poem::{Endpoint, Request, Response, Upgraded, endpoint::make};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message as WsMessage};

use super::{
    end::{self, End},
    upgrade,
};
use crate::http::problem::Problem;

/// Where it is.
pub(crate) const ECHO: &str = "/ws/echo";

/// The endpoint.
pub(crate) fn echo() -> impl Endpoint<Output = Response> {
    make(|request: Request| async move {
        let accept = upgrade::handshake(&request)?;
        let upgrade = upgrade::take(&request)?;
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                repeat(upgrade::stream(upgraded).await).await;
            }
        });
        Ok::<_, Problem>(upgrade::switching_protocols(accept))
    })
}

async fn repeat(mut stream: WebSocketStream<Upgraded>) {
    while let Some(read) = stream.next().await {
        let sent = match read {
            Ok(message @ (WsMessage::Text(_) | WsMessage::Binary(_))) => stream.send(message).await,
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
