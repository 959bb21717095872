//! Reads the JSON of chat completions and of failures, in the forms that servers send.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::AssistantError;

/// The result of reading one chunk, or one whole completion.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// The text in WTF-8: UTF-8 that may also have halves of surrogate pairs.
    pub(super) text: Vec<u8>,
    /// Whether there was reasoning beside or instead of text.
    pub(super) is_reasoning: bool,
    pub(super) finish: Option<Finish>,
    /// Whether there was a choice at all.
    pub(super) has_choice: bool,
}

/// Why the server says that the answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Complete,
    Length,
    Filtered,
    /// The server gave up, or gave a reason that is not known.
    Failed,
}

/// Why there is no [`Piece`].
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is not JSON of a chat completion.
    Malformed(serde_json::Error),
    /// It reports a failure.
    Failure,
}

/// The members of a `chat.completion.chunk` that are read. Servers differ in the rest, and in what they leave out.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    error: Option<Value>,
    object: Option<Value>,
    message: Option<IgnoredAny>,
    detail: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    /// In place of `delta` where the answer is not streamed.
    #[serde(borrow)]
    message: Option<Delta<'a>>,
    finish_reason: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    reasoning: Option<IgnoredAny>,
    reasoning_content: Option<IgnoredAny>,
    thinking: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

/// Reads the data of one event, or the body of an answer that is not streamed.
pub(super) fn read(json: &str) -> Result<Piece, Unreadable> {
    let chunk: Chunk = serde_json::from_str(json).map_err(Unreadable::Malformed)?;
    let is_error_object = chunk.object.is_some_and(|object| object == "error");
    let is_bare_failure = chunk.choices.is_none() && (chunk.message.is_some() || chunk.detail.is_some());
    if chunk.error.is_some_and(is_failure) || is_error_object || is_bare_failure {
        return Err(Unreadable::Failure);
    }
    let Some(choice) = chunk.choices.into_iter().flatten().next() else { return Ok(Piece::default()) };
    let mut piece = Piece { has_choice: true, ..Piece::default() };
    if let Some(delta) = choice.delta.or(choice.message) {
        piece.is_reasoning = delta.reasoning.is_some() || delta.reasoning_content.is_some() || delta.thinking.is_some();
        for raw in [delta.content, delta.refusal].into_iter().flatten() {
            append(raw, &mut piece).map_err(Unreadable::Malformed)?;
        }
    }
    piece.finish = choice.finish_reason.and_then(|reason| finish(&reason));
    if choice.error.is_some_and(is_failure) {
        piece.finish = Some(Finish::Failed);
    }
    Ok(piece)
}

/// Whether the value of a member `error` means that there was one.
#[expect(clippy::needless_pass_by_value, reason = "is given to `is_some_and`")]
fn is_failure(error: Value) -> bool {
    !matches!(error, Value::Null | Value::Bool(false)) && error != "" && error != serde_json::json!({})
}

/// Appends content to a piece: a string, a part, or an array of these. Parts other than text are reasoning.
fn append(raw: &RawValue, piece: &mut Piece) -> Result<(), serde_json::Error> {
    match raw.get().as_bytes().first() {
        Some(b'[') => {
            for part in serde_json::from_str::<Vec<&RawValue>>(raw.get())? {
                append(part, piece)?;
            }
        }
        Some(b'{') => {
            let part: Part = serde_json::from_str(raw.get())?;
            match part.text {
                Some(text) if part.kind.is_none_or(|kind| matches!(&*kind, "text" | "output_text")) => {
                    append(text, piece)?;
                }
                _ => piece.is_reasoning = true,
            }
        }
        Some(b'n') => {}
        _ => piece.text.append(&mut serde_json::Deserializer::from_str(raw.get()).deserialize_bytes(Wtf8)?),
    }
    Ok(())
}

/// Takes a JSON string whose escapes may be halves of surrogate pairs, which a `String` cannot hold.
struct Wtf8;

impl Visitor<'_> for Wtf8 {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

fn finish(reason: &Value) -> Option<Finish> {
    let Some(reason) = reason.as_str() else {
        return if reason.is_null() { None } else { Some(Finish::Failed) };
    };
    Some(match reason.to_ascii_lowercase().as_str() {
        "" | "null" | "none" => return None,
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "tool_calls" | "function_call" => {
            Finish::Complete
        }
        "length" | "max_tokens" | "model_length" | "max_output_tokens" => Finish::Length,
        "content_filter" | "content_filtered" | "safety" | "recitation" | "refusal" => Finish::Filtered,
        _ => Finish::Failed,
    })
}

/// Phrases, in lower case, by which servers say that a conversation exceeds the model's context.
const OVERFLOWS: &[&str] = &[
    // llama.cpp
    "exceed_context_size",
    "exceeds the available context size",
    "context size has been exceeded",
    // OpenAI, vLLM, and what repeats them
    "context_length_exceeded",
    "maximum context length",
    "maximum model length",
    "reduce the length of the messages",
    "reduce the length of the input",
    // litellm
    "contextwindowexceeded",
    "context window",
    // SGLang, LM Studio, Anthropic, Gemini
    "model's context length",
    "greater than the context length",
    "exceeds the context length",
    "context the overflows",
    "prompt is too long",
    "exceeds the maximum number of tokens",
];

/// Classifies a failure by the HTTP status, where it is one of an error, and by what the server wrote.
pub(super) fn failure(status: Option<u16>, text: &str) -> AssistantError {
    let lower = text.to_lowercase();
    let body: Option<Value> = serde_json::from_str(text).ok();
    let error = body.as_ref().and_then(error_of);
    let member = |name: &str| error.and_then(|error| error.get(name));
    let status = status.or_else(|| {
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let status = ["code", "status", "status_code"].into_iter().find_map(|name| number(member(name)?))?;
        u16::try_from(status).ok().filter(|status| (400..600).contains(status))
    });
    match status {
        Some(401 | 403) => return AssistantError::Unauthorized,
        Some(413) => return AssistantError::ContextTooLong,
        _ if OVERFLOWS.iter().any(|phrase| lower.contains(phrase)) => return AssistantError::ContextTooLong,
        Some(404) => return AssistantError::NotFound,
        Some(429) => return AssistantError::RateLimited,
        Some(status) => return AssistantError::Status(status),
        None => {}
    }
    let words = ["type", "code"].into_iter().filter_map(|name| member(name)?.as_str());
    let words = words.collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    if says(&["authentication", "permission", "api_key"]) {
        AssistantError::Unauthorized
    } else if says(&["not_found", "notfound"]) {
        AssistantError::NotFound
    } else if says(&["rate_limit", "ratelimit", "quota"]) {
        AssistantError::RateLimited
    } else if says(&["invalid_request", "bad_request", "badrequest"]) {
        AssistantError::Status(400)
    } else {
        AssistantError::Failed
    }
}

/// Returns the object that describes a failure: `error` at the top or in a choice, else the whole.
fn error_of(body: &Value) -> Option<&Value> {
    let choice = body.get("choices").and_then(|choices| choices.get(0)?.get("error"));
    [choice, body.get("error")].into_iter().flatten().find(|error| error.is_object()).or(Some(body))
}

/// Joins halves of surrogate pairs that arrive in different pieces.
#[derive(Debug, Default)]
pub(super) struct SurrogateJoiner {
    /// A first half without its second one, in WTF-8.
    high: Option<[u8; 3]>,
}

impl SurrogateJoiner {
    /// Takes the next piece of WTF-8; returns it as text, with U+FFFD for each half that cannot be joined.
    pub(super) fn push(&mut self, wtf8: &[u8]) -> String {
        let mut text = String::with_capacity(wtf8.len() + 3);
        let mut rest = wtf8;
        while !rest.is_empty() {
            // In WTF-8 halves are the only sequences that begin with ED A0 to ED BF.
            let half = rest.windows(3).position(|bytes| bytes[0] == 0xed && bytes[1] >= 0xa0);
            let (plain, after) = rest.split_at(half.unwrap_or(rest.len()));
            if !plain.is_empty() {
                text.push_str(&self.finish());
                text.push_str(&String::from_utf8_lossy(plain));
            }
            rest = after;
            if let Some((half, after)) = rest.split_first_chunk::<3>() {
                rest = after;
                if half[1] < 0xb0 {
                    text.push_str(&self.finish());
                    self.high = Some(*half);
                } else {
                    let joined = self.high.take().and_then(|high| char::from_u32(join(high, *half)));
                    text.push(joined.unwrap_or(char::REPLACEMENT_CHARACTER));
                }
            }
        }
        text
    }

    /// Returns what is left at the end.
    pub(super) fn finish(&mut self) -> String {
        self.high.take().map_or_else(String::new, |_| char::REPLACEMENT_CHARACTER.to_string())
    }
}

/// Returns the code point of a pair.
fn join(high: [u8; 3], low: [u8; 3]) -> u32 {
    // The last ten bits of a half: four in its second byte, six in its third.
    let bits = |half: [u8; 3]| u32::from(half[1] & 0x0f) << 6 | u32::from(half[2] & 0x3f);
    0x1_0000 + (bits(high) << 10 | bits(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joins the texts of chunks whose contents are these JSON strings.
    fn joined(contents: &[&str]) -> String {
        let mut joiner = SurrogateJoiner::default();
        let chunk = |content: &&str| format!(r#"{{"choices":[{{"delta":{{"content":{content}}}}}]}}"#);
        let pieces = contents.iter().map(|content| joiner.push(&read(&chunk(content)).unwrap().text));
        let text: String = pieces.collect();
        text + &joiner.finish()
    }

    #[test]
    fn surrogate_halves_are_joined_over_pieces_and_replaced_where_they_stand_alone() {
        for (contents, expected) in [
            (&[r#""ok \ud83d""#, r#""\ude00 fine""#][..], "ok 😀 fine"),
            (&[r#""\ud83d""#, r#""""#, r#""\ude00""#], "😀"),
            (&[r#""\ud83d\ude00""#, r#""😀""#], "😀😀"),
            (&[r#""\ud800""#, r#""\udc00""#], "\u{10000}"),
            (&[r#""\udbff""#, r#""\udfff""#], "\u{10ffff}"),
            (&[r#""\ud83d""#, r#""a""#], "\u{fffd}a"),
            (&[r#""\ude00a""#], "\u{fffd}a"),
            (&[r#""\ud83d\ud83d""#, r#""\ude00""#], "\u{fffd}😀"),
            (&[r#""a\ud83d""#], "a\u{fffd}"),
            (&[r#""퟿ÿ""#, r#""\ud7ff\ue000""#], "퟿ÿ\u{d7ff}\u{e000}"),
        ] {
            assert_eq!(joined(contents), expected, "{contents:?}");
        }
    }

    /// Splits every pair of a sample of the supplementary planes.
    #[test]
    fn every_pair_that_is_split_is_joined() {
        for code in (0x1_0000..=0x10_ffff_u32).step_by(97) {
            let mut units = [0; 2];
            let char = char::from_u32(code).unwrap();
            char.encode_utf16(&mut units);
            let halves = units.map(|unit| format!("\"\\u{unit:04x}\""));
            assert_eq!(joined(&[&halves[0], &halves[1]]), char.to_string());
        }
    }

    #[test]
    fn content_is_a_string_a_part_or_an_array_of_parts() {
        for (content, text, is_reasoning) in [
            (r#""Hi""#, "Hi", false),
            ("null", "", false),
            (r#"[{"type":"text","text":"H"},{"type":"text","text":"i"}]"#, "Hi", false),
            (r#"[{"text":"H"},"i"]"#, "Hi", false),
            (r#"{"type":"output_text","text":"Hi"}"#, "Hi", false),
            (r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]"#, "", true),
            (r#"[{"type":"reasoning","text":"hm"},{"type":"text","text":"Hi"}]"#, "Hi", true),
            ("[]", "", false),
        ] {
            let piece = read(&format!(r#"{{"choices":[{{"delta":{{"content":{content}}}}}]}}"#)).unwrap();
            assert_eq!((piece.text.as_slice(), piece.is_reasoning), (text.as_bytes(), is_reasoning), "{content}");
        }
        assert!(matches!(read(r#"{"choices":[{"delta":{"content":7}}]}"#), Err(Unreadable::Malformed(_))));
    }

    #[test]
    fn a_failure_is_told_from_a_chunk_in_every_form() {
        for failing in [
            r#"{"error":{"message":"x"}}"#,
            r#"{"error":"x"}"#,
            r#"{"object":"error","message":"x","code":400}"#,
            r#"{"detail":"Internal"}"#,
            r#"{"error":{"message":"x"},"choices":[{"delta":{"content":"a"}}]}"#,
        ] {
            assert!(matches!(read(failing), Err(Unreadable::Failure)), "{failing}");
        }
        for fine in [r#"{"choices":[],"error":null}"#, r#"{"choices":null}"#, r#"{"error":{}}"#, "{}"] {
            assert!(!read(fine).unwrap().has_choice, "{fine}");
        }
    }

    #[test]
    fn failures_are_classified_by_status_code_and_words() {
        use AssistantError as E;
        let nested = r#"{"error":{"code":400,"type":"exceed_context_size_error","message":"x","n_ctx":64}}"#;
        let vllm = r#"{"object":"error","message":"This model's maximum context length is 64 tokens.","code":400}"#;
        let openai = r#"{"error":{"message":"x","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
        let litellm = r#"{"error":{"message":"litellm.ContextWindowExceededError: x","code":"400"}}"#;
        for (status, text, expected) in [
            (Some(400), nested, E::ContextTooLong),
            (None, nested, E::ContextTooLong),
            (Some(500), vllm, E::ContextTooLong),
            (None, vllm, E::ContextTooLong),
            (Some(400), openai, E::ContextTooLong),
            (Some(400), litellm, E::ContextTooLong),
            (Some(413), "<html>", E::ContextTooLong),
            (Some(403), openai, E::Unauthorized),
            (Some(500), "", E::Status(500)),
            (Some(429), "{}", E::RateLimited),
            (None, r#"{"error":{"code":"503","message":"x"}}"#, E::Status(503)),
            (None, r#"{"code":404,"message":"x"}"#, E::NotFound),
            (None, r#"{"error":{"type":"authentication_error"}}"#, E::Unauthorized),
            (None, r#"{"error":{"code":"rate_limit_exceeded"}}"#, E::RateLimited),
            (None, r#"{"error":{"type":"invalid_request_error"}}"#, E::Status(400)),
            (None, r#"{"choices":[{"error":{"code":401}}]}"#, E::Unauthorized),
            (None, r#"{"error":"x"}"#, E::Failed),
            (None, "out of memory", E::Failed),
        ] {
            assert_eq!(failure(status, text), expected, "{status:?} {text}");
        }
    }
}
