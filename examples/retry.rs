//! Retries calls, with longer and longer waits in between, with the crate `backon`.

use std::cell::Cell;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use flowlet::prelude::*;
use smol::Timer;

#[derive(Debug, PartialEq)]
enum Failure {
    Busy,
    NotFound(u32),
}

/// A server that is busy most of the time, and counts requests.
#[derive(Default)]
struct Server {
    requests: Cell<u32>,
}

impl Server {
    async fn fetch(&self, id: u32) -> Result<u32, Failure> {
        self.requests.set(self.requests.get() + 1);
        match id {
            404 => Err(Failure::NotFound(id)),
            _ if self.requests.get() % 3 != 0 => Err(Failure::Busy),
            _ => Ok(id),
        }
    }
}

/// A call, which keeps its place while it waits: failures slow the stage down, as they should.
async fn fetch(server: &Server, id: u32) -> Result<u32, Failure> {
    let backoff = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(1))
        .with_max_delay(Duration::from_millis(8))
        .with_jitter() // so that calls that failed together are not retried together
        .with_max_times(100); // the default is 3
    (|| server.fetch(id))
        .retry(backoff)
        .sleep(Timer::after)
        .when(|failure| *failure == Failure::Busy) // retrying others would be pointless
        .await
}

fn main() {
    let server = Server::default();
    smol::block_on(async {
        let found = pipe(1..=20).map(Ok).try_map_concurrent(4, |id| fetch(&server, id));
        assert_eq!(found.try_drain().await, Ok(()));
        println!("20 items took {} requests", server.requests.get());
        assert_eq!(server.requests.get(), 60);

        let lost = pipe([404]).map(Ok).try_map_concurrent(4, |id| fetch(&server, id));
        assert_eq!(lost.try_drain().await, Err(Failure::NotFound(404)));
        assert_eq!(server.requests.get(), 61); // it was not retried
    });
}
