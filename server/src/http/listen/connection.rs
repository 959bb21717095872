//! The life of one connection: heads are read, then hyper serves requests until the connection is idle again.

use std::{future::poll_fn, io, pin::pin, sync::Arc, task::Poll, time::Duration};

use poem::{Endpoint, Response};
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    admission::Permit,
    exchange::{Ends, Outcome, exchange},
    head::read_head,
    refuse::Refuse,
    state::{ConnectionState, Order},
};
use crate::http::{
    field_error::FieldError,
    problem::{Code, Problem},
};

/// Bytes at most that the kernel holds of an answer before they are sent; the rest waits where it can be shared.
const MAX_UNSENT: u32 = 16 * 1024;
/// How long a connection stays open after its last answer while the peer sends nothing. Closed at once, the peer's kernel
/// would throw the answer away, which many clients read only once they have sent all of their request.
const LINGER: Duration = Duration::from_secs(1);
/// The same while the peer sends.
const MAX_LINGER: Duration = Duration::from_secs(10);
/// Bytes that are read and thrown away meanwhile.
const MAX_LINGER_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of them that are read at once.
const LINGER_CHUNK: usize = 16 * 1024;

pub(super) struct Connection<E> {
    pub(super) stream: TcpStream,
    pub(super) permit: Permit,
    pub(super) ends: Ends,
    pub(super) endpoint: Arc<E>,
    /// Bytes at most in the head of a request.
    pub(super) head_limit: usize,
}

impl<E: Endpoint<Output = Response> + Refuse + 'static> Connection<E> {
    pub(super) async fn serve(self) {
        let Self { mut stream, permit, ends, endpoint, head_limit } = self;
        let state = &permit.state;
        // Answers are small: waiting to fill a segment would only delay them.
        _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        {
            _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT);
        }
        let mut read = Vec::new();
        loop {
            let Some(head) = read_head(&stream, state, read, head_limit).await else { return };
            // In a box: while a head is awaited, its room is free.
            let outcome = Box::pin(exchange(stream, head, head_limit, &ends, &endpoint, state)).await;
            match outcome {
                Outcome::Idle(idle, rest) => {
                    stream = idle;
                    read = rest;
                }
                Outcome::Refused(stream, status) => {
                    let answer = answer_of(endpoint.refuse(problem(status))).await;
                    if write(&stream, state, &answer).await.is_ok() {
                        linger(&stream, state).await;
                    }
                    return;
                }
                Outcome::Ended(stream) => return linger(&stream, state).await,
                Outcome::Closed => return,
            }
        }
    }
}

/// What hyper's own answer with `status` says in the form of all others.
fn problem(status: u16) -> Problem {
    match status {
        431 | 414 => Problem::new(Code::HeadTooLarge),
        _ => Problem::invalid(vec![FieldError::new("", "is not a request of HTTP/1.1")]),
    }
}

/// The bytes of an answer after which the connection is closed.
async fn answer_of(response: Response) -> Vec<u8> {
    let (parts, body) = response.into_parts();
    let body = body.into_vec().await.unwrap_or_default();
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let mut answer = format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_u16()).into_bytes();
    for (name, value) in &parts.headers {
        answer.extend_from_slice(name.as_str().as_bytes());
        answer.extend_from_slice(b": ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    answer.extend_from_slice(&body);
    answer
}

/// Writes all of `bytes`, for which a new connection's socket has room.
async fn write(stream: &TcpStream, state: &ConnectionState, mut bytes: &[u8]) -> io::Result<()> {
    until_told(state, LINGER, async {
        while !bytes.is_empty() {
            stream.writable().await?;
            match stream.try_write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
    .await
    .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// Tells the peer that nothing more comes, and throws away what it still sends until it agrees.
async fn linger(stream: &TcpStream, state: &ConnectionState) {
    _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
    let discard = async {
        let mut discarded = 0;
        while discarded < MAX_LINGER_BYTES && timeout(LINGER, stream.readable()).await.is_ok_and(|read| read.is_ok()) {
            let mut chunk = [0; LINGER_CHUNK];
            match stream.try_read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => discarded += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    until_told(state, MAX_LINGER, discard).await;
}

/// Waits for `work`, for `limit` at most, and not after an order.
async fn until_told<T>(state: &ConnectionState, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut timer = pin!(sleep(limit));
    poll_fn(|cx| {
        state.register(cx.waker());
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if state.order() > Order::None {
            return Poll::Ready(None);
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}
