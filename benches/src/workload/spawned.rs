use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

use super::numbers;
use super::task::spawned;
use crate::call::Connections;
use crate::executor::runtime;
use crate::peer::{ForEach, Peer, each, join_set};
use crate::{Contender, Row, Tally, tally};

/// How many calls at once. Each has two descriptors on each runtime, of 1,024 or so.
const SIZES: [usize; 2] = [16, 64];

/// Whole pipelines that are tasks of tokio, as in a server: its budget and its reactor are theirs, and
/// their calls send eight bytes to an echo server and wait for them.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    let runtimes = [
        ("spawned on tokio's current thread", &CURRENT_THREAD),
        ("spawned on tokio, 2 workers", &TWO_WORKERS),
    ];
    runtimes.into_iter().flat_map(|(workload, client)| {
        SIZES.map(|in_flight| Row {
            workload,
            in_flight,
            items: 2_000,
            expected: Tally::of_numbers,
            contenders: contenders(in_flight, client),
        })
    })
}

/// A runtime, and what its calls talk to.
struct Client {
    runtime: LazyLock<Runtime>,
    connections: Connections,
}

static CURRENT_THREAD: Client = Client {
    runtime: LazyLock::new(|| runtime(Builder::new_current_thread().enable_all())),
    connections: Connections::new(),
};

static TWO_WORKERS: Client = Client {
    runtime: LazyLock::new(|| runtime(Builder::new_multi_thread().worker_threads(2).enable_all())),
    connections: Connections::new(),
};

struct Spawned {
    limit: usize,
    client: &'static Client,
}

impl ForEach for Spawned {
    fn of<P: Peer>(&self) -> Contender {
        let Self { limit, client } = *self;
        spawned(P::NAME, &client.runtime, move |items| {
            tally(P::map(numbers(items), limit, |item| client.connections.echo(item)))
        })
    }
}

fn contenders(limit: usize, client: &'static Client) -> Vec<Contender> {
    let mut contenders = each(&Spawned { limit, client });
    contenders.push(spawned(join_set::NAME, &client.runtime, move |items| {
        join_set::map(items, limit, |item| client.connections.echo(item))
    }));
    contenders
}
