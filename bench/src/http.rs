//! HTTP/1.1 by hand, as little as the answers need, so that the load costs the machine less than what it measures.

use std::{
    fmt::Write as _,
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::server::KEY;

/// Where chats are created and listed.
pub(crate) const CHATS: &str = "/api/v1/chats/";
/// A message as it is sent.
pub(crate) const MESSAGE: &str = r#"{"content":"A message of ordinary length, neither short nor long."}"#;

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens one.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Opens a connection whose local address is `source`.
    pub(crate) async fn open_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let stream = connect_from(source, address, None).await?;
        Ok(Self { stream, buffer: Vec::with_capacity(1024) })
    }

    /// Sends `request` and returns the answer's body.
    ///
    /// # Errors
    /// Any answer but a 2xx of known length is one.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        let head = self.send(request).await?;
        let length = body_length(&self.buffer[..head])?;
        self.body(head, length).await
    }

    /// Sends `request` and returns the answer's status and body, whatever the status is.
    pub(crate) async fn answer(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        let head = self.send(request).await?;
        let status = status(&self.buffer).ok_or_else(|| io::Error::other("the answer has no status line"))?;
        let length =
            content_length(&self.buffer[..head]).ok_or_else(|| io::Error::other("the answer has no length"))?;
        Ok((status, self.body(head, length).await?))
    }

    /// Sends `request`, reads the answer's head, and returns its length.
    async fn send(&mut self, request: &[u8]) -> io::Result<usize> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        loop {
            self.fill().await?;
            if let Some(end) = end_of_head(&self.buffer) {
                return Ok(end);
            }
        }
    }

    async fn body(&mut self, head: usize, length: usize) -> io::Result<&[u8]> {
        while self.buffer.len() < head + length {
            self.fill().await?;
        }
        Ok(&self.buffer[head..head + length])
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed the connection")),
            _ => Ok(()),
        }
    }
}

/// The length of a head with the empty line that ends it, if it is all there.
pub(crate) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4)
}

/// Connects to `address` from the local address `source`; `receive_buffer` bounds the kernel's receive buffer, in bytes.
pub(crate) async fn connect_from(
    source: IpAddr,
    address: SocketAddr,
    receive_buffer: Option<u32>,
) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(SocketAddr::new(source, 0))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The status in the first line of an answer, once that much of it has arrived.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?.parse().ok()
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let length = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then(|| std::str::from_utf8(value).ok()?.trim().parse().ok())?
    });
    // 204 is an answer without a body.
    if head.starts_with(b"HTTP/1.1 204 ") { Some(0) } else { length }
}

fn body_length(head: &[u8]) -> io::Result<usize> {
    match content_length(head) {
        Some(length) if head.starts_with(b"HTTP/1.1 2") => Ok(length),
        _ => Err(io::Error::other(String::from_utf8_lossy(head).into_owned())),
    }
}

/// A `GET` of `path`.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n").into_bytes()
}

/// A `POST` of JSON to `path`.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request with the key, `headers` and, when there is one, a body of JSON.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if let Some(body) = body {
        _ = write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    } else {
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// A member of an answer that is a JSON object.
pub(crate) fn member(answer: &[u8], name: &str) -> io::Result<String> {
    let object: serde_json::Value = serde_json::from_slice(answer)?;
    object[name].as_str().map(str::to_owned).ok_or_else(|| io::Error::other(format!("the answer has no {name}")))
}

/// What creates a chat: it has a user, a title and a label.
pub(crate) fn new_chat(user: usize, label: &str) -> String {
    format!(r#"{{"user_id":"user{user}","title":"Support Session","metadata":{{"department":"{label}"}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_how_long_the_body_is() {
        let answer = b"HTTP/1.1 201 Created\r\nCONTENT-length: 17\r\nx: y\r\n\r\n{";
        let end = end_of_head(answer).unwrap();
        assert_eq!(&answer[end..], b"{");
        assert_eq!(body_length(&answer[..end]).unwrap(), 17);
        assert_eq!(end_of_head(&answer[..end - 1]), None);
        assert_eq!(body_length(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), 0);
        assert_eq!([status(answer), status(&answer[..12]), status(&answer[..11])], [Some(201), Some(201), None]);
    }

    #[test]
    fn a_request_has_its_headers_and_the_length_of_its_body() {
        let with_body = String::from_utf8(request("PATCH", "/x", &[("Idempotency-Key", "k")], Some("{}"))).unwrap();
        assert!(with_body.starts_with("PATCH /x HTTP/1.1\r\n"), "{with_body}");
        assert!(with_body.contains("\r\nIdempotency-Key: k\r\n"), "{with_body}");
        assert!(with_body.ends_with("\r\nContent-Length: 2\r\n\r\n{}"), "{with_body}");
        assert!(request("DELETE", "/x", &[], None).ends_with(b"\r\n\r\n"));
    }

    #[test]
    fn what_is_no_success_or_has_no_length_is_an_error() {
        for head in ["HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            assert_eq!(body_length(head.as_bytes()).unwrap_err().to_string(), head);
        }
    }
}
