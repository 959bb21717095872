use futures_util::stream::{self, StreamExt as _};

use super::{AssistantError, TokenStream};
use crate::chat::Content;

/// Keeps an answer within the rules of [`Content`]: without NUL, ended at the most characters that a message may have,
/// and an error instead of nothing at all.
pub(super) fn storable(tokens: TokenStream) -> TokenStream {
    Box::pin(stream::try_unfold((tokens, 0), |(mut tokens, so_far)| async move {
        if so_far == Content::MAX_CHARS {
            return Ok(None);
        }
        loop {
            let Some(mut token) = tokens.next().await.transpose()? else {
                return if so_far == 0 { Err(AssistantError::Empty) } else { Ok(None) };
            };
            token.retain(|char| char != '\0');
            if let Some((end, _)) = token.char_indices().nth(Content::MAX_CHARS - so_far) {
                token.truncate(end);
            }
            if !token.is_empty() {
                let so_far = so_far + token.chars().count();
                return Ok(Some((token, (tokens, so_far))));
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    fn tokens(tokens: &[&str]) -> TokenStream {
        let tokens: Vec<_> = tokens.iter().map(|token| Ok((*token).to_owned())).collect();
        storable(Box::pin(stream::iter(tokens)))
    }

    #[tokio::test]
    async fn empty_tokens_and_nul_are_left_out() {
        let kept: Vec<_> = tokens(&["", "\0", "a\0b", "", " "]).try_collect().await.unwrap();
        assert_eq!(kept, ["ab", " "]);
    }

    #[tokio::test]
    async fn nothing_at_all_is_an_error() {
        for nothing in [&[][..], &["", "\0\0"]] {
            assert_eq!(tokens(nothing).try_next().await, Err(AssistantError::Empty));
        }
    }

    #[tokio::test]
    async fn an_answer_ends_at_the_most_characters_of_a_message() {
        let long = "ü".repeat(Content::MAX_CHARS - 1);
        let kept: String = tokens(&[&long, "é\u{1f600}", "more"]).try_collect().await.unwrap();
        assert_eq!(kept, format!("{long}é"));
        assert!(Content::new(kept).is_ok());
    }

    #[tokio::test]
    async fn an_answer_that_is_full_asks_for_no_more() {
        let full = stream::iter([Ok("x".repeat(Content::MAX_CHARS))]).chain(stream::pending());
        let kept: Vec<_> = storable(Box::pin(full)).try_collect().await.unwrap();
        assert_eq!(kept.len(), 1);
    }

    #[tokio::test]
    async fn after_an_error_it_ends() {
        let failing = stream::iter([Ok("a".to_owned()), Err(AssistantError::Interrupted), Ok("b".to_owned())]);
        let seen: Vec<_> = storable(Box::pin(failing)).collect().await;
        assert_eq!(seen, [Ok("a".to_owned()), Err(AssistantError::Interrupted)]);
    }
}
