use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A proxy that cuts connections wherever a byte may be: in a handshake, in a frame, between a commit and its
/// acknowledgement. Knows nothing of what it carries.
pub(crate) struct Chaos {
    pub(crate) address: SocketAddr,
    cuts: Arc<AtomicUsize>,
}

impl Chaos {
    /// To `target`: cuts `cuts` connections, each after fewer than `bytes` bytes, and then no more.
    pub(crate) async fn to(target: SocketAddr, cuts: usize, bytes: usize, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let random = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let counter = done.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let (random, counter) = (random.clone(), counter.clone());
                tokio::spawn(async move {
                    let left = random.lock().unwrap().random_range(0..bytes);
                    if carry(near, far, left, || counter.load(Ordering::Relaxed) < cuts).await {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { address, cuts: done }
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Carries bytes both ways, and stops in the middle after `left` of them if it `may` still; tells whether it did.
async fn carry(mut near: TcpStream, mut far: TcpStream, mut left: usize, may: impl Fn() -> bool) -> bool {
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        let (read, from, to) = tokio::select! {
            read = near.read(&mut up) => (read, &up, &mut far),
            read = far.read(&mut down) => (read, &down, &mut near),
        };
        let Ok(read @ 1..) = read else { return false };
        let cut = read >= left && may();
        let carried = if cut { left } else { read };
        if to.write_all(&from[..carried]).await.is_err() {
            return false;
        }
        if cut {
            return true;
        }
        left = left.saturating_sub(read);
    }
}
