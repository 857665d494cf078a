//! A limit that two stages and other code share, and that is changed while they run.

use std::cell::Cell;
use std::time::Duration;

use flowlet::Semaphore;
use flowlet::prelude::*;
use smol::Timer;

/// A server that counts how many requests it is answering.
#[derive(Default)]
struct Server {
    now: Cell<usize>,
    peak: Cell<usize>,
}

impl Server {
    async fn ask(&self, id: u32) -> u32 {
        self.now.set(self.now.get() + 1);
        self.peak.set(self.peak.get().max(self.now.get()));
        Timer::after(Duration::from_millis(5)).await;
        self.now.set(self.now.get() - 1);
        id
    }
}

fn main() {
    let server = Server::default();
    let requests = Semaphore::new(2); // what the server allows, for all callers together

    let answered = smol::block_on(async {
        // Code outside the pipeline takes part.
        let permit = requests.acquire().await;
        server.ask(0).await;
        drop(permit);

        pipe(1..=60)
            .map_concurrent(&requests, |id| server.ask(id)) // look it up
            .inspect(|id| {
                if *id == 30 {
                    println!("peak so far: {}; the server has recovered", server.peak.get());
                    assert_eq!(server.peak.get(), 2);
                    requests.set_limit(8);
                }
            })
            .map_concurrent(&requests, |id| server.ask(id)) // confirm it
            .count()
            .await
    });

    println!("answered: {answered}; peak: {}", server.peak.get());
    assert_eq!(answered, 60);
    assert!(server.peak.get() <= 8);
    assert_eq!(requests.in_use(), 0);
}
