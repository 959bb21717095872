//! A proxy between a server and PostgreSQL that counts the messages of the protocol and cuts or freezes between two.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// The type byte of the first message of a connection, which has none.
const STARTUP: u8 = 0;

/// What happens at the chosen message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Its connection is closed and the message is not delivered.
    Before,
    /// It is delivered, and its connection is closed before anything comes back.
    After,
    /// Nothing is delivered any more in either direction, on any connection; all sockets stay open. New connections are
    /// accepted and not answered.
    Freeze,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    cut: Cut,
    /// The first message that is cut, counted from 1 since the plan was made.
    first: u64,
    last: u64,
    seen: u64,
    done: u64,
}

/// A proxy on a port of its own. Passes everything until [`Self::arm`] is called.
pub(crate) struct MessageProxy {
    pub(crate) address: SocketAddr,
    plan: Arc<Mutex<Option<Plan>>>,
    frozen: watch::Sender<bool>,
}

impl MessageProxy {
    /// In front of the server at `target`, which must not speak TLS on these connections.
    pub(crate) async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::<Mutex<Option<Plan>>>::default();
        let (frozen, _) = watch::channel(false);
        let (shared, gate) = (plan.clone(), frozen.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target.clone(), shared.clone(), gate.clone()));
            }
        });
        Self { address, plan, frozen }
    }

    /// Cuts at the `first` message that the server's side sends, counted from 1 and from now on over all connections, and
    /// at `count - 1` after it.
    pub(crate) fn arm(&self, cut: Cut, first: u64, count: u64) {
        let last = first.saturating_add(count - 1);
        *self.plan.lock().unwrap() = Some(Plan { cut, first, last, seen: 0, done: 0 });
    }

    /// Lets everything pass again, what is frozen included; returns how many messages were cut.
    pub(crate) fn disarm(&self) -> u64 {
        let done = self.plan.lock().unwrap().take().map_or(0, |plan| plan.done);
        self.frozen.send_replace(false);
        done
    }
}

/// What becomes of the next message.
fn next(plan: &Mutex<Option<Plan>>) -> Option<Cut> {
    let mut plan = plan.lock().unwrap();
    let plan = plan.as_mut()?;
    plan.seen += 1;
    let struck = (plan.first..=plan.last).contains(&plan.seen);
    plan.done += u64::from(struck);
    struck.then_some(plan.cut)
}

async fn carry(near: TcpStream, target: String, plan: Arc<Mutex<Option<Plan>>>, frozen: watch::Sender<bool>) {
    let mut gate = frozen.subscribe();
    if gate.wait_for(|frozen| !frozen).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    // Whichever ends first takes the other along, and with them all four halves.
    tokio::select! {
        _ = requests(near_in, far_out, &plan, &frozen) => {}
        _ = answers(far_in, near_out, frozen.subscribe()) => {}
    }
}

/// Carries what the server's side sends, one whole message at a time.
async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Mutex<Option<Plan>>,
    frozen: &watch::Sender<bool>,
) -> std::io::Result<()> {
    let mut gate = frozen.subscribe();
    let mut is_first = true;
    loop {
        let kind = if is_first { STARTUP } else { from.read_u8().await? };
        let length = from.read_u32().await?;
        let mut message = Vec::new();
        if kind != STARTUP {
            message.push(kind);
        }
        message.extend_from_slice(&length.to_be_bytes());
        let head = message.len();
        // The length counts itself.
        message.resize(head + usize::try_from(length).unwrap().saturating_sub(4), 0);
        from.read_exact(&mut message[head..]).await?;
        is_first = false;
        match next(plan) {
            Some(Cut::Before) => return Ok(()),
            Some(Cut::After) => {
                to.write_all(&message).await?;
                // PostgreSQL works on it although the connection ends.
                return to.shutdown().await;
            }
            Some(Cut::Freeze) => {
                frozen.send_replace(true);
            }
            None => {}
        }
        if gate.wait_for(|frozen| !frozen).await.is_err() {
            return Ok(());
        }
        to.write_all(&message).await?;
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut gate: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 || gate.wait_for(|frozen| !frozen).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
