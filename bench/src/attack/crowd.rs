//! The attacker: many connections that all follow one script.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::TcpStream,
    runtime::{self, Handle, Runtime},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::http::{Connection, connect_from, end_of_head, status};

/// The kernel's receive buffer of a client that does not read, in bytes: the smaller, the more the server has to keep.
pub(super) const SMALL_RECEIVE_BUFFER: u32 = 4_096;
/// The pause between two bytes of a slow client, and between two looks at whether the server has closed a connection.
const SLOW: Duration = Duration::from_secs(1);
/// A connection that took longer than this to open had its first SYN dropped: the kernel repeats it after one second.
const PROMPT: Duration = Duration::from_millis(900);
/// The longest answer of which a client keeps the beginning, in bytes.
const ANSWER_HEAD: usize = 512;

/// The niceness of the thread that attacks.
const LOWEST_PRIORITY: i32 = 19;

/// What each connection of an attack does.
pub(super) struct Script {
    /// Bytes that are sent first.
    pub(super) opening: Vec<u8>,
    /// Bytes that are sent once the server has answered the opening with 101; `None`: no answer is awaited.
    pub(super) upgraded: Option<Vec<u8>>,
    /// What follows.
    pub(super) then: Then,
    /// The kernel's receive buffer, in bytes; `None`: the default.
    pub(super) receive_buffer: Option<u32>,
    /// The pause before a connection that the server has closed is opened again.
    pub(super) again: Duration,
}

/// What a connection does after its opening.
pub(super) enum Then {
    /// Sends nothing more and reads nothing.
    Hold,
    /// Sends this byte once a second.
    Drip(u8),
    /// Reads one byte a second.
    Sip,
    /// Sends these bytes again and again, as fast as the server takes them, and reads nothing.
    Repeat(Vec<u8>),
    /// Sends the request made for each number, reads its answer, and goes on with the next.
    Ask(fn(u64) -> Vec<u8>),
    /// Closes the connection with a reset, so that the client's port is free at once.
    Reset,
}

/// The connections and answers that an attack obtained.
#[derive(Default)]
pub(super) struct Tally {
    open: AtomicUsize,
    most: AtomicUsize,
    attempted: AtomicUsize,
    opened: AtomicUsize,
    ended: AtomicUsize,
    prompt: AtomicUsize,
    requests: AtomicU64,
    statuses: Mutex<BTreeMap<u16, usize>>,
}

impl Tally {
    /// The largest number of connections that were open at one time.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Connections that were opened, those that were opened again included.
    pub(super) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    /// Connections that were begun.
    pub(super) fn attempted(&self) -> usize {
        self.attempted.load(Ordering::Relaxed)
    }

    /// Connections that were open, and that the server then ended.
    pub(super) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// Connections that were open within 0.9 s.
    pub(super) fn prompt(&self) -> usize {
        self.prompt.load(Ordering::Relaxed)
    }

    /// How often each status was answered.
    pub(super) fn statuses(&self) -> BTreeMap<u16, usize> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answered(&self, status: u16) {
        *self.statuses.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }

    fn open(&self, took: Duration) -> Open<'_> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        if took <= PROMPT {
            self.prompt.fetch_add(1, Ordering::Relaxed);
        }
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        Open(self)
    }
}

/// A thread for attackers. It has the lowest priority, so that the server and the probes have the cores before it: the
/// attacker of a real server has cores of its own.
pub(crate) fn attacker() -> io::Result<Runtime> {
    runtime::Builder::new_multi_thread().worker_threads(1).on_thread_start(lower_priority).enable_all().build()
}

fn lower_priority() {
    let lowered = rustix::process::setpriority_process(Some(rustix::thread::gettid()), LOWEST_PRIORITY);
    if let Err(error) = lowered {
        eprintln!("the attacker keeps its priority: {error}");
    }
}

/// Counts a connection as open while it lives.
struct Open<'a>(&'a Tally);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The addresses that an attack comes from.
pub(super) fn sources(many: bool) -> Vec<IpAddr> {
    if many {
        (1..=250).map(|last| Ipv4Addr::new(127, 0, 1, last).into()).collect()
    } else {
        vec![Ipv4Addr::new(127, 0, 0, 2).into()]
    }
}

/// An attack in progress. All its connections are closed when it is dropped.
pub(super) struct Crowd(JoinSet<()>);

impl Crowd {
    /// Starts `count` connections to `address` on `attacker`; they open evenly within `opening`.
    pub(super) fn start(
        attacker: &Handle,
        script: &Arc<Script>,
        sources: &[IpAddr],
        address: SocketAddr,
        count: usize,
        opening: Duration,
        tally: &Arc<Tally>,
    ) -> Self {
        let mut clients = JoinSet::new();
        let each = opening / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        for n in 0..count {
            let client =
                Client { script: script.clone(), source: sources[n % sources.len()], address, tally: tally.clone() };
            let delay = each * u32::try_from(n).unwrap_or(u32::MAX);
            let attack = async move {
                sleep(delay).await;
                loop {
                    // An error is a refusal or the end of the connection: both are what the server is expected to do.
                    _ = client.connect_once().await;
                    sleep(client.script.again).await;
                }
            };
            clients.spawn_on(attack, attacker);
        }
        Self(clients)
    }

    /// Closes all connections.
    pub(super) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

struct Client {
    script: Arc<Script>,
    source: IpAddr,
    address: SocketAddr,
    tally: Arc<Tally>,
}

impl Client {
    /// Opens a connection and follows the script until the server closes it.
    async fn connect_once(&self) -> io::Result<()> {
        self.tally.attempted.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        if let Then::Ask(request) = self.script.then {
            let connection = Connection::open_from(self.source, self.address).await?;
            let _open = self.tally.open(started.elapsed());
            return self.ask(connection, request).await;
        }
        let stream = connect_from(self.source, self.address, self.script.receive_buffer).await?;
        let _open = self.tally.open(started.elapsed());
        let outcome = self.follow(stream).await;
        self.tally.ended.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    async fn follow(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.write_all(&self.script.opening).await?;
        if let Some(frames) = &self.script.upgraded {
            self.upgrade(&mut stream).await?;
            stream.write_all(frames).await?;
        }
        match &self.script.then {
            Then::Hold => self.hold(&stream).await,
            Then::Drip(byte) => self.drip(&mut stream, *byte).await,
            Then::Sip => sip(&mut stream).await,
            Then::Repeat(bytes) => loop {
                stream.write_all(bytes).await?;
            },
            Then::Reset => stream.set_zero_linger(),
            Then::Ask(_) => Ok(()),
        }
    }

    async fn ask(&self, mut connection: Connection, request: fn(u64) -> Vec<u8>) -> io::Result<()> {
        loop {
            let request = request(self.tally.requests.fetch_add(1, Ordering::Relaxed));
            let (status, _) = connection.answer(&request).await?;
            self.tally.answered(status);
        }
    }

    async fn upgrade(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut answer = Vec::with_capacity(ANSWER_HEAD);
        while end_of_head(&answer).is_none() {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        match status(&answer) {
            Some(101) => Ok(()),
            other => {
                self.tally.answered(other.unwrap_or_default());
                Err(io::Error::other("the server did not upgrade the connection"))
            }
        }
    }

    /// Waits until the server closes the connection, and only then reads, for the status.
    async fn hold(&self, stream: &TcpStream) -> io::Result<()> {
        loop {
            // Bytes that have arrived make this return at once; hence the pause.
            let ready = timeout(SLOW, stream.ready(Interest::READABLE)).await;
            if let Ok(ready) = ready
                && ready?.is_read_closed()
            {
                return self.take_status(stream).map(drop);
            }
            sleep(SLOW).await;
        }
    }

    async fn drip(&self, stream: &mut TcpStream, byte: u8) -> io::Result<()> {
        loop {
            sleep(SLOW).await;
            stream.write_all(&[byte]).await?;
            if self.take_status(stream)? == Some(0) {
                return Ok(());
            }
        }
    }

    /// Reads what is there, and counts its status. Returns the number of bytes, `Some(0)` at the end of the stream.
    fn take_status(&self, stream: &TcpStream) -> io::Result<Option<usize>> {
        let mut answer = [0; ANSWER_HEAD];
        match stream.try_read(&mut answer) {
            Ok(length) => {
                if let Some(status) = status(&answer[..length]) {
                    self.tally.answered(status);
                }
                Ok(Some(length))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn sip(stream: &mut TcpStream) -> io::Result<()> {
    while stream.read(&mut [0]).await? > 0 {
        sleep(SLOW).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn connections_are_counted_opened_again_and_closed_at_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script {
            opening: b"x".to_vec(),
            upgraded: None,
            then: Then::Hold,
            receive_buffer: Some(SMALL_RECEIVE_BUFFER),
            again: Duration::from_millis(1),
        };
        let tally = Arc::new(Tally::default());
        let (script, attacker) = (Arc::new(script), Handle::current());
        let crowd = Crowd::start(&attacker, &script, &sources(true), address, 3, Duration::ZERO, &tally);
        let (mut first, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().to_string().rsplit_once('.').unwrap().0, "127.0.1");
        first.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        assert_eq!(first.read(&mut [0; 8]).await.unwrap(), 1);
        drop(first);
        let mut rest = Vec::new();
        for _ in 0..3 {
            rest.push(timeout(Duration::from_secs(20), listener.accept()).await.expect("opened again").unwrap().0);
        }
        // The fourth connection is accepted before its client counts it.
        let counted = async {
            while tally.opened() < 4 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), counted).await.expect("four connections are counted");
        assert_eq!((tally.most(), tally.opened(), tally.ended(), tally.attempted()), (3, 4, 1, 4));
        assert_eq!(tally.statuses(), BTreeMap::from([(408, 1)]));
        crowd.stop().await;
        let ended = timeout(Duration::from_secs(20), rest[2].read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "the connections are not closed");
    }
}
