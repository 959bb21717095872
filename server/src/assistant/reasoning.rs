//! Removes `<think>…</think>` from an answer that arrives in pieces.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";
/// The upper bound on the white space that is held at the start of an answer, and on an unclosed block further on, in bytes.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// Filters the text of one answer.
///
/// A block at the start of an answer is reasoning even if it is never closed. Further on, a block that is never closed is
/// text that mentions the tag, and is passed on at the end. A tag behind a backtick or in a fenced code block is text.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the text before the current position")]
#[derive(Debug, Default)]
pub(super) struct ReasoningFilter {
    /// Text that is held back. Inside a block further on it begins with the tag.
    buffer: String,
    is_inside: bool,
    /// The number of bytes at the start of the buffer in which the closing tag does not begin.
    searched: usize,
    /// Whether text that is not white space has been passed on.
    has_text: bool,
    /// Whether part of the current block has been discarded.
    is_discarding: bool,
    /// Whether white space is removed up to the first text, because a block preceded it.
    is_trimming: bool,
    /// The number of backticks directly before the current position.
    backticks: usize,
    is_fenced: bool,
}

impl ReasoningFilter {
    /// Takes the next piece; returns what can be passed on.
    pub(super) fn push(&mut self, text: &str) -> String {
        self.buffer.push_str(text);
        let mut result = String::new();
        loop {
            if self.is_inside {
                if !self.leave() {
                    return result;
                }
                continue;
            }
            if self.is_trimming {
                let text = self.buffer.trim_start();
                self.buffer.drain(..self.buffer.len() - text.len());
                self.is_trimming = self.buffer.is_empty();
            }
            let (end, is_tag) = self.scan();
            let is_blank = !self.has_text && self.buffer[..end].trim_start().is_empty();
            if is_blank && !is_tag && end <= MAX_HELD_BYTES {
                return result;
            }
            let text = self.buffer.drain(..end);
            if !is_blank || !is_tag {
                result.push_str(text.as_str());
            }
            drop(text);
            self.has_text |= !is_blank;
            if !is_tag {
                return result;
            }
            (self.is_inside, self.searched, self.is_discarding) = (true, OPEN.len(), !self.has_text);
        }
    }

    /// Returns what was held back, at the end of the answer.
    pub(super) fn finish(&mut self) -> String {
        let text = std::mem::take(&mut self.buffer);
        if self.is_inside && self.is_discarding { String::new() } else { text }
    }

    /// Looks for the end of a block; returns whether it was there.
    fn leave(&mut self) -> bool {
        if let Some(at) = self.buffer[self.searched..].find(CLOSE) {
            self.buffer.drain(..self.searched + at + CLOSE.len());
            (self.is_inside, self.searched, self.is_trimming) = (false, 0, !self.has_text);
            return true;
        }
        // The closing tag may be split over two pieces.
        let mut start = self.buffer.len().saturating_sub(CLOSE.len() - 1).max(self.searched);
        while !self.buffer.is_char_boundary(start) {
            start -= 1;
        }
        self.is_discarding |= self.buffer.len() > MAX_HELD_BYTES;
        self.searched = start;
        if self.is_discarding {
            self.buffer.drain(..start);
            self.searched = 0;
        }
        false
    }

    /// Returns where the text that can be passed on ends, and whether an opening tag follows.
    fn scan(&mut self) -> (usize, bool) {
        for (index, char) in self.buffer.char_indices() {
            if char == '`' {
                self.backticks += 1;
                self.is_fenced ^= self.backticks == 3;
                continue;
            }
            if char == '<' && self.backticks == 0 && !self.is_fenced {
                let rest = &self.buffer[index..];
                if rest.starts_with(OPEN) {
                    return (index, true);
                }
                if OPEN.starts_with(rest) {
                    return (index, false);
                }
            }
            self.backticks = 0;
        }
        (self.buffer.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_removed_however_the_answer_is_split() {
        for (text, expected) in [
            ("Hi", "Hi"),
            ("  Hi ", "  Hi "),
            (" \n", " \n"),
            ("<think>secret</think>Hi", "Hi"),
            ("\n <think>\nse<b>cr</b>et\n</think>\n\nHi ü", "Hi ü"),
            ("<think></think>Hi", "Hi"),
            ("<think>a</think> <think>b</think> Hi", "Hi"),
            ("<think>never closed </thin", ""),
            ("Hi<think>more ü</think> there", "Hi there"),
            ("The tag <think> opens it", "The tag <think> opens it"),
            ("Write `<think>` and `</think>`.", "Write `<think>` and `</think>`."),
            ("```\n<think>\n</think>\n```\n<think>x</think>ok", "```\n<think>\n</think>\n```\nok"),
            ("a < b <thin", "a < b <thin"),
            ("<<think>x</think>y", "<y"),
            ("<THINK>x", "<THINK>x"),
        ] {
            let characters: Vec<char> = text.chars().collect();
            for size in 1..=characters.len() {
                let mut filter = ReasoningFilter::default();
                let pieces = characters.chunks(size).map(|piece| filter.push(&piece.iter().collect::<String>()));
                let mut result: String = pieces.collect();
                result += &filter.finish();
                assert_eq!(result, expected, "{text:?} in pieces of {size} characters");
            }
        }
    }

    #[test]
    fn a_long_block_is_not_kept_in_memory() {
        let mut filter = ReasoningFilter::default();
        assert_eq!(filter.push("Hi <think>"), "Hi ");
        for _ in 0..1_000 {
            assert_eq!(filter.push(&"x".repeat(1_000)), "");
            assert!(filter.buffer.len() <= 2 * MAX_HELD_BYTES);
        }
        assert_eq!(filter.push("</think>there"), "there");
    }
}
