//! `ConcurrentStream` of futures-concurrency, which is consumed where it is made. (Of its consumers
//! only `for_each` keeps the limit: `collect` and `try_for_each` after `map` do not.)

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_concurrency::prelude::*;
use futures_concurrency::stream::StreamGroup;
use futures_util::{Stream, StreamExt, stream};

use super::refilled::{Group, refilled};
use crate::call::{Callable, even, expand, outputs};
use crate::{Executor, Tally, tally};

/// Its name in tables.
pub const NAME: &str = "futures-concurrency";

/// What polls it where the workload leaves the choice.
pub const EXECUTOR: Executor = Executor::Loop;

/// Calls `f` on so many items, and has `add` count what comes out.
async fn counted<F, Fut>(
    items: u64,
    limit: usize,
    f: F,
    add: impl Fn(&mut Tally, Fut::Output) + Copy,
) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future,
{
    let tally = Cell::new(Tally::default());
    stream::iter(0..items)
        .co()
        .limit(NonZeroUsize::new(limit))
        .map(f)
        .for_each(async |output| {
            let mut sum = tally.get();
            add(&mut sum, output);
            tally.set(sum);
        })
        .await;
    tally.get()
}

/// Calls `f` on so many items.
pub async fn map(items: u64, limit: usize, f: impl Callable) -> Tally {
    counted(items, limit, f, Tally::add).await
}

/// Keeps the even ones of the outputs: the consumer passes the others over.
pub async fn filter(items: u64, limit: usize, f: impl Callable) -> Tally {
    counted(items, limit, move |item| even(f(item)), Tally::add_all).await
}

/// Expands each output: the consumer gets the arrays.
pub async fn flat_map(items: u64, limit: usize, f: impl Callable) -> Tally {
    counted(items, limit, move |item| expand(f(item)), Tally::add_all).await
}

/// Expands each item, and calls `f` on what that gives: a `StreamGroup`, refilled by hand.
pub async fn flat_map_streams(items: u64, limit: usize, f: impl Callable) -> Tally {
    let expanded = (0..items).map(move |item| Box::pin(stream::iter(outputs(item)).then(f)));
    tally(refilled(Limited(StreamGroup::with_capacity(limit), limit), expanded)).await
}

/// A group of so many streams at most.
struct Limited<S: Stream>(StreamGroup<S>, usize);

impl<S: Stream + Unpin> Stream for Limited<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl<S: Stream + Unpin> Group<S> for Limited<S> {
    fn try_push(&mut self, stream: S) -> Result<(), S> {
        if self.0.len() == self.1 {
            return Err(stream);
        }
        self.0.insert(stream);
        Ok(())
    }
}
