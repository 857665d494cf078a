use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::call::reactor;

/// What polls a contender. All but those of `workload::task` run on one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// A bare loop that lets the reactor take a turn whenever there is nothing to do: the price of
    /// the contender and of nothing else.
    Loop,

    /// A tokio runtime of one thread, with the reactor as one of its tasks: for peers that spawn.
    Tasks,

    /// The same without the reactor, for calls that other threads wake: it sleeps when it waits.
    Parked,

    /// The same with tokio's timers and sockets.
    Timed,
}

static PLAIN: LazyLock<Runtime> = LazyLock::new(|| runtime(&mut Builder::new_current_thread()));

static TIMED: LazyLock<Runtime> =
    LazyLock::new(|| runtime(Builder::new_current_thread().enable_all()));

pub(crate) fn runtime(builder: &mut Builder) -> Runtime {
    builder.build().expect("tokio starts")
}

impl Executor {
    /// Runs a future to its end.
    pub fn run<T>(self, future: impl Future<Output = T>) -> T {
        reactor::begin();
        match self {
            Self::Loop => spin(future),
            Self::Tasks => PLAIN.block_on(async {
                let reactor = tokio::spawn(async {
                    loop {
                        reactor::turn();
                        yield_now().await;
                    }
                });
                let output = future.await;
                reactor.abort();
                output
            }),
            Self::Parked => PLAIN.block_on(future),
            Self::Timed => TIMED.block_on(future),
        }
    }
}

fn spin<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => reactor::turn(),
        }
    }
}
