//! Shapes a conversation for a model: begins with the user, alternates, and fits a budget.

use super::PromptMessage;
use crate::domain::Role;

/// Separates messages that are merged into one turn.
const SEPARATOR: &str = "\n\n";
/// The estimated cost of a message's role and delimiters, in tokens.
const TOKENS_PER_TURN: usize = 4;
/// The number of ASCII characters that are estimated as one token. Every other character is estimated as one token.
const ASCII_PER_TOKEN: usize = 4;

/// Returns `turns` without the answers before the first question, and with neighbours of one role merged by a blank line.
///
/// The chat templates of many models refuse any other order.
pub(super) fn alternate(turns: Vec<PromptMessage>) -> Vec<PromptMessage> {
    let mut result: Vec<PromptMessage> = Vec::with_capacity(turns.len());
    for turn in turns.into_iter().skip_while(|turn| turn.role == Role::Assistant) {
        match result.last_mut() {
            Some(last) if last.role == turn.role => {
                last.content.push_str(SEPARATOR);
                last.content.push_str(&turn.content);
            }
            _ => result.push(turn),
        }
    }
    result
}

/// Returns the newest of `turns` that together with `system` cost at most `budget` tokens by [`estimate`], beginning with
/// a question. The last question is kept even if it alone costs more.
pub(super) fn fit(mut turns: Vec<PromptMessage>, system: Option<&str>, budget: Option<u32>) -> Vec<PromptMessage> {
    let Some(budget) = budget else { return turns };
    let mut left = usize::try_from(budget).unwrap_or(usize::MAX).saturating_sub(system.map_or(0, estimate));
    let mut first = turns.len();
    while first > 0 {
        let cost = estimate(&turns[first - 1].content);
        if cost > left {
            break;
        }
        left -= cost;
        first -= 1;
    }
    keep_from(&mut turns, first);
    turns
}

/// Drops the older half of `turns`, and answers that would then come first; returns whether there was anything to drop.
pub(super) fn halve(turns: &mut Vec<PromptMessage>) -> bool {
    let before = turns.len();
    keep_from(turns, before - before.div_ceil(2));
    turns.len() < before
}

/// Drops what is before the first question at or after `first`; keeps the last question in any case.
fn keep_from(turns: &mut Vec<PromptMessage>, first: usize) {
    let question = (first..turns.len()).find(|index| turns[*index].role == Role::User);
    let last = turns.iter().rposition(|turn| turn.role == Role::User).unwrap_or(turns.len());
    turns.drain(..question.unwrap_or(last));
}

/// Estimates the tokens of a message: a quarter for each ASCII character, one for each other character, and 4 for the
/// message itself. It is high for most languages, so a budget of the model's context size is rarely exceeded.
fn estimate(text: &str) -> usize {
    let characters = text.chars().count();
    let ascii = text.bytes().filter(u8::is_ascii).count();
    ascii.div_ceil(ASCII_PER_TOKEN) + (characters - ascii) + TOKENS_PER_TURN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the turns that the bits of `pattern` describe, lowest first, ending with a question.
    fn turns(pattern: u32, count: u32) -> Vec<PromptMessage> {
        let turn = |bit: u32| {
            let is_answer = bit + 1 < count && pattern >> bit & 1 == 1;
            let role = if is_answer { Role::Assistant } else { Role::User };
            PromptMessage { role, content: format!("m{bit}{}", "x".repeat(bit as usize)) }
        };
        (0..count).map(turn).collect()
    }

    /// Checks the order that models require, and that the last message is still the end.
    fn is_in_order(prompt: &[PromptMessage], last: &str) {
        assert!(!prompt.is_empty());
        for (index, turn) in prompt.iter().enumerate() {
            let expected = if index % 2 == 0 { Role::User } else { Role::Assistant };
            assert_eq!(turn.role, expected, "turn {index} of {}", prompt.len());
        }
        assert_eq!(prompt.len() % 2, 1, "it ends with a question");
        assert!(prompt.last().unwrap().content.ends_with(last));
    }

    /// Tries every order of up to 10 messages.
    #[test]
    fn any_history_becomes_one_that_begins_with_a_question_and_alternates() {
        for count in 1..=10 {
            for pattern in 0..1 << (count - 1) {
                let given = turns(pattern, count);
                let last = given.last().unwrap().content.clone();
                let kept = given.iter().skip_while(|turn| turn.role == Role::Assistant);
                let kept: Vec<_> = kept.map(|turn| turn.content.clone()).collect();
                let mut prompt = alternate(given);
                is_in_order(&prompt, &last);
                let merged: Vec<_> = prompt.iter().map(|turn| turn.content.clone()).collect();
                assert_eq!(merged.join(SEPARATOR), kept.join(SEPARATOR), "nothing is lost");
                for budget in [0, 5, 10, 20, 40, 1_000] {
                    let fitted = fit(prompt.clone(), None, Some(budget));
                    is_in_order(&fitted, &last);
                    let cost: usize = fitted.iter().map(|turn| estimate(&turn.content)).sum();
                    assert!(fitted.len() == 1 || cost <= budget as usize, "{cost} tokens in {budget}");
                }
                assert_eq!(fit(prompt.clone(), Some("system"), None).len(), prompt.len());
                let mut halvings = 0;
                while halve(&mut prompt) {
                    is_in_order(&prompt, &last);
                    halvings += 1;
                }
                assert!(prompt.len() == 1 && halvings <= 4, "{halvings} halvings");
            }
        }
    }

    #[test]
    fn the_system_prompt_counts_towards_the_budget() {
        let given = turns(0b010, 3);
        let cost: usize = given.iter().map(|turn| estimate(&turn.content)).sum();
        let budget = u32::try_from(cost).unwrap();
        assert_eq!(fit(given.clone(), None, Some(budget)).len(), 3);
        assert_eq!(fit(given, Some("x"), Some(budget)).len(), 1);
    }

    #[test]
    fn an_estimate_counts_ascii_by_quarters_and_the_rest_by_characters() {
        for (text, tokens) in [("", 4), ("a", 5), ("abcd", 5), ("abcde", 6), ("日本語", 7), ("añ", 6)] {
            assert_eq!(estimate(text), tokens, "{text}");
        }
    }
}
