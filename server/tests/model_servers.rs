//! What model servers send beside the documented stream: failures, reasoning, other forms of text, too long conversations.

use futures_util::TryStreamExt as _;
use parlor_server::{
    assistant::{Assistant, AssistantError, AssistantLimits, Conversation, OpenAi, ProviderConfig},
    chat::Role,
};
use serde_json::{Value, json};

use crate::{
    assistant::{Log, all, assistant, settings, turn},
    support::upstream::{Step, Upstream, end, piece, response, stream},
};

/// What the tests' scripts end an answer with.
const DONE: &str = "data: [DONE]\n\n";

/// An event that says `text`.
fn says(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
}

/// What servers say of a conversation that their model cannot take.
fn overflows() -> Vec<(&'static str, Step)> {
    let llama = r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":99,"n_ctx":64}}"#;
    let vllm = r#"{"object":"error","message":"This model's maximum context length is 64 tokens. However, you requested 99 tokens","type":"BadRequestError","param":null,"code":400}"#;
    let openai = r#"{"error":{"message":"Please shorten.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
    let litellm =
        r#"{"error":{"message":"litellm.ContextWindowExceededError: too much","type":null,"param":null,"code":"400"}}"#;
    let json = "Content-Type: application/json\r\n";
    let whole = |text: &str| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n".to_vec();
        bytes.extend_from_slice(text.as_bytes());
        Step::Write(bytes)
    };
    vec![
        ("llama.cpp", response("400 Bad Request", json, llama)),
        ("llama.cpp before 2025", response("500 Internal Server Error", json, llama)),
        ("vLLM", response("400 Bad Request", json, vllm)),
        ("OpenAI", response("400 Bad Request", json, openai)),
        ("litellm", response("400 Bad Request", json, litellm)),
        ("a proxy", response("413 Content Too Large", "", "")),
        ("JSON with 200", response("200 OK", json, vllm)),
        ("in the stream", whole(&format!("data: {openai}\n\n"))),
        ("a field", whole(&format!("error: {llama}\n\n"))),
        ("an event", whole(&format!("event: error\ndata: {vllm}\n\n"))),
    ]
}

#[tokio::test]
async fn a_conversation_that_is_too_long_is_shortened_until_the_model_takes_it() {
    for index in 0..overflows().len() {
        let refuse = || {
            let (name, step) = overflows().swap_remove(index);
            (name, vec![step])
        };
        let answer = vec![stream(), piece(says("a")), piece(DONE), end()];
        let upstreams = Upstream::start_many(vec![refuse().1, refuse().1, answer]).await;
        let turns =
            (0..9).map(|n| turn(if n % 2 == 0 { Role::User } else { Role::Assistant }, &n.to_string())).collect();
        let stream =
            assistant(settings(&format!("http://{}", upstreams.address))).answer(Conversation { turns }).unwrap();
        let name = refuse().0;
        assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap(), ["a"], "{name}");
        let sent: Vec<Vec<String>> = upstreams.received().iter().map(contents).collect();
        assert_eq!(sent[0].len(), 9, "{name}");
        assert_eq!(sent[1], ["4", "5", "6", "7", "8"], "{name}");
        assert_eq!(sent[2], ["6", "7", "8"], "{name}");
    }
}

#[tokio::test]
async fn a_single_question_that_is_too_long_is_a_failure_that_asking_again_does_not_change() {
    let refusals = (0..3).map(|_| vec![overflows().swap_remove(0).1]).collect();
    let upstreams = Upstream::start_many(refusals).await;
    let turns = vec![turn(Role::User, "1"), turn(Role::Assistant, "2"), turn(Role::User, "3")];
    let assistant = assistant(settings(&format!("http://{}", upstreams.address)));
    let error = assistant.answer(Conversation { turns }).unwrap().try_next().await.unwrap_err();
    assert_eq!((&error, error.is_retryable()), (&AssistantError::ContextTooLong, false));
    let sent: Vec<Vec<String>> = upstreams.received().iter().map(contents).collect();
    assert_eq!(sent, [vec!["1", "2", "3"], vec!["3"]]);
}

#[tokio::test]
async fn the_conversation_is_sent_in_order_and_within_the_budget() {
    let limits = AssistantLimits { context_tokens: Some(30), ..Default::default() };
    let upstreams = Upstream::start_many(vec![vec![stream(), piece(says("a")), piece(DONE), end()]]).await;
    let openai =
        OpenAi { system_prompt: Some("Be brief.".to_owned()), ..settings(&format!("http://{}", upstreams.address)) };
    let turns = vec![
        turn(Role::Assistant, "welcome"),
        turn(Role::User, &"long ".repeat(20)),
        turn(Role::Assistant, "yes"),
        turn(Role::User, "failed"),
        turn(Role::User, "日本"),
        turn(Role::Assistant, "ok"),
        turn(Role::User, "now?"),
    ];
    let assistant = Assistant::new(ProviderConfig::OpenAi(openai), limits).unwrap();
    let answer: Vec<_> = assistant.answer(Conversation { turns }).unwrap().try_collect().await.unwrap();
    assert_eq!(answer, ["a"]);
    let body = upstreams.received().remove(0);
    assert_eq!(
        body["messages"],
        json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "failed\n\n日本" },
            { "role": "assistant", "content": "ok" },
            { "role": "user", "content": "now?" },
        ])
    );
}

/// Returns the contents of the messages of a request.
fn contents(body: &Value) -> Vec<String> {
    let messages = body["messages"].as_array().unwrap().iter();
    messages.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

/// What a model's server sends, how it is told, and what the log has of it.
struct Case {
    name: &'static str,
    stream: &'static str,
    text: &'static str,
    end: Result<(), AssistantError>,
    log: &'static str,
}

/// The streams of real servers, with answers that are complete, cut, failed or hidden.
const CASES: &[Case] = &[
    Case {
        name: "a field error (llama.cpp)",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":\"The first\"}}]}\n\nerror: {\"code\":500,\"message\":\"cannot decode\"}\n\n\
                 data: [DONE]\n\n",
        text: "The first",
        end: Err(AssistantError::Status(500)),
        log: "cannot decode",
    },
    Case {
        name: "an event error",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":\"Half\"}}]}\n\nevent: error\ndata: {\"message\":\"upstream reset\"}\n\n\
                 data: [DONE]\n\n",
        text: "Half",
        end: Err(AssistantError::Failed),
        log: "upstream reset",
    },
    Case {
        name: "an error inside a choice",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":\"Half\"},\"error\":{\"message\":\"disconnected\"}}]}\n\ndata: [DONE]\n\n",
        text: "Half",
        end: Err(AssistantError::Failed),
        log: "disconnected",
    },
    Case {
        name: "an error object without a member error (vLLM)",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":\"Half\"}}]}\n\n\
                 data: {\"object\":\"error\",\"message\":\"engine died\",\"code\":500}\n\ndata: [DONE]\n\n",
        text: "Half",
        end: Err(AssistantError::Status(500)),
        log: "engine died",
    },
    Case {
        name: "surrogate halves in two chunks",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":\"ok \\ud83d\"}}]}\n\n\
                 data: {\"choices\":[{\"delta\":{\"content\":\"\\ude00 fine\"}}]}\n\ndata: [DONE]\n\n",
        text: "ok \u{1f600} fine",
        end: Ok(()),
        log: "",
    },
    Case {
        name: "a half at the end",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":\"ok \\ud83d\"}}]}\n\ndata: [DONE]\n\n",
        text: "ok \u{fffd}",
        end: Ok(()),
        log: "",
    },
    Case {
        name: "content as parts",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]}]}}]}\n\n\
                 data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]}}]}\n\n\
                 data: {\"choices\":[{\"delta\":{\"content\":\" there\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        text: "Hi there",
        end: Ok(()),
        log: "",
    },
    Case {
        name: "reasoning in tags",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":\"<thi\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"nk>sec\"}}]}\n\n\
                 data: {\"choices\":[{\"delta\":{\"content\":\"ret</thi\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"nk>\\n\\nHi\"}}]}\n\n\
                 data: [DONE]\n\n",
        text: "Hi",
        end: Ok(()),
        log: "",
    },
    Case {
        name: "nothing but reasoning, cut",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":\"<think>secret\"},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n",
        text: "",
        end: Err(AssistantError::Empty),
        log: "",
    },
    Case {
        name: "the end of the reasoning told as the end of the answer",
        stream: "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"},\"finish_reason\":\"stop\"}]}\n\n\
                 data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n\
                 data: {\"choices\":[{\"delta\":{\"content\":\" you\"}}]}\n\ndata: [DONE]\n\n",
        text: "Hello you",
        end: Ok(()),
        log: "",
    },
    Case {
        name: "text that is held back when the server fails",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":\"a <th\"}}]}\n\ndata: {\"error\":\"gone\"}\n\n",
        text: "a <th",
        end: Err(AssistantError::Failed),
        log: "gone",
    },
    Case {
        name: "line ends of carriage returns alone",
        stream: "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\r\rdata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\r\r\
                 data: [DONE]\r\r",
        text: "Hi",
        end: Ok(()),
        log: "",
    },
];

#[tokio::test]
async fn what_real_servers_stream_is_told_as_it_is_in_any_pieces() {
    for Case { name, stream: text, text: expected, end: outcome, log } in CASES {
        for size in [1, 5, text.len()] {
            let written = Log::default();
            let subscriber = tracing_subscriber::fmt().with_writer(written.clone()).with_ansi(false).finish();
            let _guard = tracing::subscriber::set_default(subscriber);
            let pieces = text.as_bytes().chunks(size).map(piece);
            let mut seen = all(std::iter::once(stream()).chain(pieces).chain([end()]).collect()).await;
            let failure = seen.pop_if(|last| last.is_err());
            let tokens: String = seen.into_iter().map(Result::unwrap).collect();
            assert_eq!(
                (tokens.as_str(), failure.map_or(Ok(()), |error| error.map(drop))),
                (*expected, outcome.clone()),
                "{name}"
            );
            let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            assert!(written.contains(log), "{name}: {written}");
        }
    }
}

#[tokio::test]
async fn json_with_status_200_is_an_answer_or_a_failure() {
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    let loading = r#"{"error":{"message":"model is loading","code":503}}"#;
    let whole = r#"{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"<think>x</think>Hi"},"finish_reason":"stop"}]}"#;
    let cut = r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"length"}]}"#;
    let unknown = r#"{"error":"no"}"#;
    let hi = || Ok("Hi".to_owned());
    for (body, expected) in [
        (whole, vec![hi()]),
        (cut, vec![hi(), Err(AssistantError::LengthLimit)]),
        (loading, vec![Err(AssistantError::Status(503))]),
        (unknown, vec![Err(AssistantError::Failed)]),
        ("{}", vec![Err(AssistantError::Malformed)]),
        ("<html>", vec![Err(AssistantError::Malformed)]),
    ] {
        assert_eq!(all(vec![response("200 OK", json, body)]).await, expected, "{body}");
    }
    assert!(AssistantError::Status(503).is_retryable());
}
