//! A chat over connections that break at every stage.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlor_sdk::Event;

use crate::clock::VirtualClock;
use crate::live::client;
use crate::live_server::{Act, CHAT_ID, LiveServer, Peer, created, received, serve};
use crate::wait::with_timeout;

const MESSAGES: usize = 60;
/// The delays between so many connections add up.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The stored messages: their ids in order. Messages of other senders have none.
type Store = Arc<Mutex<Vec<Option<String>>>>;

/// Stores the message once, and returns its seq.
fn store(store: &Store, name: &str) -> u64 {
    let mut names = store.lock().unwrap();
    let place = names.iter().position(|stored| stored.as_deref() == Some(name)).unwrap_or_else(|| {
        names.push(Some(name.to_owned()));
        names.len() - 1
    });
    place as u64 + 1
}

/// Stores a message of another sender.
fn store_foreign(store: &Store) -> u64 {
    let mut names = store.lock().unwrap();
    names.push(None);
    names.len() as u64
}

/// The stage at which a connection breaks.
#[derive(Clone, Copy)]
enum Fault {
    BeforeGreeting,
    DuringReplay,
    BeforeStoring,
    BeforeAcknowledgement,
    AfterAcknowledgement,
}

const FAULTS: [Fault; 5] = [
    Fault::BeforeGreeting,
    Fault::DuringReplay,
    Fault::BeforeStoring,
    Fault::BeforeAcknowledgement,
    Fault::AfterAcknowledgement,
];

async fn serve_with_fault(mut peer: Peer, names: Store, fault: Option<(Fault, usize)>) {
    let is = |expected: Fault, count: usize| {
        fault.is_some_and(|(fault, at)| {
            count >= at && std::mem::discriminant(&fault) == std::mem::discriminant(&expected)
        })
    };
    if is(Fault::BeforeGreeting, usize::MAX) {
        return;
    }
    let stored = names.lock().unwrap().clone();
    let last_seq = stored.len() as u64;
    peer.send_greeting(last_seq, peer.handshake.after_seq().is_some()).await;
    let after_seq = peer.handshake.after_seq().unwrap_or(last_seq);
    for (count, seq) in (after_seq + 1..=last_seq).enumerate() {
        if is(Fault::DuringReplay, count) {
            return;
        }
        let place = usize::try_from(seq).unwrap() - 1;
        peer.send(created(seq, stored[place].as_deref())).await;
    }
    if is(Fault::DuringReplay, usize::MAX) {
        return;
    }
    for count in 0.. {
        let Some(message) = peer.receive_frame().await else { return };
        let Ok(text) = message.into_text() else { return };
        let Ok(frame) = serde_json::from_str::<serde_json::Value>(&text) else { return };
        let name = frame["client_message_id"].as_str().unwrap();
        if is(Fault::BeforeStoring, count) {
            return;
        }
        if count % 3 == 2 {
            let seq = store_foreign(&names);
            peer.send(created(seq, None)).await;
        }
        let seq = store(&names, name);
        if is(Fault::BeforeAcknowledgement, count) {
            return;
        }
        peer.send(received(seq, name)).await;
        if is(Fault::AfterAcknowledgement, count) {
            return;
        }
    }
}

#[tokio::test]
async fn every_message_is_stored_once_and_delivered_once_in_order() {
    let names = Store::default();
    let mut script: Vec<Act> = Vec::new();
    let act = |fault| {
        let names = Arc::clone(&names);
        serve(move |peer| serve_with_fault(peer, names, fault))
    };
    script.push(act(Some((Fault::AfterAcknowledgement, 4))));
    for round in 0..4 {
        script.extend(FAULTS.iter().map(|fault| act(Some((*fault, round)))));
    }
    script.push(act(None));
    let connections = script.len();
    let server = LiveServer::start(script).await;

    let connect = client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada").buffer_bytes(2_000);
    let (sender, mut events) = with_timeout(connect).await.unwrap().split();
    let sending = tokio::spawn({
        let sender = sender.clone();
        async move {
            let mut seqs = Vec::new();
            // Four at a time.
            for batch in 0..MESSAGES / 4 {
                let sent = (0..4).map(|number| {
                    sender.send("c").client_message_id(format!("m-{batch}-{number}")).timeout(A_DAY).into_future()
                });
                for receipt in futures_util::future::join_all(sent).await {
                    let receipt = receipt.unwrap();
                    seqs.push((receipt.seq, receipt.client_message_id));
                }
            }
            seqs
        }
    });
    let delivered = tokio::spawn(async move {
        let mut seqs = Vec::new();
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            assert!(!matches!(event, Event::Gap(_) | Event::Unknown(_)), "{event:?}");
            seqs.extend(event.seq());
        }
        seqs
    });
    let receipts = with_timeout(sending).await.unwrap();
    with_timeout(sender.close()).await;
    let delivered = with_timeout(delivered).await.unwrap();

    let names = names.lock().unwrap().clone();
    assert!(delivered.iter().copied().eq(1..=names.len() as u64), "every seq once, in order: {delivered:?}");
    let own: Vec<_> = names.iter().flatten().collect();
    assert_eq!(own.len(), MESSAGES, "nothing is stored twice");
    for (seq, name) in receipts {
        assert_eq!(names[usize::try_from(seq).unwrap() - 1], Some(name));
    }
    let used = server.handshakes().len();
    assert!(used > 15 && used <= connections, "{used} of {connections} connections were used");
}
