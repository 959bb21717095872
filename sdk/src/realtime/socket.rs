//! A WebSocket connection. Only this file uses tungstenite.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{FutureExt, Sink, SinkExt, StreamExt};
use reqwest::Upgraded;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::problem::Code;
use crate::realtime::connection_loss::{self, ConnectionLoss};
use crate::realtime::event::Event;
use crate::redact::Secrets;

/// Size of the read buffer and of the write buffer of a connection, in bytes.
const BUFFER: usize = 16 * 1024;
/// Maximum number of unwritten bytes: more than all unacknowledged messages together.
const MAX_WRITE_BUFFER: usize = 8 * 1024 * 1024;

pub(crate) struct Socket {
    stream: WebSocketStream<Upgraded>,
    is_flushed: bool,
    max_frame_bytes: usize,
    /// Secrets to remove from the server's texts.
    secrets: Arc<Secrets>,
}

/// Incoming data.
pub(crate) enum Incoming {
    Text(Utf8Bytes),
    /// A control or binary frame, which only shows that the server is alive.
    Control,
}

impl Socket {
    pub(crate) async fn new(connection: Upgraded, max_frame_bytes: usize, secrets: Arc<Secrets>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(Some(max_frame_bytes))
            .max_frame_size(Some(max_frame_bytes));
        let stream = WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await;
        Self { stream, is_flushed: true, max_frame_bytes, secrets }
    }

    /// Queues a text frame, which `next` writes.
    pub(crate) fn write(&mut self, text: String) -> Result<(), ConnectionLoss> {
        self.queue(Message::text(text))
    }

    pub(crate) fn ping(&mut self) -> Result<(), ConnectionLoss> {
        self.queue(Message::Ping(Bytes::new()))
    }

    pub(crate) fn send_close(&mut self, code: u16) -> Result<(), ConnectionLoss> {
        self.queue(Message::Close(Some(CloseFrame { code: code.into(), reason: Utf8Bytes::default() })))
    }

    fn queue(&mut self, message: Message) -> Result<(), ConnectionLoss> {
        self.is_flushed = false;
        self.stream.start_send_unpin(message).map_err(|error| self.loss(&error))
    }

    /// Writes queued frames and, if `reads`, waits for incoming data. Cancel safe.
    pub(crate) async fn next(&mut self, reads: bool) -> Result<Incoming, ConnectionLoss> {
        poll_fn(|context| self.poll(context, reads)).await
    }

    fn poll(&mut self, context: &mut Context<'_>, reads: bool) -> Poll<Result<Incoming, ConnectionLoss>> {
        if !self.is_flushed {
            match std::pin::Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => self.is_flushed = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.loss(&error))),
                Poll::Pending => {}
            }
        }
        if !reads {
            return Poll::Pending;
        }
        self.stream.poll_next_unpin(context).map(|read| match read {
            Some(Ok(Message::Text(text))) => Ok(Incoming::Text(text)),
            Some(Ok(Message::Close(frame))) => Err(self.closed(frame)),
            Some(Ok(_)) => {
                // The pong to a ping has been queued.
                self.is_flushed = false;
                Ok(Incoming::Control)
            }
            Some(Err(error)) => Err(self.loss(&error)),
            None => Err(ConnectionLoss::Broken("the server closed it without a close frame".to_owned())),
        })
    }

    /// Closes the connection, after a close frame if a code is given and the frame can be written at once.
    pub(crate) fn disconnect(mut self, code: Option<u16>) {
        if let Some(code) = code
            && self.send_close(code).is_ok()
        {
            drop(self.stream.flush().now_or_never());
        }
    }

    /// Parses the event in a text frame. Error events are redacted because they are shown to people.
    pub(crate) fn event(&self, text: &str) -> Event {
        let mut event = Event::from_json(text);
        if let Event::Error(error) = &mut event {
            self.secrets.redact(&mut error.message);
            if let Code::Other(code) = &mut error.code {
                self.secrets.redact(code);
            }
        }
        event
    }

    fn closed(&self, frame: Option<CloseFrame>) -> ConnectionLoss {
        match frame {
            Some(frame) => {
                ConnectionLoss::Closed { code: frame.code.into(), reason: self.clean(frame.reason.as_str().to_owned()) }
            }
            None => ConnectionLoss::Closed { code: connection_loss::NO_STATUS_RECEIVED, reason: String::new() },
        }
    }

    fn clean(&self, mut text: String) -> String {
        self.secrets.redact(&mut text);
        text
    }

    fn loss(&self, error: &tungstenite::Error) -> ConnectionLoss {
        match error {
            tungstenite::Error::Capacity(_) => ConnectionLoss::TooLarge(self.max_frame_bytes),
            error => ConnectionLoss::Broken(self.clean(error.to_string())),
        }
    }
}
