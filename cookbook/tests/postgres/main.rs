//! The programs that use PostgreSQL. Their tests are one program because they share the server that they start.

mod etl;
mod keyed_queue;
mod proxy;
mod server;

use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// Fails rather than hangs.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(120), future).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let asked = async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, asked).await;
}

/// Serves on a port of its own for as long as the test runs. Returns the URL.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}
