//! How a connection ends: why, and the closing handshake (RFC 6455, section 7).

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FusedStream as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error as WsError, error::ProtocolError},
};

use super::metered::{self, Metered};
use crate::wire::protocol::Close;

/// How long a peer may take to answer a close frame.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a connection ends: with a close frame of ours, or because there is nobody to send one to.
pub(super) enum End {
    Close(Close),
    Gone,
}

impl End {
    /// What a failed read means.
    pub(super) fn of(error: &WsError) -> Self {
        match error {
            WsError::Capacity(_) => Self::Close(Close::TooBig),
            WsError::Utf8(_) => Self::Close(Close::InvalidText),
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            WsError::Protocol(_) => Self::Close(Close::ProtocolError),
            WsError::Io(error) => metered::close_for(error).map_or(Self::Gone, Self::Close),
            _ => Self::Gone,
        }
    }
}

/// Sends the reply to the peer's close frame, which goes out with a read, and waits a little for the peer to take it.
pub(super) async fn agree<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut WebSocketStream<Metered<S>>) {
    let wait = async {
        // After an error, which may be what the connection ends for, the stream gives nothing more.
        let mut failed = stream.is_terminated();
        while let Some(read) = stream.next().await {
            failed = read.is_err();
        }
        if failed {
            // What comes cannot be understood any more; unread, it would have the close frame thrown away.
            stream.get_mut().discard().await;
        }
    };
    _ = timeout(PATIENCE, wait).await;
}

/// Says why, and waits a little for the peer to agree, so that what was sent before is not cut off by a reset.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut WebSocketStream<Metered<S>>, close: Close) {
    if let Ok(Ok(())) = timeout(PATIENCE, stream.close(Some(close.frame()))).await {
        agree(stream).await;
    }
}
