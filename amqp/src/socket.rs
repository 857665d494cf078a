//! TCP connections to a broker.
//!
//! They are made here, and not by the client library, whose thread for a connection outlives a connect
//! that is dropped: it waits for the peer, maybe for ever. A socket that is shut down ends it.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_io::{Async, Timer};
use futures_lite::future;
use lapin::tcp::{HandshakeResult, OwnedTLSConfig};
use lapin::uri::AMQPUri;

use crate::address::Address;

/// Connects to the first of the host's addresses that takes connections. Each gets its share of
/// `time`, so that one which does not answer leaves time for the others.
pub(crate) async fn connect(address: &Address, time: Duration) -> io::Result<TcpStream> {
    let authority = &address.uri.authority;
    let addresses = resolve(authority.host.clone(), authority.port).await?;
    let share = time / addresses.len().try_into().unwrap_or(u32::MAX).max(1);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        let late = async {
            Timer::after(share).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        match future::or(Async::<TcpStream>::connect(address), late).await {
            Ok(stream) => {
                let stream = stream.into_inner()?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn resolve(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let resolved = blocking::unblock(move || (host, port).to_socket_addrs()).await?;
    Ok(resolved.collect())
}

/// Has the client library take this stream, once, and encrypt it if the address says so.
pub(crate) fn handing_over(
    stream: TcpStream,
    trust: OwnedTLSConfig,
) -> impl Fn(&AMQPUri) -> HandshakeResult + Send + Sync {
    let stream = Mutex::new(Some(stream));
    #[cfg_attr(
        feature = "rustls",
        expect(clippy::result_large_err, reason = "the error is the client library's")
    )]
    move |uri| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = stream.ok_or(io::Error::from(io::ErrorKind::NotConnected))?;
        // The handshake of TLS is one of blocking calls, in the thread of the connection.
        stream.set_nonblocking(false)?;
        let mut stream = lapin::TcpStream::from_std(stream)?;
        if uri.scheme == lapin::uri::AMQPScheme::AMQPS {
            stream = stream.into_tls(&uri.authority.host, trust.as_ref())?;
        }
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

/// Shuts a connection down when it is dropped, unless it was let go before.
#[must_use = "a connection that nobody lets go is shut down"]
pub(crate) struct Guard {
    /// `None` once it is let go.
    stream: Option<TcpStream>,
}

impl Guard {
    pub(crate) fn new(stream: &TcpStream) -> io::Result<Self> {
        Ok(Self { stream: Some(stream.try_clone()?) })
    }

    pub(crate) fn let_go(mut self) {
        self.stream = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // It fails if the peer has closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
