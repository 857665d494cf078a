//! A stage in a form that the compiler can see through.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::room::Asks;
use super::{Call, Engine};
use crate::concurrency::Concurrency;
use crate::size_hint::SizeHint;

/// Polls an engine with the stage's function.
type PollStage<S, I, C, F, U> =
    fn(Pin<&mut Engine<S, I, C, U>>, &mut F, &mut Context<'_>) -> Poll<Option<U>>;

/// How a stage is polled, with and without a monitor.
pub(crate) struct Polls<S, I, C, F, U> {
    pub(crate) plain: PollStage<S, I, C, F, U>,
    #[cfg(feature = "monitor")]
    pub(crate) watched: PollStage<S, I, C, F, U>,
}

/// Makes both from one function, which polls the engine with the work made from the stage's function.
macro_rules! polls {
    (|$f:pat_param, $poll:ident| $body:expr) => {
        crate::engine::Polls {
            plain: |engine, $f, cx| {
                let $poll = |work| engine.poll_next(cx, work);
                $body
            },
            #[cfg(feature = "monitor")]
            watched: |engine, $f, cx| {
                let $poll = |work| engine.poll_watched(cx, work);
                $body
            },
        }
    };
}

pub(crate) use polls;

impl<S, I, C, F, U> Clone for Polls<S, I, C, F, U> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, I, C, F, U> Copy for Polls<S, I, C, F, U> {}

impl<S, I, C, F, U> Polls<S, I, C, F, U> {
    fn of(self, _concurrency: &Concurrency) -> PollStage<S, I, C, F, U> {
        #[cfg(feature = "monitor")]
        if _concurrency.watched.is_some() {
            return self.watched;
        }
        self.plain
    }
}

pin_project! {
    /// An engine with the function `F` of its stage.
    ///
    /// How the two are polled is stored as a value, so `Stream` for a stage has no bounds. Code that needs its items in
    /// a spawned future need not prove again, with lifetimes erased, that `F` returns what is stored in the engine.
    pub(crate) struct Stage<S, I, C, F, U> {
        #[pin]
        engine: Engine<S, I, C, U>,
        f: F,
        poll: PollStage<S, I, C, F, U>,
        size_hint: fn(&Engine<S, I, C, U>) -> SizeHint,
    }
}

impl<S, I, C, F, U> Stage<S, I, C, F, U> {
    #[track_caller]
    pub(crate) fn new(
        stream: S,
        concurrency: Concurrency,
        f: F,
        polls: Polls<S, I, C, F, U>,
    ) -> Self
    where
        S: Stream<Item = I>,
        C: Call<Output = U>,
    {
        let poll = polls.of(&concurrency);
        Self { engine: Engine::new(stream, concurrency), f, poll, size_hint: Engine::size_hint }
    }

    /// Makes the stage ask for more about each item, with another function.
    #[track_caller]
    pub(crate) fn asking<G>(
        self,
        asks: Asks,
        function: impl FnOnce(F) -> G,
        polls: Polls<S, I, C, G, U>,
    ) -> Stage<S, I, C, G, U>
    where
        S: Stream<Item = I>,
        C: Call<Output = U>,
    {
        let Self { mut engine, f, size_hint, .. } = self;
        engine.ask_for(asks);
        let poll = polls.of(engine.concurrency());
        Stage { engine, f: function(f), poll, size_hint }
    }

    #[inline]
    pub(crate) fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<U>> {
        let this = self.project();
        (this.poll)(this.engine, this.f, cx)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        (self.size_hint)(&self.engine)
    }

    pub(crate) fn function(&self) -> &F {
        &self.f
    }

    /// Returns both, for setting them up.
    pub(crate) fn parts(&mut self) -> (&mut Engine<S, I, C, U>, &mut F) {
        (&mut self.engine, &mut self.f)
    }

    pub(crate) fn engine(&self) -> &Engine<S, I, C, U> {
        &self.engine
    }
}

impl<S: fmt::Debug, I, C, F, U> Stage<S, I, C, F, U> {
    /// Writes a stage with the given name, and its contents.
    pub(crate) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt_stage(name, f)
    }
}
