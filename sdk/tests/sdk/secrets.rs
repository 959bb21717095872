//! `Debug` and `Display` print no secrets.

use std::fmt::Debug;

use parlor_sdk::{Client, NewChat};

use crate::clock::VirtualClock;
use crate::server::{CHAT, Server, answer, created, problem, raw};
use crate::{KEY, builder};

const TOKEN: &str = "Bearer hunter2";

fn assert_no_secret(what: &str, value: &impl Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        for secret in [KEY, "hunter2"] {
            assert!(!text.contains(secret), "{what}: {text}");
        }
    }
}

#[tokio::test]
async fn clients_and_calls_print_no_secrets() {
    let server = Server::start([created(CHAT)]);
    let builder = builder(&server, &VirtualClock::new()).header("Authorization", TOKEN);
    assert_no_secret("builder", &builder);
    let client = builder.build().unwrap();
    assert_no_secret("client", &client);
    let call = client.create_chat(NewChat::new("user123")).header("X-Token", TOKEN);
    assert_no_secret("call", &call);
    let response = call.with_response().await.unwrap();
    assert_no_secret("response", &response);

    let request = &server.requests()[0];
    assert_eq!(request.header("x-api-key"), Some(KEY), "the key is sent");
    assert_eq!((request.header("authorization"), request.header("x-token")), (Some(TOKEN), Some(TOKEN)));
    assert!(format!("{client:?}").contains("authorization"), "header names are printed");
}

#[tokio::test]
async fn errors_print_no_secrets() {
    let location = [("Location", "http://user:hunter2@localhost/?token=hunter2")];
    let script =
        || [problem(401, "unauthorized"), answer(307, &location, ""), answer(201, &[], "garbage"), raw(""), raw("")];
    let server = Server::start(script());
    let client = builder(&server, &VirtualClock::new()).header("Authorization", TOKEN).build().unwrap();
    // The last call meets two broken connections and then a closed port.
    for _ in 0..4 {
        let error = client.create_chat(NewChat::new("user123")).await.unwrap_err();
        assert_no_secret("error", &error);
        assert!(!error.to_string().contains("hunter2") && !error.to_string().contains(KEY), "{error}");
    }
    assert_eq!(server.requests().len(), script().len());

    let refused = client.create_chat(NewChat::new("user123")).header("Authorization", "Bearer hunter2\n");
    assert_no_secret("refused call", &refused);
    assert_no_secret("refused call's error", &refused.await.unwrap_err());
}

#[test]
fn invalid_settings_print_no_secrets() {
    let with_password = Client::builder("http://user:hunter2@localhost:8000", KEY);
    assert_no_secret("builder", &with_password);
    let bad_key = Client::builder("http://localhost:8000", format!("{KEY}\n"));
    assert_no_secret("builder", &bad_key);
    let bad_header = Client::builder("http://localhost:8000", KEY).header("Authorization", "Bearer hunter2\n");
    assert_no_secret("builder", &bad_header);
    for builder in [with_password, bad_key, bad_header] {
        let error = builder.build().unwrap_err();
        assert_no_secret("error", &error);
        assert!(!error.to_string().contains("hunter2") && !error.to_string().contains(KEY), "{error}");
    }
}
