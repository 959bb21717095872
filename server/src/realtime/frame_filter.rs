//! Reads the heads of a peer's frames (RFC 6455, section 5.2) before tungstenite does, so that a message which is too large
//! is skipped and the connection goes on.
//!
//! tungstenite ends a connection over such a message. It also keeps a buffer as large as the largest frame for as long as
//! the connection lives; so a long frame is handed on in pieces, as if the peer had sent the message in fragments.

use std::sync::Arc;

use super::{
    member_scanner::MemberScanner,
    message_budget::{MessageBudget, MessagePermit},
};
use crate::{domain::ClientMessageId, wire::protocol::Close};

/// Bytes of content that a frame has at most when it is handed on, and that a message may have without a part of the
/// budget. A multiple of 4: the mask of each piece is that of the frame.
const PIECE: usize = 16 * 1024;
/// Bytes at most in the head of a frame.
const MAX_HEAD: usize = 14;
/// Bytes of a `client_message_id` in JSON: two escapes a character, and quotes.
const MAX_NAME: usize = 12 * ClientMessageId::MAX_CHARS + 2;

/// Bounds of one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessageBounds {
    /// Bytes of content; a message that has more is skipped.
    pub(super) bytes: usize,
    /// Bytes that are skipped of one message, heads of frames included.
    pub(super) skipped: usize,
}

/// A message that was read and not kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SkippedMessage {
    pub(crate) reason: SkipReason,
    /// The sender's name for it, if it could be read.
    pub(crate) client_message_id: Option<ClientMessageId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SkipReason {
    /// It has more bytes than a message may have.
    TooLarge,
    /// Other messages that are arriving hold the memory for it.
    NoRoom,
}

/// The reason for which the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.reason())]
pub(super) struct Violation(pub(super) Close);

/// See the module. Takes bytes as they arrive, and hands on those that tungstenite is to read.
#[derive(Debug)]
pub(super) struct FrameFilter {
    bounds: MessageBounds,
    budget: Arc<MessageBudget>,
    place: Place,
    head: Vec<u8>,
    /// The message that is arriving, unless it is a short one in a single frame.
    message: Option<Box<ArrivingMessage>>,
    /// The number of messages that were handed on to their end, and of those that tungstenite has returned.
    handed_on: u64,
    returned: u64,
    /// Which of them was cut short, in order to be skipped.
    cut: Option<u64>,
    /// The permits of messages that tungstenite has not returned yet.
    permits: Vec<(u64, MessagePermit)>,
    skipped: Option<SkippedMessage>,
    violation: Option<Violation>,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum Place {
    Head,
    Content(Content),
}

/// What is left of a frame.
#[derive(Debug)]
struct Content {
    /// Bytes to the end of the piece that is handed on.
    piece: u64,
    /// Bytes of the frame behind that piece.
    rest: u64,
    /// Where in the mask the next byte is.
    phase: usize,
    mask: [u8; 4],
    is_dropped: bool,
    /// `None` for a control frame; of a data frame, whether the message ends with it.
    ends_message: Option<bool>,
}

#[derive(Debug)]
struct ArrivingMessage {
    is_text: bool,
    /// Bytes of content in all frames so far.
    bytes: u64,
    /// Whether any frame of it was handed on.
    is_handed_on: bool,
    permit: MessagePermit,
    /// Why it is skipped, and how many bytes of it were.
    skipped: Option<(SkipReason, u64)>,
    /// Of a message in several frames or one that is skipped.
    watch: Option<Watch>,
}

/// What is seen of content that passes by.
#[derive(Debug)]
struct Watch {
    name: MemberScanner,
    /// The last bytes, unmasked.
    tail: [u8; 3],
}

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
struct Head {
    is_last: bool,
    opcode: u8,
    length: u64,
    mask: [u8; 4],
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

impl FrameFilter {
    pub(super) fn new(bounds: MessageBounds, budget: Arc<MessageBudget>) -> Self {
        Self {
            bounds,
            budget,
            place: Place::Head,
            head: Vec::new(),
            message: None,
            handed_on: 0,
            returned: 0,
            cut: None,
            permits: Vec::new(),
            skipped: None,
            violation: None,
        }
    }

    /// Takes bytes from the peer until a message was skipped or the peer has broken a rule; appends to `output` what is to
    /// be handed on, and returns how many bytes were taken.
    pub(super) fn take(&mut self, input: &[u8], output: &mut impl FnMut(&[u8])) -> usize {
        let mut left = input;
        while !left.is_empty() && self.skipped.is_none() && self.violation.is_none() {
            match &mut self.place {
                Place::Head => {
                    self.head.push(left[0]);
                    left = &left[1..];
                    match Head::parse(&self.head) {
                        None => {}
                        Some(Ok(head)) => {
                            self.begin_frame(head, output);
                            self.head.clear();
                        }
                        Some(Err(violation)) => self.violation = Some(violation),
                    }
                }
                Place::Content(content) => {
                    let length = usize::try_from(content.piece).unwrap_or(usize::MAX).min(left.len());
                    let (now, later) = left.split_at(length);
                    left = later;
                    if content.ends_message.is_some()
                        && let Some(watch) = self.message.as_mut().and_then(|message| message.watch.as_mut())
                    {
                        watch.see(now, content.mask, content.phase);
                    }
                    content.phase = (content.phase + length) % 4;
                    content.piece -= length as u64;
                    if !content.is_dropped {
                        output(now);
                    }
                    self.end_piece(output);
                }
            }
        }
        input.len() - left.len()
    }

    /// Takes the message that was skipped last; nothing more is read before that.
    pub(super) fn take_skipped(&mut self) -> Option<SkippedMessage> {
        self.skipped.take()
    }

    pub(super) fn has_skipped(&self) -> bool {
        self.skipped.is_some()
    }

    pub(super) fn is_skipping(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.skipped.is_some())
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// Notes that tungstenite has returned a message; `false`: it was cut short and is to be thrown away.
    pub(super) fn returned(&mut self) -> bool {
        self.returned += 1;
        let number = self.returned;
        self.permits.retain(|(of, _)| *of > number);
        self.cut.take_if(|cut| *cut == number).is_none()
    }

    fn begin_frame(&mut self, head: Head, output: &mut impl FnMut(&[u8])) {
        if head.opcode >= CLOSE {
            output(&self.head);
            return self.begin_content(head, head.length, false, None, output);
        }
        if (head.opcode == CONTINUATION) != self.message.is_some() {
            self.violation = Some(Violation(Close::ProtocolError));
            return;
        }
        let is_short = head.length <= PIECE as u64;
        if self.message.is_none() && head.is_last && is_short {
            output(&self.head);
            return self.begin_content(head, head.length, false, Some(true), output);
        }
        self.announce(head, output);
        let Some(message) = &mut self.message else { return };
        if let Some((_, skipped)) = &mut message.skipped {
            *skipped = skipped.saturating_add(head.length).saturating_add(self.head.len() as u64);
            if *skipped > self.bounds.skipped as u64 {
                self.violation = Some(Violation(Close::TooBig));
            } else {
                self.begin_content(head, head.length, true, Some(head.is_last), output);
            }
            return;
        }
        message.is_handed_on = true;
        if is_short {
            output(&self.head);
            self.begin_content(head, head.length, false, Some(head.is_last), output);
        } else {
            let first = Head { is_last: false, length: PIECE as u64, ..head };
            first.write(output);
            self.begin_content(head, PIECE as u64, false, Some(head.is_last), output);
        }
    }

    /// Counts a frame's content to its message, which is skipped from here on if that is too much.
    fn announce(&mut self, head: Head, output: &mut impl FnMut(&[u8])) {
        let message = self.message.get_or_insert_with(|| {
            Box::new(ArrivingMessage {
                is_text: head.opcode == TEXT,
                bytes: 0,
                is_handed_on: false,
                permit: MessagePermit::empty(&self.budget),
                skipped: None,
                watch: (!head.is_last).then(Watch::new),
            })
        });
        message.bytes = message.bytes.saturating_add(head.length);
        let bytes = usize::try_from(message.bytes).unwrap_or(usize::MAX);
        if message.skipped.is_some() {
            return;
        }
        if bytes > self.bounds.bytes {
            self.begin_skip(SkipReason::TooLarge, output);
        } else if bytes > PIECE && !message.permit.raise(bytes) {
            self.begin_skip(SkipReason::NoRoom, output);
        }
    }

    /// Goes on to the content of a frame, of which `piece` bytes come first.
    fn begin_content(
        &mut self,
        head: Head,
        piece: u64,
        is_dropped: bool,
        ends_message: Option<bool>,
        output: &mut impl FnMut(&[u8]),
    ) {
        let Head { length, mask, .. } = head;
        let content = Content { piece, rest: length - piece, phase: 0, mask, is_dropped, ends_message };
        self.place = Place::Content(content);
        self.end_piece(output);
    }

    /// Goes on to the next piece of the frame, or the next frame, if the piece is complete.
    fn end_piece(&mut self, output: &mut impl FnMut(&[u8])) {
        let Place::Content(content) = &mut self.place else { return };
        if content.piece > 0 {
            return;
        }
        if content.rest > 0 {
            content.piece = content.rest.min(PIECE as u64);
            content.rest -= content.piece;
            let is_last = content.rest == 0 && content.ends_message == Some(true);
            Head { is_last, opcode: CONTINUATION, length: content.piece, mask: content.mask }.write(output);
            return;
        }
        let ends_message = content.ends_message == Some(true);
        self.place = Place::Head;
        if !ends_message {
            return;
        }
        let Some(message) = self.message.take() else {
            self.handed_on += 1;
            return;
        };
        let ArrivingMessage { permit, skipped, watch, .. } = *message;
        if let Some((reason, _)) = skipped {
            let name = watch.and_then(|watch| watch.name.into_found());
            let client_message_id = name.and_then(|name| ClientMessageId::new(name).ok());
            self.skipped = Some(SkippedMessage { reason, client_message_id });
        } else {
            self.handed_on += 1;
            self.permits.push((self.handed_on, permit));
        }
    }

    /// Hands on nothing more of the message that is arriving. If a part of it was, tungstenite gets an end.
    fn begin_skip(&mut self, reason: SkipReason, output: &mut impl FnMut(&[u8])) {
        let Some(message) = &mut self.message else { return };
        if !message.is_text {
            // Refused whatever its size.
            self.violation = Some(Violation(Close::UnsupportedData));
        }
        message.skipped = Some((reason, 0));
        message.permit = MessagePermit::empty(&self.budget);
        if message.is_handed_on {
            let missing = message.watch.as_ref().map_or(&[][..], |watch| rest_of_character(watch.tail));
            let end = Head { is_last: true, opcode: CONTINUATION, length: missing.len() as u64, mask: [0; 4] };
            end.write(output);
            output(missing);
            self.handed_on += 1;
            self.cut = Some(self.handed_on);
        }
        message.watch.get_or_insert_with(Watch::new);
    }
}

impl Watch {
    fn new() -> Self {
        Self { name: MemberScanner::new("client_message_id", MAX_NAME), tail: [0; 3] }
    }

    fn see(&mut self, masked: &[u8], mask: [u8; 4], phase: usize) {
        for (place, byte) in masked.iter().enumerate() {
            let byte = byte ^ mask[(phase + place) % 4];
            self.name.see(byte);
            self.tail = [self.tail[1], self.tail[2], byte];
        }
    }
}

impl Head {
    /// Reads a head; `None`: it is not complete.
    fn parse(bytes: &[u8]) -> Option<Result<Self, Violation>> {
        let [first, second, rest @ ..] = bytes else { return None };
        let (opcode, is_last, length) = (first & 0x0f, first & 0x80 != 0, second & 0x7f);
        let is_known = matches!(opcode, CONTINUATION..=BINARY | CLOSE..=PONG);
        let is_bounded = opcode < CLOSE || is_last && length < 126;
        if !is_known || !is_bounded || first & 0x70 != 0 || second & 0x80 == 0 {
            return Some(Err(Violation(Close::ProtocolError)));
        }
        let (length, rest) = match length {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u16::from_be_bytes(*length).into(), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (short.into(), rest),
        };
        let mask = *rest.first_chunk()?;
        Some(Ok(Self { is_last, opcode, length, mask }))
    }

    /// Writes a head, of a length that fits into two bytes.
    fn write(self, output: &mut impl FnMut(&[u8])) {
        let mut bytes = Vec::with_capacity(MAX_HEAD);
        bytes.push(u8::from(self.is_last) << 7 | self.opcode);
        match u16::try_from(self.length).unwrap_or(u16::MAX) {
            length @ 0..126 => bytes.push(0x80 | length.to_be_bytes()[1]),
            length => {
                bytes.push(0xfe);
                bytes.extend(length.to_be_bytes());
            }
        }
        bytes.extend(self.mask);
        output(&bytes);
    }
}

/// What completes a character in UTF-8 that text ends in the middle of.
fn rest_of_character(tail: [u8; 3]) -> &'static [u8] {
    match tail {
        [.., 0xc2..=0xdf] | [_, 0xe0..=0xef, 0x80..=0xbf] | [0xf0..=0xf4, 0x80..=0xbf, 0x80..=0xbf] => &[0x80],
        [.., 0xe0] => &[0xa0, 0x80],
        [.., 0xe1..=0xef] | [_, 0xf0..=0xf4, 0x80..=0xbf] => &[0x80, 0x80],
        [.., 0xf0] => &[0x90, 0x80, 0x80],
        [.., 0xf1..=0xf4] => &[0x80, 0x80, 0x80],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
