use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

use super::numbers;
use super::shared::Shared;
use super::task::spawned;
use crate::call::{Callable, Connections, Visit};
use crate::executor::runtime;
use crate::peer::{Peer, join_set};
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
            workload: workload.to_owned(),
            in_flight,
            items: 2_000,
            expected: Tally::of_numbers,
            contenders: Spawned { limit: in_flight, runtime: &client.runtime }
                .visit(|item| client.connections.echo(item)),
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

#[derive(Clone, Copy)]
struct Spawned {
    limit: usize,
    runtime: &'static LazyLock<Runtime>,
}

impl Shared for Spawned {
    fn of<P: Peer>(self, f: impl Callable) -> Contender {
        let Self { limit, runtime } = self;
        spawned(P::NAME, runtime, move |items| tally(P::map(numbers(items), limit, f)))
    }

    fn whole(self, f: impl Callable) -> Vec<Contender> {
        let Self { limit, runtime } = self;
        vec![spawned(join_set::NAME, runtime, move |items| join_set::map(items, limit, f))]
    }
}
