//! Bounds what a peer may send before a message is complete.
//!
//! tungstenite bounds a message by its content. Pieces without content cost nothing of that, so a peer could keep the server
//! busy reading them without end; and a message that never ends would be kept without end. A message that is too large is
//! skipped; see [`super::frame_filter`].

use std::{
    future::poll_fn,
    io,
    mem::{self, MaybeUninit},
    pin::Pin,
    sync::Arc,
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

use super::{
    RealtimeLimits,
    frame_filter::{FrameFilter, MessageBounds, SkippedMessage, Violation},
    message_budget::MessageBudget,
};
use crate::wire::protocol::Close;

/// Bytes that are read for one message beyond twice its content: heads of frames, and what the last read takes of the next
/// message.
const SPARE: usize = 64 * 1024;
/// Bytes of a client's control frame beside its content: head and mask.
const CONTROL_FRAME_HEAD: usize = 6;

/// Bytes that are read at once.
const CHUNK: usize = 4 * 1024;
/// The pause after each read of what is thrown away when the connection ends.
const DISCARD_PAUSE: Duration = Duration::from_millis(5);

/// A connection that counts what is read from it, and leaves out messages that are too large.
#[derive(Debug)]
pub(super) struct Metered<S> {
    connection: S,
    filter: FrameFilter,
    /// Bytes read that are still to go through the filter.
    unfiltered: Vec<u8>,
    /// Bytes that have gone through it and are still to be returned.
    filtered: Vec<u8>,
    /// Bytes read since the last complete message, without control frames.
    read: usize,
    /// Bytes at most that are read for a message that is not skipped.
    max_read: usize,
    /// When the first of them was read.
    began: Option<Instant>,
}

/// What a peer sends.
#[derive(Debug)]
pub(super) enum Incoming {
    Message(Message),
    Skipped(SkippedMessage),
}

/// How a connection is to be closed whose read failed with `error`; `None`: the connection is lost.
pub(super) fn close_for(error: &io::Error) -> Option<Close> {
    error.get_ref()?.downcast_ref().map(|Violation(close)| *close)
}

impl<S> Metered<S> {
    pub(super) fn new(connection: S, limits: &RealtimeLimits, budget: &Arc<MessageBudget>) -> Self {
        let bounds = MessageBounds { bytes: limits.message_bytes, skipped: limits.skipped_bytes };
        Self {
            connection,
            filter: FrameFilter::new(bounds, budget.clone()),
            unfiltered: Vec::new(),
            filtered: Vec::new(),
            read: 0,
            max_read: 2 * limits.message_bytes + SPARE,
            began: None,
        }
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

    /// The reason for which nothing more is read.
    fn refusal(&self) -> Option<Violation> {
        let is_too_much = self.read > self.max_read && !self.filter.is_skipping();
        self.filter.violation().or(is_too_much.then_some(Violation(Close::TooBig)))
    }

    /// Filters `input`; as much of the outcome as there is room for goes to `buffer`, and the rest waits.
    fn filter(&mut self, input: &[u8], buffer: &mut ReadBuf<'_>) {
        let Self { filter, filtered, unfiltered, .. } = self;
        let taken = filter.take(input, &mut |bytes| {
            let room = if filtered.is_empty() { buffer.remaining().min(bytes.len()) } else { 0 };
            buffer.put_slice(&bytes[..room]);
            filtered.extend_from_slice(&bytes[room..]);
        });
        unfiltered.extend_from_slice(&input[taken..]);
    }
}

impl<S: AsyncRead + Unpin> Metered<S> {
    /// Reads and throws away what comes, slowly, until the peer closes.
    pub(super) async fn discard(&mut self) {
        loop {
            let mut chunk = [0; CHUNK];
            let mut buffer = ReadBuf::new(&mut chunk);
            match poll_fn(|cx| Pin::new(&mut self.connection).poll_read(cx, &mut buffer)).await {
                Ok(()) if !buffer.filled().is_empty() => sleep(DISCARD_PAUSE).await,
                _ => return,
            }
        }
    }
}

/// What comes next from `stream`, after which the count begins anew. A control frame takes back its own bytes only: it may
/// stand between the pieces of a message.
pub(super) async fn next<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut WebSocketStream<Metered<S>>,
) -> Option<Result<Incoming, WsError>> {
    loop {
        let read = poll_fn(|cx| match stream.poll_next_unpin(cx) {
            // Nothing is read beyond a skipped message, so that it is reported in its turn.
            Poll::Pending => match stream.get_mut().filter.take_skipped() {
                Some(skipped) => Poll::Ready(Some(Ok(Incoming::Skipped(skipped)))),
                None => Poll::Pending,
            },
            Poll::Ready(read) => Poll::Ready(read.map(|read| read.map(Incoming::Message))),
        });
        let read = read.await;
        let metered = stream.get_mut();
        match &read {
            Some(Ok(Incoming::Message(Message::Ping(content) | Message::Pong(content)))) => {
                metered.forget(content.len() + CONTROL_FRAME_HEAD);
            }
            Some(Ok(Incoming::Message(Message::Text(_) | Message::Binary(_)))) => {
                if !metered.filter.returned() {
                    // The beginning of a message that is skipped; its end is still to come.
                    continue;
                }
                metered.forget(usize::MAX);
            }
            Some(Ok(_)) => metered.forget(usize::MAX),
            Some(Err(_)) | None => {}
        }
        return read;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        while buffer.filled().len() == before && buffer.remaining() > 0 {
            if !this.filtered.is_empty() {
                let length = this.filtered.len().min(buffer.remaining());
                buffer.put_slice(&this.filtered[..length]);
                this.filtered.drain(..length);
                if this.filtered.is_empty() {
                    this.filtered = Vec::new();
                }
                break;
            }
            if this.filter.has_skipped() {
                // No waker is needed: `next` takes it and polls again.
                return Poll::Pending;
            }
            if let Some(violation) = this.refusal() {
                return Poll::Ready(Err(io::Error::other(violation)));
            }
            if !this.unfiltered.is_empty() {
                let input = mem::take(&mut this.unfiltered);
                this.filter(&input, buffer);
                continue;
            }
            let mut chunk = [MaybeUninit::uninit(); CHUNK];
            let mut read = ReadBuf::uninit(&mut chunk[..CHUNK.min(buffer.remaining())]);
            ready!(Pin::new(&mut this.connection).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                break;
            }
            this.read += read.filled().len();
            if this.began.is_none() {
                this.began = Some(Instant::now());
            }
            this.filter(read.filled(), buffer);
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
