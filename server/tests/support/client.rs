use std::net::SocketAddr;

use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A plain HTTP client; what a test expects is part of every call.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    headers: Vec<(String, String)>,
}

/// An answer whose status was the expected one.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        // reqwest insists on a TLS provider even where nothing is encrypted; whoever comes second finds it installed.
        _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, base: format!("http://{address}"), headers: Vec::new() }
    }

    /// The same with another header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn key(mut self, key: &str) -> Self {
        self.headers.retain(|(name, _)| name != "X-API-Key");
        self.header("X-API-Key", key)
    }

    /// Sends `body` as it is; panics unless the answer has the status `expected`.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>, expected: u16) -> Answer {
        let answer = self.attempt(method.clone(), path, body).await.unwrap();
        let (status, answer) = answer;
        assert_eq!(status.as_u16(), expected, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        answer
    }

    /// Sends `body` as it is; the answer may have any status, or not come.
    pub(crate) async fn attempt(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> reqwest::Result<(StatusCode, Answer)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request = request.header("Content-Type", "application/json");
            }
            request = request.body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok((status, Answer { headers, body: response.bytes().await?.to_vec() }))
    }

    pub(crate) async fn get(&self, path: &str, expected: u16) -> Answer {
        self.send(Method::GET, path, None, expected).await
    }

    /// `POST /api/v1/chats/`.
    pub(crate) async fn create_chat(&self, body: &Value, expected: u16) -> Answer {
        self.create_chat_from(body.to_string(), expected).await
    }

    /// The same with a body that need not be JSON.
    pub(crate) async fn create_chat_from(&self, body: impl Into<Vec<u8>>, expected: u16) -> Answer {
        self.send(Method::POST, "/api/v1/chats/", Some(body.into()), expected).await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that it is a well-formed problem, and returns its code.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{problem}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {problem}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }

    /// The `errors` of a 400 as pairs of pointer and detail.
    pub(crate) fn errors(&self) -> Vec<(String, String)> {
        assert_eq!(self.problem(), "invalid_request");
        let pair = |error: &Value| {
            (error["pointer"].as_str().unwrap().to_owned(), error["detail"].as_str().unwrap().to_owned())
        };
        self.json()["errors"].as_array().unwrap().iter().map(pair).collect()
    }
}

/// Sends bytes that need not be HTTP, and returns what comes back until the server closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
