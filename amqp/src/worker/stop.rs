//! Being told to stop.

use std::convert::Infallible;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_io::Timer;
use futures_lite::future;

/// How long the broker may take to confirm something when the worker was told to stop. It takes
/// milliseconds, or for ever if it is short of memory, or the queue is full.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);

/// Whether the worker was told to stop, for all who want to know.
#[derive(Clone)]
pub(crate) struct Stopping {
    told: Receiver<Infallible>,
}

/// Tells it, when it is dropped if not before.
pub(crate) struct Tell {
    tell: Sender<Infallible>,
}

impl Stopping {
    pub(crate) fn new() -> (Tell, Self) {
        let (tell, told) = async_channel::bounded(1);
        (Tell { tell }, Self { told })
    }

    pub(crate) async fn told(&self) {
        _ = self.told.recv().await;
    }

    /// Resolves to what comes of something that waits for the broker, unless that is not there within some
    /// time after the worker was told to stop.
    pub(crate) async fn unless_late<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let late = async {
            self.told().await;
            Timer::after(CONFIRM_WITHIN).await;
            None
        };
        future::or(async { Some(answer.await) }, late).await
    }
}

impl Tell {
    pub(crate) fn tell(&self) {
        self.tell.close();
    }
}
