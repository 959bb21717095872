use bytes::{Buf as _, BytesMut};
use reqwest::Response;

use super::AssistantError;

/// The upper bound on one event and on one line, in bytes.
const MAX_EVENT_BYTES: usize = 256 * 1024;

/// What a stream of server-sent events delivers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The data of an event.
    Data(String),
    /// The text of a failure: the data of an event named `error`, or the value of a field `error`.
    Failure(String),
    /// A comment, which servers send to keep a connection open.
    Comment,
}

/// Reads the server-sent events of a response.
#[derive(Debug)]
pub(super) struct Events {
    response: Response,
    parser: Parser,
}

impl Events {
    pub(super) fn of(response: Response) -> Self {
        Self { response, parser: Parser::default() }
    }

    /// Returns what comes next; `None` at the end of the response. An event without its closing empty line is discarded,
    /// as the specification requires.
    pub(super) async fn next(&mut self) -> Result<Option<Received>, AssistantError> {
        loop {
            if let Some(received) = self.parser.next()? {
                return Ok(Some(received));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.parser.push(&chunk),
                Ok(None) => return Ok(None),
                Err(error) => return Err(interrupted(error)),
            }
        }
    }

    /// Reads to the end, so that the connection can be used again.
    pub(super) async fn drain(&mut self) {
        while let Ok(Some(_)) = self.response.chunk().await {}
    }
}

/// Parses server-sent events from bytes that arrive in any pieces. Lines end with CR, LF or CRLF.
#[derive(Debug, Default)]
struct Parser {
    buffer: BytesMut,
    /// The number of bytes at the start of the buffer that hold no line end.
    searched: usize,
    /// Whether the last line ended with CR, so that an LF right behind it belongs to that line end.
    after_cr: bool,
    /// Whether a line has been read; only the first one may begin with a byte order mark.
    has_begun: bool,
    /// The name of the event being read.
    name: String,
    /// The data of the event being read; `None` before its first line.
    data: Option<String>,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns what the bytes so far contain; `None` when more bytes are needed.
    fn next(&mut self) -> Result<Option<Received>, AssistantError> {
        while let Some(line) = self.line()? {
            if let Some(received) = self.take(&line)? {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> Result<Option<String>, AssistantError> {
        if self.after_cr && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer[0] == b'\n' {
                self.buffer.advance(1);
            }
        }
        let end = self.buffer[self.searched..].iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let Some(end) = end.map(|end| self.searched + end) else {
            self.searched = self.buffer.len();
            return if self.searched > MAX_EVENT_BYTES { Err(too_long()) } else { Ok(None) };
        };
        let line = self.buffer.split_to(end);
        self.after_cr = self.buffer[0] == b'\r';
        self.buffer.advance(1);
        self.searched = 0;
        let line = std::str::from_utf8(&line).map_err(|error| {
            tracing::warn!(%error, "the assistant's provider sent no text");
            AssistantError::Malformed
        })?;
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let line = if is_first { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        Ok(Some(line.to_owned()))
    }

    fn take(&mut self, line: &str) -> Result<Option<Received>, AssistantError> {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), self.data.take());
            return Ok(data
                .filter(|data| !data.is_empty() || name == "error")
                .map(|data| if name == "error" { Received::Failure(data) } else { Received::Data(data) }));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => return Ok(Some(Received::Comment)),
            // Not in the specification; llama.cpp reports failures this way.
            "error" => return Ok(Some(Received::Failure(value.to_owned()))),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.data.as_ref().map_or(0, String::len) + value.len() > MAX_EVENT_BYTES {
                    return Err(too_long());
                }
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                }
            }
            _ => {}
        }
        Ok(None)
    }
}

fn too_long() -> AssistantError {
    tracing::warn!("the assistant's provider sent an event of more than {MAX_EVENT_BYTES} bytes");
    AssistantError::Malformed
}

/// Reports a connection that ended before its response was complete.
pub(super) fn interrupted(error: reqwest::Error) -> AssistantError {
    let error = error.without_url();
    tracing::warn!(cause = ?error, "the connection to the assistant's provider broke");
    AssistantError::Interrupted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, size: usize) -> Vec<Received> {
        let mut parser = Parser::default();
        let mut all = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            parser.push(piece);
            while let Some(received) = parser.next().unwrap() {
                all.push(received);
            }
        }
        all
    }

    #[test]
    fn every_line_end_and_every_split_gives_the_same_events() {
        let text = "\u{feff}: hello\ndata: one\ndata:two ü\n\nid: 7\nevent: ping\ndata: 3\n\ndata\n\nevent: error\n\
                    data: {\"message\":\"x\"}\n\nerror: {\"code\":500}\n\nretry: 5\n\ndata: [DONE]\n\ndata: lost";
        let data = |text: &str| Received::Data(text.to_owned());
        let failure = |text: &str| Received::Failure(text.to_owned());
        let expected = [
            Received::Comment,
            data("one\ntwo ü"),
            data("3"),
            failure("{\"message\":\"x\"}"),
            failure("{\"code\":500}"),
            data("[DONE]"),
        ];
        for end in ["\n", "\r", "\r\n"] {
            let text = text.replace('\n', end);
            for size in 1..=text.len() {
                assert_eq!(parse(&text, size), expected, "{end:?} in pieces of {size} bytes");
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_removed_only_from_the_first_line() {
        assert_eq!(parse("data: a\n\n\u{feff}data: b\n\n", 3), [Received::Data("a".to_owned())]);
    }
}
