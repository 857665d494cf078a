use std::sync::Arc;

use flowlet::prelude::*;
use flowlet::{in_task, in_thread};

struct Client;

impl Client {
    async fn get(&self, n: u32) -> u32 {
        n
    }

    fn spawned<'a>(&'a self) -> impl Stream<Item = u32> + 'a {
        pipe(1..=3).map_concurrent(8, in_thread(|n: u32| drop_of(self, n)))
    }
}

fn drop_of(_: &Client, n: u32) -> u32 {
    n
}

fn by_reference(client: Arc<Client>) -> impl Stream<Item = u32> + 'static {
    pipe(1..=3).map_concurrent(8, |n| client.get(n))
}

fn with_a_move(client: Arc<Client>) -> impl Stream<Item = u32> + 'static {
    pipe(1..=3).map_concurrent(8, move |n| client.get(n))
}

fn with_a_block(client: Arc<Client>) -> impl Stream<Item = u32> + 'static {
    pipe(1..=3).map_concurrent(8, move |n| async move { client.get(n).await })
}

fn with_an_async_closure(client: Arc<Client>) -> impl Stream<Item = u32> + 'static {
    pipe(1..=3).map_concurrent(8, async |n| client.get(n).await)
}

fn in_a_box(client: Arc<Client>) {
    let stream = pipe(1..=3).map_concurrent(8, async |n| client.get(n).await);
    let stored: Box<dyn Stream<Item = u32>> = Box::new(stream);
    keep(stored);
}

fn keep(_: Box<dyn Stream<Item = u32>>) {}

fn main() {
    let client = Arc::new(Client);
    drop(by_reference(client.clone()));
    drop(with_a_move(client.clone()));
    drop(with_a_block(client.clone()));
    drop(with_an_async_closure(client.clone()));
    drop(client.spawned());
    in_a_box(client);
    drop(in_task(smol::spawn, async |n: u32| n));
}

// says: closure may outlive the current function, but it borrows `client`
// says: captured variable cannot escape `FnMut` closure body
// says: cannot move out of `client`, a captured variable in an `FnMut` closure
// says: cannot return value referencing function parameter
// says: `client` does not live long enough
// says: borrowed data escapes outside of
