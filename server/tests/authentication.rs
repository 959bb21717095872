//! Who may call.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parlor_server::{
    clock::{Clock, Moments},
    config::Limits,
    internals::{Metrics, Opener, Store},
    tenant::{ApiKey, Authenticator, Principal, Tenants},
};
use rand::{SeedableRng as _, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, KEY, ManualClock, TestDatabase, TestServer};

#[tokio::test]
async fn every_operation_of_the_document_refuses_who_has_no_valid_key() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let document = Client::new(server.address).get("/openapi.json", 200).await.json();
    let unknown = ApiKey::generate(&mut StdRng::seed_from_u64(1));
    let mistyped = unknown.reveal().replace("plr_", "plr_x");
    let anybody = Client::new(server.address);
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace(['{', '}'], "");
        for (method, operation) in methods.as_object().unwrap() {
            assert_eq!(operation["security"], json!([{ "ApiKey": [] }]), "{method} {path} names its security");
            let method: Method = method.to_uppercase().parse().unwrap();
            // A body that would be refused too: who calls is asked first.
            let body = operation.get("requestBody").map(|_| b"not JSON".to_vec());
            let wrong = [unknown.reveal(), &mistyped, "", "é", "wrong", &"x".repeat(5_000)];
            let strangers = wrong.iter().map(|key| anybody.clone().key(key));
            for stranger in strangers.chain([anybody.clone()]) {
                let answer = stranger.send(method.clone(), &path, body.clone(), 401).await;
                assert_eq!(answer.problem(), "unauthorized");
                assert_eq!(answer.header("www-authenticate"), Some(r#"ApiKey realm="parlor""#));
            }
            operations += 1;
        }
    }
    assert!(operations > 0, "the document has no operations");
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_an_operation_needs_no_key() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/", "/healthz/"] {
        Client::new(server.address).get(path, 200).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_missing_key_is_told_from_a_wrong_one() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let anybody = Client::new(server.address);
    let request = json!({ "user_id": "u" });
    let detail = |answer: Value| answer["detail"].as_str().unwrap().to_owned();
    let missing = detail(anybody.create_chat(&request, 401).await.json());
    assert_eq!(missing, "The header X-API-Key is missing.");
    let wrong = detail(anybody.key("somebody-else-s-key").create_chat(&request, 401).await.json());
    assert_eq!(wrong, "The API key is unknown, expired or revoked.");
    let twice = server.client().header("X-API-Key", KEY);
    assert_eq!(detail(twice.create_chat(&request, 401).await.json()), "The header X-API-Key must be given once.");
    server.stop().await;
}

#[tokio::test]
async fn a_revoked_key_stops_working_once_the_cache_forgets_it() {
    let database = TestDatabase::create().await;
    let limits = Limits { key_cache: Duration::from_millis(20), ..Limits::default() };
    let clock = Arc::new(ManualClock::new());
    let server = TestServer::start_with(database.url(), limits, clock).await;
    let issued = server.tenants.create_key("default", "to be revoked", None).await.unwrap();
    let client = Client::new(server.address).key(issued.key.reveal());
    let request = json!({ "user_id": "u" });
    client.create_chat(&request, 201).await;
    server.tenants.revoke_key(issued.record.id).await.unwrap();
    let body = || Some(request.to_string().into_bytes());
    loop {
        let (status, answer) = client.attempt(Method::POST, "/api/v1/chats/", body()).await.unwrap();
        if status == 401 {
            assert_eq!(answer.problem(), "unauthorized");
            break;
        }
        assert_eq!(status, 201);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.client().create_chat(&request, 201).await;
    server.stop().await;
}

#[test]
fn the_default_cache_keeps_the_contract_s_promise() {
    assert!(Limits::default().key_cache < Duration::from_secs(5), "a revoked key stops working within 5 s");
}

#[tokio::test]
async fn an_expired_key_stops_working_at_its_moment_cached_or_not() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone())).await;
    let lifetime = chrono::Duration::days(30);
    let issued = server.tenants.create_key("default", "", Some(lifetime)).await.unwrap();
    let client = Client::new(server.address).key(issued.key.reveal());
    let request = json!({ "user_id": "u" });
    client.create_chat(&request, 201).await;
    clock.advance(issued.record.expires_at.unwrap() - clock.now() - chrono::Duration::microseconds(1));
    client.create_chat(&request, 201).await;
    clock.advance(chrono::Duration::microseconds(1));
    assert_eq!(client.create_chat(&request, 401).await.problem(), "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn of_many_keys_those_that_are_still_valid_are_told() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let (limits, moments) = (Limits::default(), Moments::new(Arc::new(clock.clone())));
    let url = database.url().parse().unwrap();
    let store = Store::open(
        &url,
        Opener::Server,
        moments.clone(),
        limits.database,
        limits.writer,
        Metrics::new().writer,
        Arc::new(()),
    )
    .await
    .unwrap();
    let authenticator =
        Authenticator::new(store.clone(), Arc::new(clock.clone()), limits.key_cache_entries, limits.key_cache);
    let tenants = Tenants::new(store.clone(), moments);
    let one = tenants.create_tenant("one").await.unwrap();
    tenants.create_tenant("other").await.unwrap();
    let lasting = tenants.create_key("one", "", None).await.unwrap();
    let of_other = tenants.create_key("other", "", None).await.unwrap().record.id;
    let revoked = tenants.create_key("one", "", None).await.unwrap();
    let expiring = tenants.create_key("one", "", Some(chrono::Duration::days(1))).await.unwrap().record;

    let principal = authenticator.authenticate(&lasting.key).await.unwrap().unwrap();
    assert_eq!(principal, Principal { tenant: one.id, key: lasting.record.id });
    // What is remembered of a key does not keep it alive.
    authenticator.authenticate(&revoked.key).await.unwrap().unwrap();
    tenants.revoke_key(revoked.record.id).await.unwrap();
    let asked = [lasting.record.id, of_other, revoked.record.id, expiring.id, Uuid::nil(), of_other];
    clock.advance(expiring.expires_at.unwrap() - clock.now() - chrono::Duration::microseconds(1));
    let live = authenticator.live_keys(&asked).await.unwrap();
    assert_eq!(live, HashSet::from([lasting.record.id, of_other, expiring.id]));
    clock.advance(chrono::Duration::microseconds(1));
    let live = authenticator.live_keys(&asked).await.unwrap();
    assert_eq!(live, HashSet::from([lasting.record.id, of_other]));
    assert!(authenticator.live_keys(&[]).await.unwrap().is_empty());
    store.close().await;
}

#[tokio::test]
async fn the_database_keeps_no_key_in_clear() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let issued = server.tenants.create_key("default", "", None).await.unwrap();
    let text = if database.is_postgres() { "api_keys::text" } else { "name || hint || hash" };
    for key in [KEY, issued.key.reveal()] {
        let found = format!("SELECT COUNT(*) AS n FROM api_keys WHERE {text} LIKE '%{}%'", &key[9..]);
        assert_eq!(database.count(&found).await, 0);
    }
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM api_keys").await, 2);
    server.stop().await;
}
