//! Reads the head of a request before hyper has the connection. While a head or the next request is awaited, a connection
//! holds no more than the bytes that have come; hyper would hold its buffers of 8 KiB each.

use std::{future::poll_fn, io, mem, pin::pin, sync::Arc, task::Poll};

use tokio::{net::TcpStream, time::sleep_until};

use super::state::{ConnectionState, Order};

/// Bytes read at once.
const CHUNK: usize = 4 * 1024;

/// Adds to `read` until the head of a request is complete, and perhaps more. Hands on, too, what cannot become a head, or
/// is as long as a head may be: hyper refuses it. `None`: the connection is to be closed.
pub(super) async fn read_head(
    stream: &TcpStream,
    state: &Arc<ConnectionState>,
    mut read: Vec<u8>,
    limit: usize,
) -> Option<Vec<u8>> {
    let mut deadline = state.now() + state.times.head;
    let mut timer = pin!(sleep_until(state.instant(deadline)));
    let mut searched = 0;
    let mut stops = false;
    poll_fn(|cx| {
        state.register(cx.waker());
        while stream.poll_read_ready(cx).is_ready() {
            let mut chunk = [0; CHUNK];
            match stream.try_read(&mut chunk) {
                Ok(0) => return Poll::Ready(None),
                Ok(length) => {
                    if read.is_empty() {
                        // An idle connection's time is over; the head has its own.
                        deadline = state.now() + state.times.head;
                        timer.as_mut().reset(state.instant(deadline));
                    }
                    append(&mut read, &chunk[..length]);
                    if read.len() >= limit || is_no_head(&read) || is_complete(&read, &mut searched) {
                        return Poll::Ready(Some(mem::take(&mut read)));
                    }
                    if read.capacity() > CHUNK {
                        state.hold(read.capacity());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(None),
            }
        }
        if state.take_shrink() && read.len() > CHUNK {
            return Poll::Ready(None);
        }
        match state.order() {
            Order::None => {}
            Order::Stop if !read.is_empty() => {
                if !mem::replace(&mut stops, true) {
                    deadline = deadline.min(state.now() + state.times.stop_grace);
                    timer.as_mut().reset(state.instant(deadline));
                }
            }
            Order::Stop | Order::Displace | Order::Abort => return Poll::Ready(None),
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// Appends what was read, without empty lines before the request line (RFC 9112, section 2.2).
fn append(read: &mut Vec<u8>, chunk: &[u8]) {
    let skipped = if read.is_empty() { chunk.iter().take_while(|byte| b"\r\n".contains(byte)).count() } else { 0 };
    read.extend_from_slice(&chunk[skipped..]);
}

/// Whether it begins with what no method begins with, as when TLS is spoken.
fn is_no_head(read: &[u8]) -> bool {
    read.first().is_some_and(|byte| !byte.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Whether there is an empty line; none ends before `searched`.
fn is_complete(read: &[u8], searched: &mut usize) -> bool {
    // An empty line may have begun in what was searched before.
    let from = searched.saturating_sub(2);
    *searched = read.len();
    let mut ends = read[from..].iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| from + at + 1);
    ends.any(|next| read[next..].starts_with(b"\n") || read[next..].starts_with(b"\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_complete_after_an_empty_line_however_it_arrives() {
        for (text, complete) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("GET / HTTP/1.1\nHost: x\n\n", true),
            ("GET / HTTP/1.1\r\nHost: x\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r", false),
            ("GET / HTTP/1.1\r\n\rHost: x\r\n", false),
        ] {
            for step in 1..=text.len() {
                let (mut read, mut searched, mut found) = (Vec::new(), 0, false);
                for chunk in text.as_bytes().chunks(step) {
                    append(&mut read, chunk);
                    found |= is_complete(&read, &mut searched);
                }
                assert_eq!(found, complete, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn empty_lines_before_a_request_are_skipped_and_other_protocols_are_told_apart() {
        let mut read = Vec::new();
        append(&mut read, b"\r\n\r\n");
        assert!(read.is_empty() && !is_no_head(&read));
        append(&mut read, b"\nGET");
        assert_eq!(read, b"GET");
        assert!(!is_no_head(&read));
        assert!(is_no_head(b"\x16\x03\x01"));
        assert!(is_no_head(b" GET"));
    }
}
