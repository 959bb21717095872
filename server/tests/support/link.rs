use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::TestDatabase;

/// A TCP link that a test can cut or freeze, to stand between the server and its database.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// Connections are closed, and new ones too.
    Cut,
    /// Connections stay open and carry nothing; new ones too.
    Frozen,
}

impl Link {
    pub(crate) async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, state) = watch::channel(State::Up);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, state) = (target.clone(), state.clone());
                tokio::spawn(carry(near, target, state));
            }
        });
        Self { address, state: sender }
    }

    /// Leads to the server of `database`, on PostgreSQL; also returns the URL of the database through the link.
    pub(crate) async fn before(database: &TestDatabase) -> (Self, String) {
        let (front, rest) = database.url().split_once('@').expect("the URL names a user");
        let (host, name) = rest.split_once('/').expect("the URL names a database");
        let link = Self::to(host.to_owned()).await;
        let url = format!("{front}@{}/{name}", link.address);
        (link, url)
    }

    /// Closes open connections and refuses new ones.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Carries nothing any more, and says so to neither side.
    pub(crate) fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }

    /// Works again for new connections. What was frozen is carried again, what was cut is gone.
    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Up);
    }
}

async fn carry(mut near: TcpStream, target: String, mut state: watch::Receiver<State>) {
    if *state.borrow_and_update() == State::Cut {
        return;
    }
    // A frozen link accepts and is silent.
    if state.wait_for(|state| *state != State::Frozen).await.is_err() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    let (mut up, mut down) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        let (read, from, to) = tokio::select! {
            read = near.read(&mut up) => (read, &up, &mut far),
            read = far.read(&mut down) => (read, &down, &mut near),
            changed = state.changed() => {
                if changed.is_err() || *state.borrow() == State::Cut { return }
                continue
            }
        };
        let Ok(read @ 1..) = read else { return };
        // What was read when the link froze is carried when it thaws.
        let Ok(now) = state.wait_for(|state| *state != State::Frozen).await.map(|state| *state) else { return };
        if now == State::Cut || to.write_all(&from[..read]).await.is_err() {
            return;
        }
    }
}
