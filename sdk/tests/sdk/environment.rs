//! The environment variables that a client reads. A process has only one environment, so each test runs the client in a
//! process of its own: this test binary, with the one test that is otherwise ignored.

use std::env;
use std::process::{Command, Output};

use parlor_sdk::{ClientBuilder, NewChat, RetryPolicy};

use crate::KEY;
use crate::server::{CHAT, Server, answer, created};

/// The variable that disables the proxy in the child process.
const NO_PROXY: &str = "TEST_NO_PROXY";

#[tokio::test]
#[ignore = "it is run by the others, with an environment"]
async fn the_client() {
    let mut builder = ClientBuilder::from_env().unwrap().retry(RetryPolicy::never());
    if env::var_os(NO_PROXY).is_some() {
        builder = builder.no_proxy();
    }
    builder.build().unwrap().create_chat(NewChat::new("user123")).await.unwrap();
}

fn run_client(variables: &[(&str, &str)]) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "environment::the_client", "--nocapture"])
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn output(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

#[test]
fn address_and_key_come_from_the_environment() {
    let server = Server::start([created(CHAT)]);
    let ran = run_client(&[("PARLOR_URL", server.url()), ("PARLOR_API_KEY", KEY)]);
    assert!(ran.status.success(), "{}", output(&ran));
    assert_eq!(server.requests()[0].header("x-api-key"), Some(KEY));
}

#[test]
fn a_missing_variable_is_named() {
    let ran = run_client(&[("PARLOR_URL", "http://localhost:8000")]);
    assert!(!ran.status.success());
    assert!(output(&ran).contains("PARLOR_API_KEY is not set"), "{}", output(&ran));
}

#[test]
fn a_remote_server_is_reached_through_the_proxy_unless_disabled() {
    let proxy = Server::start([created(CHAT)]);
    let variables = [("PARLOR_URL", "http://parlor.invalid"), ("PARLOR_API_KEY", KEY), ("HTTP_PROXY", proxy.url())];
    let ran = run_client(&[&variables[..], &[(NO_PROXY, "1")]].concat());
    assert!(!ran.status.success());
    assert!(output(&ran).contains("no connection to http://parlor.invalid"), "{}", output(&ran));
    assert!(proxy.requests().is_empty());

    let ran = run_client(&variables);
    assert!(ran.status.success(), "{}", output(&ran));
    assert_eq!(proxy.requests()[0].line, "POST http://parlor.invalid/api/v1/chats/ HTTP/1.1");
}

#[test]
fn a_proxy_that_requires_credentials_is_explained_with_and_without_a_tunnel() {
    for (url, proxy_variable, words) in [
        ("http://parlor.invalid", "HTTP_PROXY", "the proxy requires credentials; add"),
        ("https://parlor.invalid", "HTTPS_PROXY", "the proxy requires credentials (407)"),
    ] {
        let proxy = Server::start([answer(407, &[("Proxy-Authenticate", "Basic realm=\"proxy\"")], "")]);
        let ran = run_client(&[("PARLOR_URL", url), ("PARLOR_API_KEY", KEY), (proxy_variable, proxy.url())]);
        assert!(!ran.status.success());
        assert!(output(&ran).contains(words), "{}", output(&ran));
        assert_eq!(proxy.requests().len(), 1);
    }
}

#[test]
fn a_loopback_server_is_reached_without_the_proxy() {
    let (server, proxy) = (Server::start([created(CHAT)]), Server::start([created(CHAT)]));
    let ran = run_client(&[
        ("PARLOR_URL", server.url()),
        ("PARLOR_API_KEY", KEY),
        ("HTTP_PROXY", proxy.url()),
        ("ALL_PROXY", proxy.url()),
    ]);
    assert!(ran.status.success(), "{}", output(&ran));
    assert_eq!((server.requests().len(), proxy.requests().len()), (1, 0));
}

#[test]
#[cfg(target_os = "linux")]
fn without_certificate_roots_only_https_is_refused() {
    let server = Server::start([created(CHAT)]);
    let no_roots = [("PARLOR_API_KEY", KEY), ("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")];
    let ran = run_client(&[&no_roots[..], &[("PARLOR_URL", server.url())]].concat());
    assert!(ran.status.success(), "{}", output(&ran));
    let ran = run_client(&[&no_roots[..], &[("PARLOR_URL", "https://localhost")]].concat());
    assert!(!ran.status.success());
    assert!(output(&ran).contains("TLS cannot be configured"), "{}", output(&ran));
}
