//! Load: senders that each send a request, wait for its answer, and send the next.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    Outcome,
    http::Connection,
    results::Round,
    server::{Server, processor_micros},
    stats::percentile,
};

/// How much longer than planned a measurement may take before it is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// One of those who make the load.
pub(crate) trait Sender: Send + 'static {
    /// Sends the next request and waits for its answer.
    fn exchange(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// When a sender stops.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After this time.
    Time(Duration),
    /// After so many answers, of all senders together.
    Answers(usize),
}

/// What one run of load saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// How long each answer took, the shortest first.
    pub(crate) latencies: Vec<Duration>,
}

impl Seen {
    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far fewer answers than 2^52")]
        let answers = self.latencies.len() as f64;
        answers / self.elapsed.as_secs_f64()
    }
}

/// Lets all senders send.
///
/// # Errors
/// The first error of a sender ends the run: a server that refuses does less work than one that answers.
pub(crate) async fn run<S: Sender>(senders: Vec<S>, until: Until) -> Outcome<Seen> {
    let (time, count) = match until {
        Until::Time(time) => (time, usize::MAX),
        Until::Answers(count) => (Duration::MAX, count.div_ceil(senders.len())),
    };
    let limit = PATIENCE + if let Until::Time(time) = until { time } else { 10 * PATIENCE };
    let started = Instant::now();
    let mut running = JoinSet::new();
    for mut sender in senders {
        running.spawn(async move {
            let mut latencies = Vec::new();
            let mut sent = Instant::now();
            while latencies.len() < count && sent.duration_since(started) < time {
                sender.exchange().await?;
                // The next request is sent as soon as this answer is there.
                let answered = Instant::now();
                latencies.push(answered - sent);
                sent = answered;
            }
            io::Result::Ok(latencies)
        });
    }
    let finish = async {
        let mut latencies = Vec::new();
        while let Some(sender) = running.join_next().await {
            latencies.extend(sender??);
        }
        Outcome::Ok(latencies)
    };
    let mut latencies = tokio::time::timeout(limit, finish).await.map_err(|_| "the load did not end in time")??;
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    if latencies.is_empty() {
        return Err("there was not one answer".into());
    }
    Ok(Seen { elapsed, latencies })
}

/// Lets all senders send, and looks at what that cost.
pub(crate) async fn measure<S: Sender>(server: &Server, senders: Vec<S>, until: Until) -> Outcome<Round> {
    let (before, own_before) = (server.processor_micros()?, processor_micros("self")?);
    let seen = run(senders, until).await?;
    let (taken, own) = (server.processor_micros()? - before, processor_micros("self")? - own_before);
    let answers = u32::try_from(seen.latencies.len())?;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Ok(Round {
        answers,
        rate: seen.rate(),
        p50_us: micros(percentile(&seen.latencies, 50)),
        p99_us: micros(percentile(&seen.latencies, 99)),
        server_cpu_us: taken / f64::from(answers),
        load_cpu_us: own / f64::from(answers),
        resident_bytes: server.resident()?,
    })
}

/// A sender of requests that were written beforehand.
pub(crate) struct Requests {
    connection: Connection,
    all: Arc<[Vec<u8>]>,
    next: usize,
}

impl Requests {
    /// `count` connections, each of which begins elsewhere in `requests`.
    pub(crate) async fn senders(address: SocketAddr, requests: &Arc<[Vec<u8>]>, count: usize) -> io::Result<Vec<Self>> {
        let mut senders = Vec::with_capacity(count);
        for n in 0..count {
            let connection = Connection::open(address).await?;
            // A prime: two senders never walk side by side.
            senders.push(Self { connection, all: requests.clone(), next: n * 7_919 });
        }
        Ok(senders)
    }
}

impl Sender for Requests {
    async fn exchange(&mut self) -> io::Result<()> {
        let request = &self.all[self.next % self.all.len()];
        self.next += 1;
        self.connection.exchange(request).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers at once, and breaks after so many.
    struct Breaks(usize);

    impl Sender for Breaks {
        async fn exchange(&mut self) -> io::Result<()> {
            tokio::task::yield_now().await;
            self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("broken"))?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn as_many_are_sent_as_are_asked_for() {
        let seen = run(vec![Breaks(10), Breaks(10)], Until::Answers(8)).await.unwrap();
        assert_eq!(seen.latencies.len(), 8);
        assert!(seen.latencies.is_sorted() && seen.rate() > 0.0);
    }

    #[tokio::test]
    async fn an_error_ends_the_run() {
        let time = Until::Time(Duration::from_mins(1));
        let error = run(vec![Breaks(usize::MAX), Breaks(3)], time).await.unwrap_err();
        assert_eq!(error.to_string(), "broken");
    }
}
