//! The SDK beside the HTTP client that it is made of.
//!
//! Both create chats on Parlor, which does most of the work: the rates say what an application notices. What the calls
//! cost the client says what the SDK adds.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use parlor_sdk::{Client, NewChat};
use reqwest::{
    Method, Request, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Serialize;
use uuid::Uuid;

use super::tell;
use crate::{
    Outcome,
    http::{CHATS, new_chat},
    load::{self, Sender, Until},
    options::Options,
    results::{Key, SuiteResults, Unit},
    server::KEY,
};

/// Users whose chats are created.
const USERS: usize = 1_000;

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Caller {
    /// The SDK, as its first page shows it.
    Sdk,
    /// reqwest, with the SDK's settings, and bytes that are ready to be sent.
    Bare,
}

/// The key of a load: `connections` are at work.
pub(crate) fn key(caller: Caller, connections: usize) -> Key {
    let subject = match caller {
        Caller::Sdk => "parlor-sdk",
        Caller::Bare => "reqwest alone",
    };
    Key::new("SQLite", "create_chat", &format!("{connections} calls at a time"), subject)
}

/// Measures both, in turns, each on a new server.
pub(crate) async fn measure(options: &Options, results: &mut SuiteResults) -> Outcome<()> {
    results.notes.push(
        "Calls of both are answered by Parlor, each with an `Idempotency-Key` of its own. The load's processor time is \
         that of the client: it makes the request, and of the answer reqwest alone reads the bytes, the SDK a `Chat`."
            .to_owned(),
    );
    for _ in 0..options.rounds() {
        let mut costs = Vec::new();
        for caller in [Caller::Sdk, Caller::Bare] {
            let server = options.parlor().await?;
            let url = format!("http://{}", server.address);
            let (warm_up, time) = (Until::Time(options.warm_up()), Until::Time(options.time()));
            let round = match caller {
                Caller::Sdk => {
                    let callers = Sdk::callers(&url, options.connections)?;
                    load::run(callers.clone(), warm_up).await?;
                    load::measure(&server, callers, time).await?
                }
                Caller::Bare => {
                    let callers = Bare::callers(&url, options.connections)?;
                    load::run(callers.clone(), warm_up).await?;
                    load::measure(&server, callers, time).await?
                }
            };
            let key = key(caller, options.connections);
            tell(&key, &round);
            costs.push(round.load_cpu_us);
            results.add(&key, round);
        }
        let text = "Client's processor time for a call by the SDK, through that by reqwest alone";
        results.figure("sdk.cpu", text, Unit::Times, costs[0] / costs[1]);
    }
    Ok(())
}

/// What an application keeps with its chats.
#[derive(Serialize)]
struct Metadata {
    department: &'static str,
}

/// A loop of calls by the SDK.
#[derive(Clone)]
struct Sdk {
    client: Client,
    next: usize,
}

impl Sdk {
    fn callers(url: &str, count: usize) -> Outcome<Vec<Self>> {
        let client = Client::new(url, KEY)?;
        Ok((0..count).map(|n| Self { client: client.clone(), next: n * 7_919 }).collect())
    }
}

impl Sender for Sdk {
    async fn exchange(&mut self) -> io::Result<()> {
        let user = self.next % USERS;
        self.next += 1;
        let chat =
            NewChat::new(format!("user{user}")).title("Support Session").metadata(Metadata { department: "technical" });
        self.client.create_chat(chat).await.map(drop).map_err(io::Error::other)
    }
}

/// A loop of calls without the SDK.
#[derive(Clone)]
struct Bare {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    bodies: Arc<[Bytes]>,
    next: usize,
}

impl Bare {
    fn callers(url: &str, count: usize) -> Outcome<Vec<Self>> {
        let client = client()?;
        let url: Url = format!("{url}{CHATS}").parse()?;
        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/json, application/problem+json")),
            (HeaderName::from_static("x-api-key"), HeaderValue::from_static(KEY)),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ]);
        let bodies: Arc<[Bytes]> = (0..USERS).map(|user| new_chat(user, "technical").into()).collect();
        let caller = Self { client, url, headers, bodies, next: 0 };
        Ok((0..count).map(|n| Self { next: n * 7_919, ..caller.clone() }).collect())
    }
}

impl Sender for Bare {
    async fn exchange(&mut self) -> io::Result<()> {
        let mut request = Request::new(Method::POST, self.url.clone());
        request.headers_mut().clone_from(&self.headers);
        let key = HeaderValue::from_str(&Uuid::new_v4().to_string()).map_err(io::Error::other)?;
        request.headers_mut().insert(HeaderName::from_static("idempotency-key"), key);
        *request.body_mut() = Some(self.bodies[self.next % USERS].clone().into());
        self.next += 1;
        let response = self.client.execute(request).await.and_then(reqwest::Response::error_for_status);
        response.map_err(io::Error::other)?.bytes().await.map(drop).map_err(io::Error::other)
    }
}

/// Set up as the SDK sets it up. There is no TLS on the way to a server on this machine, but reqwest wants to know.
fn client() -> Outcome<reqwest::Client> {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let builder = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .user_agent(concat!("parlor-sdk/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .tls_backend_preconfigured(tls)
        .no_proxy();
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    const CHAT: &str = r#"{"id":"018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d","user_id":"user0","tenant_id":"default",
        "title":"Support Session","config":{"metadata":{"department":"technical"}},
        "created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","last_message_at":null}"#;

    /// The lines of the one request that `exchange` sends, in order, without the value of the idempotency key.
    async fn sent(listener: &TcpListener, exchange: impl Future<Output = io::Result<()>>) -> Vec<String> {
        let serve = async {
            let mut stream = listener.accept().await.unwrap().0;
            let mut request = Vec::new();
            while !request.ends_with(b"}}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let head = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
            stream.write_all(format!("{head}: {}\r\n\r\n{CHAT}", CHAT.len()).as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        };
        let (request, answer) = tokio::join!(serve, exchange);
        answer.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut lines: Vec<String> = head.lines().map(str::to_ascii_lowercase).collect();
        lines.iter_mut().filter(|line| line.starts_with("idempotency-key")).for_each(|line| line.truncate(16));
        // The order of headers is no difference.
        lines[1..].sort();
        lines.push(body.to_owned());
        lines
    }

    #[tokio::test]
    async fn both_send_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut sdk = Sdk::callers(&url, 1).unwrap();
        let mut bare = Bare::callers(&url, 1).unwrap();
        let by_sdk = sent(&listener, sdk[0].exchange()).await;
        assert_eq!(by_sdk, sent(&listener, bare[0].exchange()).await);
        assert_eq!(by_sdk[0], "post /api/v1/chats/ http/1.1");
    }
}
