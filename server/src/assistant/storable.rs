use futures_util::stream::{self, StreamExt as _};

use super::{AssistantError, TokenStream};
use crate::domain::Content;

/// Keeps an answer within the rules of [`Content`]: removes NUL, cuts the answer at the maximum length of a message, which
/// ends it with [`AssistantError::LengthLimit`], and reports an error instead of an empty answer.
pub(super) fn storable(tokens: TokenStream) -> TokenStream {
    Box::pin(stream::try_unfold((tokens, 0, false), |(mut tokens, so_far, is_cut)| async move {
        if is_cut {
            return Err(AssistantError::LengthLimit);
        }
        loop {
            let mut token = match tokens.next().await {
                Some(Ok(token)) => token,
                // The limit was reached before the first character that can be shown.
                None | Some(Err(AssistantError::LengthLimit)) if so_far == 0 => return Err(AssistantError::Empty),
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
            };
            token.retain(|char| char != '\0');
            let end = token.char_indices().nth(Content::MAX_CHARS - so_far).map(|(end, _)| end);
            if let Some(end) = end {
                token.truncate(end);
            }
            if !token.is_empty() {
                let so_far = so_far + token.chars().count();
                return Ok(Some((token, (tokens, so_far, end.is_some()))));
            }
            if end.is_some() {
                return Err(AssistantError::LengthLimit);
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
    async fn an_answer_is_cut_at_the_most_characters_of_a_message_and_says_so() {
        let long = "ü".repeat(Content::MAX_CHARS - 1);
        let seen: Vec<_> = tokens(&[&long, "é\u{1f600}", "more"]).collect().await;
        assert_eq!(seen, [Ok(long.clone()), Ok("é".to_owned()), Err(AssistantError::LengthLimit)]);
        assert!(Content::new(long.clone() + "é").is_ok());
        let seen: Vec<_> = tokens(&[&long, "é", "", "more"]).collect().await;
        assert_eq!(seen.last(), Some(&Err(AssistantError::LengthLimit)));
    }

    #[tokio::test]
    async fn an_answer_of_just_that_length_is_complete() {
        let full = "x".repeat(Content::MAX_CHARS);
        let kept: Vec<_> = tokens(&[&full, "\0"]).try_collect().await.unwrap();
        assert_eq!(kept, [full]);
    }

    #[tokio::test]
    async fn a_cut_answer_asks_for_no_more() {
        let long = stream::iter([Ok("x".repeat(Content::MAX_CHARS + 1))]).chain(stream::pending());
        let seen: Vec<_> = storable(Box::pin(long)).collect().await;
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1], Err(AssistantError::LengthLimit));
    }

    #[tokio::test]
    async fn a_limit_that_is_reached_before_any_text_is_an_empty_answer() {
        let cut = storable(Box::pin(stream::iter([Err(AssistantError::LengthLimit)])));
        assert_eq!(cut.collect::<Vec<_>>().await, [Err(AssistantError::Empty)]);
    }

    #[tokio::test]
    async fn after_an_error_it_ends() {
        let failing = stream::iter([Ok("a".to_owned()), Err(AssistantError::Interrupted), Ok("b".to_owned())]);
        let seen: Vec<_> = storable(Box::pin(failing)).collect().await;
        assert_eq!(seen, [Ok("a".to_owned()), Err(AssistantError::Interrupted)]);
    }
}
