//! A stop of the server beside stuck connections.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::sleep};

use super::{
    crowd::{Crowd, Tally, sources},
    scripts::Attack,
    setup::{AttackOptions, warm_up},
};
use crate::{Outcome, database::Database, format::table, server::Server, tables};

/// Stuck connections of each kind.
const CONNECTIONS: usize = 200;
/// How long they are left to get stuck.
const STUCK: Duration = Duration::from_millis(1_500);
/// Upper bound on the wait for the end; reaching it fails the case.
const LIMIT: Duration = Duration::from_secs(15);

/// How a server stopped.
pub(super) struct Stop {
    beside: &'static str,
    took: Option<Duration>,
    /// What was not as it should be.
    pub(super) failures: Vec<String>,
}

/// Sends SIGTERM to a server with stuck connections, and waits for its end.
pub(super) async fn measure(options: &AttackOptions, attacker: &Handle, attack: &Attack) -> Outcome<Stop> {
    let mut server = Server::start(&options.trial.program(), Database::sqlite(&options.trial.data())?).await?;
    let target = warm_up(&server).await?;
    let script = Arc::new((attack.script)(&target));
    let tally = Arc::new(Tally::default());
    let count = attack.connections.min(CONNECTIONS);
    let crowd = Crowd::start(attacker, &script, &sources(false), server.address, count, STUCK / 3, &tally);
    sleep(STUCK).await;
    server.signal("TERM")?;
    let took = server.ended(LIMIT).await?;
    crowd.stop().await;
    let failures = if took.is_none() { vec![format!("still runs after {} s", LIMIT.as_secs())] } else { Vec::new() };
    Ok(Stop { beside: attack.name, took, failures })
}

/// The table of all stops.
pub(super) fn table_of(stops: &[Stop]) -> String {
    let lines = stops.iter().map(|stop| {
        let took = stop.took.map_or_else(|| format!("**> {} s**", LIMIT.as_secs()), tables::seconds);
        vec![stop.beside.to_owned(), took]
    });
    table(&["SIGTERM beside", "ended after"], 1, lines)
}
