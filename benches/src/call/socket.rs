use std::io::Result;
use std::net::{self, SocketAddr};
use std::sync::{LazyLock, Mutex, PoisonError};
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

/// Connections that no call uses. Those of one runtime only: `Executor::Timed`.
static IDLE: Mutex<Vec<TcpStream>> = Mutex::new(Vec::new());

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

/// Sends a number, and gives what comes back.
pub(super) async fn echo(number: u64) -> Result<u64> {
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut connection = match idle {
        Some(connection) => connection,
        None => TcpStream::connect(*SERVER).await?,
    };
    connection.set_nodelay(true)?;
    connection.write_all(&number.to_le_bytes()).await?;
    let mut bytes = [0; 8];
    connection.read_exact(&mut bytes).await?;
    IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    Ok(u64::from_le_bytes(bytes))
}
