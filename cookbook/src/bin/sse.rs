//! Serves pages of a slow backend as server-sent events. Over all clients it has four calls at once, whether they
//! read, stop reading or leave.
//!
//! `cargo run -p cookbook --bin sse`, and then `curl -N http://127.0.0.1:3000/pages/20` in as many terminals as you
//! like.

use std::io;
use std::time::Duration;

use cookbook::sse::{App, router};
use flowlet::Semaphore;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Stands for a request to the backend.
async fn fetch(page: u32) -> String {
    sleep(Duration::from_millis(300)).await;
    format!("page {page}")
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let app = App::new(&Semaphore::new(4), fetch);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("curl -N http://{}/pages/20", listener.local_addr()?);
    axum::serve(listener, router(app)).await
}
