//! Bounds what a peer may send before a message is complete.
//!
//! tungstenite bounds a message by its content. Pieces without content cost nothing of that, so a peer could keep the server
//! busy reading them without end; and a message that never ends would be kept without end.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error as WsError, Message},
};

use super::upgrade::MAX_MESSAGE;

/// Bytes at most that are read for one message, with the heads of its frames: twice a message, and room for the reads that
/// reach into the next one.
const MAX_READ: usize = 2 * MAX_MESSAGE + 64 * 1024;
/// Bytes of a client's control frame beside its content: head and mask.
const CONTROL_FRAME_HEAD: usize = 6;

/// Bytes that are thrown away at once, and the pause after each such read.
const DISCARD: usize = 4 * 1024;
const DISCARD_PAUSE: Duration = Duration::from_millis(5);

/// A connection that counts what is read from it.
#[derive(Debug)]
pub(super) struct Metered<S> {
    connection: S,
    /// Bytes read since the last complete message, without control frames.
    read: usize,
    /// When the first of them was read.
    began: Option<Instant>,
}

/// The error of a read beyond the bound.
#[derive(Debug, thiserror::Error)]
#[error("too many bytes without a complete message")]
struct TooMuch;

/// Whether the error of a read says that the bound is reached.
pub(super) fn is_too_much(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<TooMuch>)
}

impl<S> Metered<S> {
    pub(super) fn new(connection: S) -> Self {
        Self { connection, read: 0, began: None }
    }

    /// When the message that is arriving began to arrive; `None`: none is.
    pub(super) fn message_began(&self) -> Option<Instant> {
        self.began
    }

    fn forget(&mut self, bytes: usize) {
        self.read = self.read.saturating_sub(bytes);
        if self.read == 0 {
            self.began = None;
        }
    }
}

impl<S: AsyncRead + Unpin> Metered<S> {
    /// Reads and throws away what comes, slowly, until the peer closes.
    pub(super) async fn discard(&mut self) {
        loop {
            let mut chunk = [0; DISCARD];
            let mut buffer = ReadBuf::new(&mut chunk);
            match poll_fn(|cx| Pin::new(&mut self.connection).poll_read(cx, &mut buffer)).await {
                Ok(()) if !buffer.filled().is_empty() => sleep(DISCARD_PAUSE).await,
                _ => return,
            }
        }
    }
}

/// The next message of `stream`, after which the count begins anew. A control frame takes back its own bytes only: it may
/// stand between the pieces of a message.
pub(super) async fn next<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut WebSocketStream<Metered<S>>,
) -> Option<Result<Message, WsError>> {
    let message = stream.next().await;
    if let Some(Ok(message)) = &message {
        let bytes = match message {
            Message::Ping(content) | Message::Pong(content) => content.len() + CONTROL_FRAME_HEAD,
            _ => usize::MAX,
        };
        stream.get_mut().forget(bytes);
    }
    message
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read > MAX_READ {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.connection).poll_read(cx, buffer))?;
        this.read += buffer.filled().len() - before;
        if this.began.is_none() {
            this.began = Some(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_shutdown(cx)
    }
}
