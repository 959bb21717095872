//! The address of a server, taken before anything is stored and listened on once everything is ready.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use crate::base::error::{Error, Result};

/// Connections that wait in the kernel to be accepted. The kernel lowers it to its own bound (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;

/// An address that is taken and refuses connections until [`Self::listen`] is called.
#[derive(Debug)]
pub struct BoundPort {
    socket: TcpSocket,
    address: SocketAddr,
}

impl BoundPort {
    /// Takes `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error::Invalid`] with a sentence, such as when another program listens there.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A server that was stopped a moment ago does not block the address.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        bind().map_err(|error| cannot_listen(address, &error))
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets connections come. A burst of them waits in the kernel: up to 4,096, if `net.core.somaxconn` allows.
    ///
    /// # Errors
    /// [`Error::Invalid`] with a sentence: of two processes that have taken one address, the second to listen fails.
    pub fn listen(self) -> Result<TcpListener> {
        self.socket.listen(BACKLOG).map_err(|error| cannot_listen(self.address, &error))
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Error {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address".to_owned(),
        io::ErrorKind::PermissionDenied => "the process may not use the port".to_owned(),
        _ => error.to_string(),
    };
    Error::Invalid(format!("cannot listen on {address}: {reason}; --listen takes another address"))
}
