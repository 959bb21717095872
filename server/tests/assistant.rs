//! Answers, from the echo and from a model's server that plays a script.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _};
use parlor_server::{
    assistant::{
        Assistant, AssistantError, AssistantLimits, BearerToken, Conversation, OpenAi, PromptMessage, ProviderConfig,
        TokenStream,
    },
    chat::{Content, Role},
};
use serde_json::json;
use tokio::{net::TcpListener, time::pause};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::upstream::{Step, Upstream, end, piece, piece_bytes, response, stream};

/// What the tests' scripts end an answer with.
const DONE: &str = "data: [DONE]\n\n";

/// A conversation of one message.
fn asking(content: &str) -> Conversation {
    Conversation { turns: vec![turn(Role::User, content)] }
}

pub(crate) fn turn(role: Role, content: &str) -> PromptMessage {
    PromptMessage { role, content: content.to_owned() }
}

pub(crate) fn settings(base_url: &str) -> OpenAi {
    OpenAi { base_url: base_url.parse().unwrap(), api_key: None, model: "tiny".to_owned(), system_prompt: None }
}

pub(crate) fn assistant(openai: OpenAi) -> Assistant {
    Assistant::new(ProviderConfig::OpenAi(openai), AssistantLimits::default()).unwrap()
}

fn ask(upstream: &Upstream) -> TokenStream {
    assistant(settings(&format!("http://{}/v1", upstream.address))).answer(asking("Hello")).unwrap()
}

/// The tokens of a script, or why there are none.
async fn answer(script: Vec<Step>) -> Result<Vec<String>, AssistantError> {
    let upstream = Upstream::start(script).await;
    let answer = ask(&upstream).try_collect().await;
    upstream.finished().await;
    answer
}

/// What a script is told as: its tokens and, unless it is complete, why not.
pub(crate) async fn all(script: Vec<Step>) -> Vec<Result<String, AssistantError>> {
    let upstream = Upstream::start(script).await;
    let all = ask(&upstream).collect().await;
    upstream.finished().await;
    all
}

/// An event that says `text`.
fn says(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] }))
}

fn finishes(reason: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }))
}

#[test]
fn nobody_answers_unless_somebody_is_configured() {
    let assistant = Assistant::new(ProviderConfig::default(), AssistantLimits::default()).unwrap();
    assert!(assistant.answer(asking("Hello")).is_none());
    assert_eq!(assistant.history(), 20);
}

#[tokio::test]
async fn the_echo_says_the_last_message_word_by_word() {
    let assistant = Assistant::new(
        ProviderConfig::Echo { pause: Duration::ZERO },
        AssistantLimits { history: 3, ..Default::default() },
    )
    .unwrap();
    assert_eq!(assistant.history(), 3);
    let turns = vec![turn(Role::User, "no"), turn(Role::Assistant, "no"), turn(Role::User, " Hello,  dear\nworld ")];
    let tokens: Vec<_> = assistant.answer(Conversation { turns }).unwrap().try_collect().await.unwrap();
    assert_eq!(tokens, [" Hello,  ", "dear\n", "world "]);
}

#[tokio::test(start_paused = true)]
async fn the_echo_pauses_between_words() {
    let assistant =
        Assistant::new(ProviderConfig::Echo { pause: ProviderConfig::ECHO_PAUSE }, AssistantLimits::default()).unwrap();
    let start = tokio::time::Instant::now();
    let mut answer = assistant.answer(asking("a b c")).unwrap();
    for spent in [Duration::ZERO, ProviderConfig::ECHO_PAUSE, 2 * ProviderConfig::ECHO_PAUSE] {
        answer.try_next().await.unwrap().unwrap();
        assert_eq!(start.elapsed(), spent);
    }
}

#[tokio::test]
async fn a_model_is_asked_as_the_interface_wants_and_its_tokens_come_one_by_one() {
    let script = vec![
        stream(),
        piece("data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"),
        piece(says("Hel")),
        piece(says("lo.")),
        piece(finishes("stop")),
        piece("data: {\"choices\":[],\"usage\":{\"total_tokens\":7}}\n\n"),
        piece(DONE),
        end(),
        Step::Hold,
    ];
    let mut upstream = Upstream::start(script).await;
    let openai = OpenAi {
        api_key: Some(BearerToken::new("sk-hunter2".to_owned()).unwrap()),
        system_prompt: Some("Be brief.".to_owned()),
        ..settings(&format!("http://{}/v1/", upstream.address))
    };
    let assistant = assistant(openai);
    assert!(!format!("{assistant:?}").contains("hunter2"), "{assistant:?}");
    let turns = vec![turn(Role::User, "Hi"), turn(Role::Assistant, "Hi!"), turn(Role::User, "Who are you?")];
    let tokens: Vec<_> = assistant.answer(Conversation { turns }).unwrap().try_collect().await.unwrap();
    assert_eq!(tokens, ["Hel", "lo."]);

    let request = upstream.request().await;
    let head = request.head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: bearer sk-hunter2\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    assert_eq!(
        request.body,
        json!({ "model": "tiny", "stream": true, "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "Hi" },
            { "role": "assistant", "content": "Hi!" },
            { "role": "user", "content": "Who are you?" },
        ]})
    );
}

#[tokio::test]
async fn a_local_server_gets_neither_key_nor_system_prompt() {
    let mut upstream = Upstream::start(vec![stream(), piece(says("Hello")), piece(DONE), end()]).await;
    let tokens: Vec<_> = ask(&upstream).try_collect().await.unwrap();
    assert_eq!(tokens, ["Hello"]);
    let request = upstream.request().await;
    assert!(!request.head.to_ascii_lowercase().contains("authorization"), "{}", request.head);
    assert_eq!(request.body["messages"], json!([{ "role": "user", "content": "Hello" }]));
}

#[tokio::test]
async fn an_answer_may_come_in_any_pieces() {
    let text = [
        "\u{feff}: keep-alive\r\n\r\n",
        "event: message\r\nid: 1\r\ndata: {\"choices\":\r\ndata: [{\"delta\":{\"content\":\"grü\"}}]}\r\n\r\n",
        ":\n\ndata:{\"choices\":[{\"delta\":{\"content\":\"ß 😀\",\"tool_calls\":null}}],\"error\":null}\n\n",
        "data: {\"choices\":null}\n\ndata: {\"choices\":[{\"delta\":null,\"finish_reason\":\"stop\"}]}\n\n",
    ]
    .concat();
    let bytes = text.as_bytes();
    for size in [1, 2, 3, 7, bytes.len()] {
        let pieces = bytes.chunks(size).map(piece);
        let script = std::iter::once(stream()).chain(pieces).chain([end()]).collect();
        assert_eq!(answer(script).await.unwrap(), ["grü", "ß 😀"], "in pieces of {size} bytes");
    }
}

#[tokio::test]
async fn an_answer_is_complete_with_a_reason_or_with_the_last_event() {
    for last in [finishes("stop"), finishes("eos"), finishes("tool_calls"), DONE.to_owned()] {
        assert_eq!(answer(vec![stream(), piece(says("a")), piece(&last), end()]).await.unwrap(), ["a"], "{last}");
    }
    let both = "data: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(answer(vec![stream(), piece(says("a")), piece(both), end()]).await.unwrap(), ["a", "b"]);
}

#[tokio::test]
async fn an_answer_that_ends_for_another_reason_is_not_complete() {
    for (reason, error) in [
        ("length", AssistantError::LengthLimit),
        ("max_tokens", AssistantError::LengthLimit),
        ("content_filter", AssistantError::Filtered),
        ("abort", AssistantError::Failed),
        ("error", AssistantError::Failed),
        ("a_reason_of_its_own", AssistantError::Failed),
    ] {
        let script = vec![stream(), piece(says("a")), piece(finishes(reason)), piece(DONE), end()];
        assert_eq!(all(script).await, [Ok("a".to_owned()), Err(error)], "{reason}");
    }
}

#[tokio::test]
async fn a_complete_answer_does_not_wait_for_a_server_that_does_not_end_it() {
    let whole = says("a") + &finishes("stop");
    let mut answer = ask(&Upstream::start(vec![stream(), piece(whole), Step::Hold]).await);
    assert_eq!(answer.try_next().await.unwrap().unwrap(), "a");
    pause();
    assert_eq!(answer.try_next().await, Ok(None));
}

#[tokio::test]
async fn an_answer_without_text_is_an_error() {
    for script in [vec![stream(), piece(DONE), end()], vec![stream(), piece(finishes("length")), end()]] {
        assert_eq!(answer(script).await, Err(AssistantError::Empty));
    }
    let filtered = vec![stream(), piece(finishes("content_filter")), end()];
    assert_eq!(answer(filtered).await, Err(AssistantError::Filtered));
}

#[tokio::test]
async fn an_answer_ends_where_a_message_does() {
    let word = "x".repeat(1_000);
    let words = (0..40).map(|_| piece(says(&word)));
    let script = std::iter::once(stream()).chain(words).chain([Step::Hold]).collect();
    let mut seen = all(script).await;
    assert_eq!(seen.pop(), Some(Err(AssistantError::LengthLimit)));
    let text: String = seen.into_iter().map(Result::unwrap).collect();
    assert_eq!(text.chars().count(), Content::MAX_CHARS);
    assert!(Content::new(text).is_ok());
}

#[tokio::test]
async fn a_refusal_is_known_by_its_status() {
    for (status, error, is_retryable) in [
        ("401 Unauthorized", AssistantError::Unauthorized, false),
        ("403 Forbidden", AssistantError::Unauthorized, false),
        ("404 Not Found", AssistantError::NotFound, false),
        ("429 Too Many Requests", AssistantError::RateLimited, true),
        ("400 Bad Request", AssistantError::Status(400), false),
        ("413 Content Too Large", AssistantError::ContextTooLong, false),
        ("307 Temporary Redirect", AssistantError::Status(307), false),
        ("500 Internal Server Error", AssistantError::Status(500), true),
        ("503 Service Unavailable", AssistantError::Status(503), true),
    ] {
        let refusal = response(status, "Location: http://127.0.0.1:1/\r\n", "no");
        assert_eq!(answer(vec![refusal]).await.unwrap_err(), error);
        assert_eq!(error.is_retryable(), is_retryable, "{error}");
    }
}

#[tokio::test]
async fn a_refusal_without_the_end_of_its_body_is_known_too() {
    let head = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 100\r\n\r\nhalf";
    assert_eq!(answer(vec![Step::Write(head.to_vec())]).await, Err(AssistantError::Status(500)));
}

#[tokio::test]
async fn what_is_no_stream_of_completions_is_malformed() {
    for garbage in ["data: <html>\n\n", "data: {\n\n", "data: []\n\n", "data: {\"choices\":\"no\"}\n\n"] {
        let script = vec![stream(), piece(says("a")), piece(garbage), Step::Hold];
        assert_eq!(answer(script).await, Err(AssistantError::Malformed), "{garbage}");
    }
    let not_text = vec![stream(), piece(b"data: \xff\xfe\n\n"), Step::Hold];
    assert_eq!(answer(not_text).await, Err(AssistantError::Malformed));
    let page = response("200 OK", "Content-Type: text/html\r\n", "<html>");
    assert_eq!(answer(vec![page]).await, Err(AssistantError::Malformed));
    assert_eq!(answer(vec![Step::Write(b"SSH-2.0-OpenSSH\r\n".to_vec())]).await, Err(AssistantError::Interrupted));
}

#[tokio::test]
async fn what_has_no_end_is_malformed() {
    let half = "x".repeat(200_000);
    for endless in [format!("data: {half}{half}"), format!("data: {half}\ndata: {half}\n")] {
        assert_eq!(answer(vec![stream(), piece(endless), Step::Hold]).await, Err(AssistantError::Malformed));
    }
}

#[tokio::test]
async fn a_failure_told_in_the_stream_is_one() {
    let failure = "data: {\"error\":{\"message\":\"out of memory\"}}\n\n";
    let upstream = Upstream::start(vec![stream(), piece(says("a")), piece(failure), Step::Hold]).await;
    let seen: Vec<_> = ask(&upstream).collect().await;
    assert_eq!(seen, [Ok("a".to_owned()), Err(AssistantError::Failed)]);
}

#[tokio::test]
async fn a_connection_that_ends_too_early_is_an_interruption() {
    for script in [
        vec![],
        vec![stream()],
        vec![stream(), piece(says("a"))],
        vec![stream(), piece(says("a")), piece("data: {\"choi")],
        // An orderly end, but not of the answer.
        vec![stream(), piece(says("a")), end()],
        // The last event lacks its empty line.
        vec![stream(), piece(says("a")), piece(DONE.trim_end()), end()],
    ] {
        assert_eq!(answer(script).await, Err(AssistantError::Interrupted));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for base_url in [format!("http://{address}/v1"), format!("https://{address}/v1")] {
        let mut answer = assistant(settings(&base_url)).answer(asking("Hello")).unwrap();
        assert_eq!(answer.try_next().await, Err(AssistantError::Unreachable));
    }
}

/// The clock is stopped only once all that will come has been sent: a stopped clock jumps while a socket is waited for.
#[tokio::test]
async fn a_first_token_is_waited_for_only_so_long() {
    let limits = AssistantLimits::default();
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
    for script in [vec![Step::Hold], vec![stream(), piece(": wait\n\n"), piece(role), Step::Hold]] {
        let mut upstream = Upstream::start(script).await;
        let mut answer = ask(&upstream);
        let waiting = tokio::spawn(async move { answer.try_next().await });
        upstream.request().await;
        pause();
        assert_eq!(waiting.await.unwrap(), Err(AssistantError::Stalled(limits.first_token)));
        tokio::time::resume();
    }
}

#[tokio::test]
async fn keep_alive_comments_and_events_without_text_extend_the_time_to_the_first_token() {
    let limits = AssistantLimits { first_token: Duration::from_millis(400), ..Default::default() };
    for alive in [": processing\n\n", "data: {\"choices\":[]}\n\n"] {
        let upstream = Upstream::start(vec![
            stream(),
            Step::Repeat(piece_bytes(alive), 15, Duration::from_millis(100)),
            piece(says("a")),
            piece(DONE),
            end(),
        ])
        .await;
        let provider = ProviderConfig::OpenAi(settings(&format!("http://{}", upstream.address)));
        let answer = Assistant::new(provider, limits).unwrap().answer(asking("Hello")).unwrap();
        assert_eq!(answer.try_collect::<Vec<_>>().await.unwrap(), ["a"], "{alive}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced_once() {
    let whole = || vec![stream(), piece(says("a")), piece(finishes("stop")), piece(DONE), end()];
    // The first connection answers one request, and is closed when the second one comes over it.
    let first = whole().into_iter().chain([Step::NextRequest]).collect();
    let upstreams = Upstream::start_many(vec![first, whole()]).await;
    let assistant = assistant(settings(&format!("http://{}", upstreams.address)));
    for _ in 0..2 {
        let answer: Vec<_> = assistant.answer(asking("Hello")).unwrap().try_collect().await.unwrap();
        assert_eq!(answer, ["a"]);
    }
    assert_eq!(upstreams.received().len(), 3);
}

#[tokio::test]
async fn each_further_token_is_waited_for_only_so_long() {
    let upstream = Upstream::start(vec![stream(), piece(says("a")), piece(": wait\n\n"), Step::Hold]).await;
    let mut answer = ask(&upstream);
    assert_eq!(answer.try_next().await.unwrap().unwrap(), "a");
    pause();
    let limit = AssistantLimits::default().between_tokens;
    assert_eq!(answer.try_next().await, Err(AssistantError::Stalled(limit)));
    assert_eq!(answer.try_next().await, Ok(None), "after an error it has ended");
    upstream.finished().await;
}

#[tokio::test]
async fn reasoning_is_not_shown_and_is_a_sign_of_life() {
    for name in ["reasoning", "reasoning_content", "thinking"] {
        let thinks = format!("data: {}\n\n", json!({ "choices": [{ "delta": { name: "hm", "content": null } }] }));
        let script = vec![stream(), piece(&thinks), piece(thinks), piece(says("a")), piece(DONE), end()];
        assert_eq!(answer(script).await.unwrap(), ["a"]);
    }
}

#[tokio::test]
async fn after_reasoning_the_limit_is_that_of_further_tokens() {
    let limits = AssistantLimits { between_tokens: Duration::from_millis(1), ..Default::default() };
    let thinks = "data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}\n\n";
    let upstream = Upstream::start(vec![stream(), piece(thinks), Step::Hold]).await;
    let provider = ProviderConfig::OpenAi(settings(&format!("http://{}", upstream.address)));
    let mut answer = Assistant::new(provider, limits).unwrap().answer(asking("Hello")).unwrap();
    assert_eq!(answer.try_next().await, Err(AssistantError::Stalled(limits.between_tokens)));
}

#[tokio::test]
async fn a_whole_answer_is_waited_for_only_so_long() {
    let limits = AssistantLimits { answer: Duration::from_secs(10), ..Default::default() };
    let upstream = Upstream::start(vec![stream(), piece(says("a")), Step::Hold]).await;
    let provider = ProviderConfig::OpenAi(settings(&format!("http://{}", upstream.address)));
    let mut answer = Assistant::new(provider, limits).unwrap().answer(asking("Hello")).unwrap();
    assert_eq!(answer.try_next().await.unwrap().unwrap(), "a");
    pause();
    assert_eq!(answer.try_next().await, Err(AssistantError::TooSlow(limits.answer)));
}

#[tokio::test]
async fn dropping_an_answer_closes_the_connection_behind_it() {
    // Before the answer's head, and in the middle of the answer.
    let mut upstream = Upstream::start(vec![Step::Hold]).await;
    let mut answer = ask(&upstream);
    let waiting = tokio::spawn(async move { answer.try_next().await });
    upstream.request().await;
    waiting.abort();
    upstream.finished().await;

    let upstream = Upstream::start(vec![stream(), piece(says("a")), Step::Hold]).await;
    let mut answer = ask(&upstream);
    assert_eq!(answer.try_next().await.unwrap().unwrap(), "a");
    drop(answer);
    upstream.finished().await;
}

#[derive(Clone, Default)]
pub(crate) struct Log(pub(crate) Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_log_has_a_bounded_excerpt_of_a_refusal_without_the_key_and_the_error_has_nothing() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let body = format!("no such key:\nsk-hunter2 {}", "long ".repeat(10_000));
    let upstream = Upstream::start(vec![response("401 Unauthorized", "", &body)]).await;
    let openai = OpenAi {
        api_key: Some(BearerToken::new("sk-hunter2".to_owned()).unwrap()),
        ..settings(&format!("http://{}", upstream.address))
    };
    let error = assistant(openai).answer(asking("Hello")).unwrap().try_next().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("no such key"), "{error:?}");
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("status=401") && text.contains(r"no such key:\n*** long"), "{text}");
    assert!(!text.contains("hunter2") && text.len() < 1_000, "{text}");
}
