//! A server between a program and the database, which loses confirmations.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::server::Database;

/// Returns how to connect through it. It does not pass on the first `losses` confirmations of an insert, which the
/// database sends after the commit, and closes both connections instead.
pub(crate) async fn forgetful(database: &Database, losses: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (socket, losses) = (database.server.socket(), Arc::new(AtomicUsize::new(losses)));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward(client, socket.clone(), losses.clone()));
        }
    });
    format!("host=127.0.0.1 port={port} user=postgres dbname={}", database.name)
}

async fn forward(client: TcpStream, socket: PathBuf, losses: Arc<AtomicUsize>) {
    let server = UnixStream::connect(socket).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = from_server.read(&mut buffer).await?;
            let answer = &buffer[..read];
            let is_insert = answer.windows(9).any(|bytes| bytes == b"INSERT 0 ");
            let one_less = |losses: usize| losses.checked_sub(1);
            if read == 0 || is_insert && losses.fetch_update(SeqCst, SeqCst, one_less).is_ok() {
                return Ok::<(), io::Error>(());
            }
            to_client.write_all(answer).await?;
        }
    };
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        _ = answers => {}
    }
}
