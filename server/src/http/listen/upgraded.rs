//! A connection that has left HTTP, after an answer of 101.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
};

use crate::base::lock;

/// The socket, and what had already been read from it behind the request. The bounds of HTTP connections do not concern
/// it any more.
#[derive(Debug)]
pub(crate) struct Upgraded {
    stream: TcpStream,
    read: Bytes,
}

impl Upgraded {
    pub(super) fn new(stream: TcpStream, read: Bytes) -> Self {
        Self { stream, read }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let length = this.read.len().min(buffer.remaining());
        buffer.put_slice(&this.read.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// What a request that asks for another protocol has with it: the way to its connection after an answer of 101.
#[derive(Debug, Clone)]
pub(crate) struct Upgrade(Arc<Mutex<Option<oneshot::Receiver<Upgraded>>>>);

impl Upgrade {
    pub(super) fn new(connection: oneshot::Receiver<Upgraded>) -> Self {
        Self(Arc::new(Mutex::new(Some(connection))))
    }

    /// Takes the way, once.
    pub(crate) fn take(&self) -> Option<oneshot::Receiver<Upgraded>> {
        lock::lock(&self.0).take()
    }
}
