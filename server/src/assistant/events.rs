use bytes::BytesMut;
use reqwest::Response;
use tokio_util::codec::{Decoder as _, LinesCodec};

use super::AssistantError;

/// Bytes at most in one event, and in one line of it.
const MAX_EVENT_BYTES: usize = 256 * 1024;

/// The data of server-sent events, as they arrive. Comments and all other fields are left out; lines end with LF or CRLF.
#[derive(Debug)]
pub(super) struct Events {
    response: Response,
    buffer: BytesMut,
    lines: LinesCodec,
    data: String,
}

impl Events {
    pub(super) fn of(response: Response) -> Self {
        let lines = LinesCodec::new_with_max_length(MAX_EVENT_BYTES);
        Self { response, buffer: BytesMut::new(), lines, data: String::new() }
    }

    /// The next event's data; `None` at the end of the response, where an event without its empty line is lost, as the
    /// specification wants.
    pub(super) async fn next(&mut self) -> Result<Option<String>, AssistantError> {
        loop {
            while let Some(line) = self.lines.decode(&mut self.buffer).map_err(|error| {
                tracing::warn!(%error, "the assistant's provider sent no text");
                AssistantError::Malformed
            })? {
                if line.is_empty() && !self.data.is_empty() {
                    return Ok(Some(std::mem::take(&mut self.data)));
                }
                self.take(&line)?;
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => return Ok(None),
                Err(error) => return Err(interrupted(error)),
            }
        }
    }

    fn take(&mut self, line: &str) -> Result<(), AssistantError> {
        let Some(value) = line.trim_start_matches('\u{feff}').strip_prefix("data:") else { return Ok(()) };
        if self.data.len() + value.len() > MAX_EVENT_BYTES {
            tracing::warn!("the assistant's provider sent an event of more than {MAX_EVENT_BYTES} bytes");
            return Err(AssistantError::Malformed);
        }
        if !self.data.is_empty() {
            self.data.push('\n');
        }
        self.data.push_str(value.strip_prefix(' ').unwrap_or(value));
        Ok(())
    }

    /// Reads to the end, so that the connection can be used again.
    pub(super) async fn drain(&mut self) {
        while let Ok(Some(_)) = self.response.chunk().await {}
    }
}

/// A connection that ended before what was to come over it.
pub(super) fn interrupted(error: reqwest::Error) -> AssistantError {
    let error = error.without_url();
    tracing::warn!(cause = ?error, "the connection to the assistant's provider broke");
    AssistantError::Interrupted
}
