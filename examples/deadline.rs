//! A deadline for each call: with `or` and a timer on any runtime, or with tokio's `timeout`.
//!
//! The time starts when a call starts, not while its item waits for a free place. A full stage keeps upstream calls
//! running, so if a call is late, the call itself was slow. A late call is dropped.
//!
//! A late call that blocks continues in its thread, and no longer counts against the stage's limit. In a `ThreadPool`,
//! the deadlines of other calls run while they wait for that thread. The example `blocking_deadline` solves both.

use std::time::Duration;

use async_io::Timer;
use flowlet::ordered;
use flowlet::prelude::*;
use futures_lite::future;

const DEADLINE: Duration = Duration::from_millis(50);

#[derive(Debug, PartialEq)]
struct Late(&'static str);

async fn fetch(url: &str) -> usize {
    if url == "/stuck" {
        future::pending::<()>().await; // a server that never answers
    }
    url.len()
}

/// The call or the timer, whichever is ready first. The other one is dropped.
async fn fetch_in_time(url: &'static str) -> Result<usize, Late> {
    let call = async { Ok(fetch(url).await) };
    let late = async {
        Timer::after(DEADLINE).await;
        Err(Late(url))
    };
    future::or(call, late).await
}

async fn fetch_in_time_on_tokio(url: &'static str) -> Result<usize, Late> {
    tokio::time::timeout(DEADLINE, fetch(url)).await.map_err(|_| Late(url))
}

fn main() {
    let urls = ["/", "/stuck", "/team"];
    let expected = [Ok(1), Err(Late("/stuck")), Ok(5)];

    let results = pipe(urls).map_concurrent(ordered(8), fetch_in_time).collect::<Vec<_>>();
    assert_eq!(smol::block_on(results), expected);

    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let results = pipe(urls).map_concurrent(ordered(8), fetch_in_time_on_tokio).collect::<Vec<_>>();
    assert_eq!(tokio.expect("tokio starts").block_on(results), expected);

    // Or as a reason to stop.
    let first = pipe(urls).map(Ok).try_map_concurrent(1, fetch_in_time).try_drain();
    assert_eq!(smol::block_on(first), Err(Late("/stuck")));
    println!("/stuck did not answer within {DEADLINE:?}");
}
