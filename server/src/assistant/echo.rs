use std::time::Duration;

use futures_util::stream;
use tokio::time::sleep;

use super::{Conversation, Provider, TokenStream};

/// Says again what the user said, word by word.
#[derive(Debug)]
pub(super) struct Echo {
    pause: Duration,
}

impl Echo {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause }
    }
}

impl Provider for Echo {
    fn answer(&self, mut conversation: Conversation) -> TokenStream {
        let content = conversation.turns.pop().map(|turn| turn.content).unwrap_or_default();
        let words = words(&content).map(str::to_owned).collect::<Vec<_>>().into_iter().enumerate();
        let pause = self.pause;
        Box::pin(stream::unfold(words, move |mut words| async move {
            let (index, word) = words.next()?;
            if index > 0 && !pause.is_zero() {
                sleep(pause).await;
            }
            Some((Ok(word), words))
        }))
    }
}

/// The words of `text`, each with the white space behind it and the first also with what is before it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(|char: char| !char.is_whitespace()).unwrap_or(rest.len());
        let space = rest[start..].find(char::is_whitespace).map_or(rest.len(), |end| start + end);
        let next = rest[space..].find(|char: char| !char.is_whitespace()).map_or(rest.len(), |end| space + end);
        let (word, after) = rest.split_at(next);
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_all_white_space() {
        for (text, expected) in [
            ("", &[][..]),
            ("hello", &["hello"]),
            ("hello world", &["hello ", "world"]),
            ("  two\n\n lines\t", &["  two\n\n ", "lines\t"]),
            (" \u{3000}", &[" \u{3000}"]),
            ("日本\u{3000}語 😀", &["日本\u{3000}", "語 ", "😀"]),
        ] {
            let words: Vec<_> = words(text).collect();
            assert_eq!(words, expected);
            assert_eq!(words.concat(), text);
        }
    }
}
