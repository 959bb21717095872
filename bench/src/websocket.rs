//! WebSocket by hand, as little as the measurements need.

use std::{io, net::SocketAddr, sync::Arc};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    http::{MESSAGE, end_of_head},
    load::Sender,
    server::KEY,
};

/// Connections that are opened at one time.
pub(crate) const OPENING: usize = 64;

/// A live connection.
pub(crate) struct Live {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Live {
    /// Connects, and takes the first event.
    pub(crate) async fn open(address: SocketAddr, chat: &str) -> io::Result<Self> {
        Self::open_with(address, &format!("api_key={KEY}&user_id=listener&chat_id={chat}")).await
    }

    /// Connects with the credentials of `query`, and takes the first event.
    pub(crate) async fn open_with(address: SocketAddr, query: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "GET /ws/chat?{query} HTTP/1.1\r\nHost: localhost\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut live = Self { stream, read: Vec::new() };
        let end = loop {
            if let Some(end) = end_of_head(&live.read) {
                break end;
            }
            live.fill().await?;
        };
        if !live.read.starts_with(b"HTTP/1.1 101 ") {
            return Err(io::Error::other(String::from_utf8_lossy(&live.read).into_owned()));
        }
        live.read.drain(..end);
        live.frame().await?;
        // Ten thousand of them hold nothing that they do not need.
        live.read.shrink_to_fit();
        Ok(live)
    }

    /// Opens `count`; `chat` tells the chat of each.
    pub(crate) async fn open_all<'a>(
        address: SocketAddr,
        count: usize,
        chat: impl Fn(usize) -> &'a str,
    ) -> io::Result<Vec<Self>> {
        stream::iter(0..count).map(|n| Self::open(address, chat(n))).buffer_unordered(OPENING).try_collect().await
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.stream.write_all(frame).await
    }

    /// Takes the next frame that is no ping.
    pub(crate) async fn frame(&mut self) -> io::Result<()> {
        let length = self.text_length().await?;
        self.read.drain(..length);
        Ok(())
    }

    /// Takes the next frame that is no ping, and returns its text.
    pub(crate) async fn next_text(&mut self) -> io::Result<Vec<u8>> {
        let length = self.text_length().await?;
        let mut frame: Vec<u8> = self.read.drain(..length).collect();
        // A length of 126 is followed by the real one, in two bytes.
        frame.drain(..if frame[1] == 126 { 4 } else { 2 });
        Ok(frame)
    }

    /// Waits for a whole frame of text, and returns its length with its head; it stays in the buffer.
    async fn text_length(&mut self) -> io::Result<usize> {
        loop {
            if let Some((opcode, length)) = head(&self.read)
                && self.read.len() >= length
            {
                if opcode == 1 {
                    return Ok(length);
                }
                self.read.drain(..length);
                match opcode {
                    9 => {}
                    other => return Err(io::Error::other(format!("a frame of kind {other}"))),
                }
            } else {
                self.fill().await?;
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        // Several frames at once; what says nothing has no buffer.
        if self.read.capacity() == 0 {
            self.read.reserve(8 * 1024);
        }
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed the live connection")),
            _ => Ok(()),
        }
    }
}

/// A sender of messages by a live connection, one in flight.
pub(crate) struct Speaker {
    live: Live,
    frame: Arc<[u8]>,
}

impl Speaker {
    /// `count` speakers, a chat each while the chats last: then nobody hears anybody else.
    pub(crate) async fn senders(address: SocketAddr, chats: &[String], count: usize) -> io::Result<Vec<Self>> {
        let frame: Arc<[u8]> = text(MESSAGE).into();
        let lives = Live::open_all(address, count, |n| chats[n % chats.len()].as_str()).await?;
        Ok(lives.into_iter().map(|live| Self { live, frame: frame.clone() }).collect())
    }
}

impl Sender for Speaker {
    async fn exchange(&mut self) -> io::Result<()> {
        self.live.send(&self.frame).await?;
        self.live.frame().await
    }
}

/// The kind of the first frame in `bytes`, and its length with its head (RFC 6455, section 5.2); a server does not mask.
fn head(bytes: &[u8]) -> Option<(u8, usize)> {
    let opcode = bytes.first()? & 0x0f;
    let length = match *bytes.get(1)? {
        126 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        127 => return Some((opcode, usize::MAX)),
        short => 2 + usize::from(short),
    };
    Some((opcode, length))
}

/// A client's frame of text, masked with zeros.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut frame = match u8::try_from(text.len()).ok().filter(|length| *length < 126) {
        Some(length) => vec![0x81, 0x80 | length],
        None => {
            let [high, low] = u16::try_from(text.len()).expect("a text below 64 KiB").to_be_bytes();
            vec![0x81, 0xfe, high, low]
        }
    };
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_long_as_its_head_says() {
        assert_eq!(head(&[0x81]), None);
        assert_eq!(head(&[0x81, 5]), Some((1, 7)));
        assert_eq!(head(&[0x89, 126, 1]), None);
        assert_eq!(head(&[0x89, 126, 1, 0]), Some((9, 260)));
    }

    #[test]
    fn a_frame_announces_the_length_of_its_text() {
        assert_eq!(text(MESSAGE).len(), MESSAGE.len() + 6);
        assert_eq!(text(&"x".repeat(300))[..8], [0x81, 0xfe, 1, 44, 0, 0, 0, 0]);
    }
}
