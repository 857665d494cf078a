//! Functions that borrow their items.

use std::sync::Arc;

use futures_lite::Stream;

use crate::engine::{Asks, Call, Polls, Stage};

/// A function that borrows its item across awaits, for calls whose futures own both. `W` weighs items, or is `()`.
pub(super) struct Borrowing<F, T, Fut, W = ()> {
    pub(super) f: Arc<F>,

    /// Creates the future of a call, for code that does not know its type.
    pub(super) call: fn(T, Arc<F>) -> Fut,

    pub(super) weight: W,
}

impl<F, T, Fut> Borrowing<F, T, Fut> {
    pub(super) fn new(f: F, call: fn(T, Arc<F>) -> Fut) -> Self {
        Self { f: Arc::new(f), call, weight: () }
    }
}

impl<S, I, C, F, T, Fut, U> Stage<S, I, C, Borrowing<F, T, Fut>, U> {
    /// Weighs the calls by `weight`.
    #[track_caller]
    pub(super) fn borrowing_weighed<W>(
        self,
        weight: W,
        polls: Polls<S, I, C, Borrowing<F, T, Fut, W>, U>,
    ) -> Stage<S, I, C, Borrowing<F, T, Fut, W>, U>
    where
        S: Stream<Item = I>,
        C: Call<Output = U>,
    {
        let function = |Borrowing { f, call, .. }| Borrowing { f, call, weight };
        self.asking(Asks::Weight, function, polls)
    }
}
