//! A network between Parlor and its database, which can fall silent or be cut.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// They arrive.
    Whole,
    /// They do not arrive, and connections stay open.
    Silent,
    /// Connections are closed, and new ones too.
    Cut,
}

/// Forwards connections to one address. Ends with its handle.
pub(super) struct Forwarder {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Its state.
    pub(super) network: watch::Sender<Network>,
    _accepting: JoinSet<()>,
}

impl Forwarder {
    /// Listens on a free port of 127.0.0.1.
    pub(super) async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (network, state) = watch::channel(Network::Whole);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(forward(stream, upstream, state.clone()));
            }
        });
        Ok(Self { address, network, _accepting: accepting })
    }
}

async fn forward(client: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<Network>) {
    if !is_whole(&mut state).await {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        _ = pump(from_client, to_server, state.clone()) => {}
        _ = pump(from_server, to_client, state) => {}
    }
}

/// Waits while the network is silent; `false`: it is cut.
async fn is_whole(state: &mut watch::Receiver<Network>) -> bool {
    state.wait_for(|network| *network != Network::Silent).await.is_ok_and(|network| *network == Network::Whole)
}

/// Copies one direction until its end, or until the network is cut.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<Network>) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    while is_whole(&mut state).await {
        let length = tokio::select! {
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Ok(()),
            },
            length = from.read(&mut buffer) => length?,
        };
        // What was read as the network fell silent arrives afterwards, as what is sent again would.
        if length == 0 || !is_whole(&mut state).await {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_silent_network_keeps_connections_and_a_cut_one_closes_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let forwarder = Forwarder::start(listener.local_addr().unwrap()).await.unwrap();
        let mut client = TcpStream::connect(forwarder.address).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        client.write_all(b"1").await.unwrap();
        server.read_exact(&mut byte).await.unwrap();
        forwarder.network.send_replace(Network::Silent);
        client.write_all(b"2").await.unwrap();
        assert!(timeout(Duration::from_millis(200), server.read_exact(&mut byte)).await.is_err());
        forwarder.network.send_replace(Network::Whole);
        timeout(Duration::from_secs(20), server.read_exact(&mut byte)).await.expect("bytes arrive again").unwrap();
        assert_eq!(byte, *b"2");
        forwarder.network.send_replace(Network::Cut);
        let closed = timeout(Duration::from_secs(20), client.read(&mut byte)).await.expect("it is closed");
        assert!(matches!(closed, Ok(0) | Err(_)));
    }
}
