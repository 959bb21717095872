//! A connection's socket as hyper sees it: begins with bytes that were read before, notes what the connection waits for,
//! and holds back the bare answers that hyper itself gives to what is not HTTP.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::state::{ConnectionState, Phase};

/// Where the status is in an answer: behind `HTTP/1.1 `.
const STATUS: std::ops::Range<usize> = 9..12;
/// The bytes of a body after which the memory that is held is noted again.
const NOTE_AFTER: usize = 4 * 1024;
/// Estimated bytes of memory that a connection holds beside a body or an answer while hyper has it: its buffers, the
/// request's head, the handler.
pub(super) const EXCHANGE_BYTES: usize = 24 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct PeerIo {
    stream: TcpStream,
    prefix: Bytes,
    state: Arc<ConnectionState>,
    /// Bytes of the current body, and how many of them are noted.
    body: usize,
    noted: usize,
    /// The status of an answer that was held back.
    refused: Option<u16>,
}

impl PeerIo {
    /// Reads `prefix` first.
    pub(super) fn new(stream: TcpStream, prefix: Bytes, state: Arc<ConnectionState>) -> Self {
        Self { stream, prefix, state, body: 0, noted: 0, refused: None }
    }

    /// The socket, what is left of the prefix, and the status of an answer of hyper's own.
    pub(super) fn into_parts(self) -> (TcpStream, Bytes, Option<u16>) {
        (self.stream, self.prefix, self.refused)
    }

    fn note_body(&mut self, bytes: usize) {
        self.state.body_arrives();
        self.body += bytes;
        if self.body - self.noted >= NOTE_AFTER {
            self.noted = self.body;
            // Twice: buffers grow by doubling.
            self.state.hold(EXCHANGE_BYTES + 2 * self.body);
        }
    }

    /// Takes an answer that no handler has given, and writes nothing: one in the form of all others is sent instead.
    fn hold_back(&mut self, answer: &[u8]) {
        let status = || std::str::from_utf8(answer.get(STATUS)?).ok()?.parse().ok();
        self.refused = self.refused.or_else(status).or(Some(400));
    }

    fn wrote(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Ready(Ok(bytes)) => {
                self.body = 0;
                self.noted = 0;
                self.state.wrote(*bytes);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.state.stalls(),
        }
        outcome
    }
}

impl AsyncRead for PeerIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.prefix.is_empty() {
            let length = this.prefix.len().min(buffer.remaining());
            buffer.put_slice(&this.prefix.split_to(length));
            if this.prefix.is_empty() {
                this.prefix = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        if this.state.phase() == Phase::Body {
            this.note_body(buffer.filled().len() - before);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PeerIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.state.phase() == Phase::Head {
            this.hold_back(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.state.phase() == Phase::Head {
            this.hold_back(slices.first().map_or(&[], |slice| slice));
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper calls it when it has nothing more to write.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has no buffer to flush.
        self.state.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The answer that takes the place of hyper's own is still to come.
        if this.refused.is_some() { Poll::Ready(Ok(())) } else { Pin::new(&mut this.stream).poll_shutdown(cx) }
    }
}
