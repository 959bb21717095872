//! Parlor beside servers that do the same by hand.

use std::{sync::Arc, time::Duration};

use super::{tell, within};
use crate::{
    Outcome,
    http::{CHATS, MESSAGE, get, new_chat, post},
    load::{self, Requests, Until},
    options::{Options, Store, Subject, new_chats},
    results::{Key, Round, SuiteResults},
    server::Server,
    websocket::Speaker,
};

/// Users whose chats are created, and chats to which messages are sent.
const MANY: usize = 1_000;
/// Getting a server ready takes a slow one some seconds.
const PREPARATION: Duration = Duration::from_mins(1);

/// What a server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Chats, each for one of a thousand users.
    Create,
    /// Messages in a thousand chats, by REST.
    Send,
    /// Messages by a live connection, one in flight on each.
    Speak,
    /// Chats, by their IDs.
    Get,
    /// An answer that tells nothing.
    Health,
}

impl Work {
    /// As reports have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Create => "create_chat",
            Self::Send => "send_message",
            Self::Speak => "send by WebSocket",
            Self::Get => "get_chat",
            Self::Health => "/healthz",
        }
    }
}

/// The key of a load: `connections` are at work.
pub(crate) fn key(store: Store, work: Work, connections: usize, subject: Subject) -> Key {
    Key::new(store.name(), work.name(), &Options::connections(connections), subject.name())
}

/// Measures all of it, round by round: what is compared stands next to each other in time.
pub(crate) async fn measure(options: &Options, results: &mut SuiteResults) -> Outcome<()> {
    use Subject::{Axum, Echo, FastApi, Parlor};
    let many = options.connections;
    let plan: [(Store, Work, usize, &[Subject]); 10] = [
        (Store::Sqlite, Work::Create, many, &[Parlor, Axum, FastApi, Echo]),
        (Store::Sqlite, Work::Create, 1, &[Parlor, Axum, FastApi]),
        (Store::Sqlite, Work::Send, many, &[Parlor, Axum, FastApi]),
        (Store::Sqlite, Work::Speak, many, &[Parlor, Axum]),
        // Next to each other, since Parlor's own two are compared too.
        (Store::Sqlite, Work::Health, many, &[Parlor]),
        (Store::Sqlite, Work::Get, many, &[Parlor, Axum, FastApi]),
        (Store::Sqlite, Work::Health, many, &[Axum, FastApi]),
        (Store::Postgres, Work::Create, many, &[Parlor, Axum, FastApi]),
        (Store::Postgres, Work::Send, many, &[Parlor, Axum, FastApi]),
        (Store::Postgres, Work::Speak, many, &[Parlor, Axum]),
    ];
    let mut failures = Vec::new();
    for round in 1..=options.rounds() {
        eprintln!("round {round} of {}", options.rounds());
        for (store, work, connections, subjects) in plan {
            for subject in subjects {
                let key = key(store, work, connections, *subject);
                match turn(options, store, work, connections, *subject).await {
                    Ok(Some(round)) => {
                        tell(&key, &round);
                        results.add(&key, round);
                    }
                    Ok(None) => {}
                    // The others are worth measuring all the same.
                    Err(error) => {
                        let failure = format!("{}, {}, {}: {error}", key.database, key.work, key.subject);
                        eprintln!("FAILED: {failure}");
                        failures.push(failure);
                    }
                }
            }
        }
    }
    let absent: Vec<&str> = [Axum, FastApi]
        .into_iter()
        .filter(|subject| options.program(*subject).is_none())
        .map(Subject::name)
        .chain(options.cluster().is_none().then_some(Store::Postgres.name()))
        .collect();
    if !absent.is_empty() {
        results.notes.push(format!("Not there, and so not measured: {}.", absent.join(", ")));
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("{} rounds; see above", failures.len()).into()) }
}

/// One turn of one server: it is new, and so is its database. None if there is no such server.
async fn turn(
    options: &Options,
    store: Store,
    work: Work,
    connections: usize,
    subject: Subject,
) -> Outcome<Option<Round>> {
    let Some(server) = options.start(subject, store).await? else { return Ok(None) };
    let (time, warm_up) = (Until::Time(options.time()), Until::Time(options.warm_up()));
    let bodies = (0..MANY).map(|user| new_chat(user, "technical"));
    let chats = match work {
        Work::Send | Work::Speak | Work::Get => within(PREPARATION, "a start", new_chats(&server, bodies)).await?,
        Work::Create | Work::Health => Vec::new(),
    };
    let round = match work {
        Work::Speak => {
            // In chats of their own: in one with messages, a connection may begin with more than one event.
            let (warming, measured) = chats.split_at(MANY / 2);
            load::run(Speaker::senders(server.address, warming, connections).await?, warm_up).await?;
            let speakers = Speaker::senders(server.address, measured, connections).await?;
            load::measure(&server, speakers, time).await?
        }
        _ => {
            let requests = requests(work, subject, &chats);
            load::run(Requests::senders(server.address, &requests, connections).await?, warm_up).await?;
            measure_requests(&server, &requests, connections, time).await?
        }
    };
    Ok(Some(round))
}

async fn measure_requests(
    server: &Server,
    requests: &Arc<[Vec<u8>]>,
    connections: usize,
    until: Until,
) -> Outcome<Round> {
    let senders = Requests::senders(server.address, requests, connections).await?;
    load::measure(server, senders, until).await
}

/// What the senders send in turn.
fn requests(work: Work, subject: Subject, chats: &[String]) -> Arc<[Vec<u8>]> {
    let path = if subject == Subject::Echo { "/echo" } else { CHATS };
    match work {
        Work::Create => (0..MANY).map(|user| post(path, &new_chat(user, "technical"))).collect(),
        Work::Send => chats.iter().map(|chat| post(&format!("{CHATS}{chat}/messages"), MESSAGE)).collect(),
        Work::Get => chats.iter().map(|chat| get(&format!("{CHATS}{chat}"))).collect(),
        Work::Health | Work::Speak => Arc::from([get("/healthz")]),
    }
}
