use std::io::Result;
use std::net::{self, SocketAddr};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use crate::executor::runtime;

/// An echo server on the loopback interface, in a thread of its own.
static SERVER: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.set_nonblocking(true).expect("it is a socket");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(|| runtime(Builder::new_current_thread().enable_all()).block_on(serve(listener)));
    address
});

/// Connections to the echo server that no call uses: of one runtime, since its reactor wakes for them.
#[derive(Debug)]
pub(crate) struct Connections(Mutex<Vec<TcpStream>>);

impl Connections {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a number, and returns what comes back.
    ///
    /// # Panics
    ///
    /// Panics if the server cannot be reached.
    pub(crate) async fn echo(&self, number: u64) -> u64 {
        self.try_echo(number).await.expect("the echo server answers")
    }

    async fn try_echo(&self, number: u64) -> Result<u64> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => TcpStream::connect(*SERVER).await?,
        };
        connection.set_nodelay(true)?;
        connection.write_all(&number.to_le_bytes()).await?;
        let mut bytes = [0; 8];
        connection.read_exact(&mut bytes).await?;
        self.idle().push(connection);
        Ok(u64::from_le_bytes(bytes))
    }
}

async fn serve(listener: net::TcpListener) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (mut connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut bytes = [0; 8];
            while connection.read_exact(&mut bytes).await.is_ok() {
                if connection.write_all(&bytes).await.is_err() {
                    break;
                }
            }
        });
    }
}
