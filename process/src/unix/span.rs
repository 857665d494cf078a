//! The span that a call was made in, which goes with it to its worker.

#[cfg(feature = "tracing")]
pub(crate) use self::on::{CallSpan, Subscriber};

#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::{CallSpan, Subscriber};

#[cfg(feature = "tracing")]
mod on {
    use tracing::Span;
    use tracing::dispatcher::{self, Dispatch};

    /// Who is told of spans and events on a thread.
    pub(crate) struct Subscriber(Dispatch);

    impl Subscriber {
        /// The one of this thread.
        pub(crate) fn current() -> Self {
            Self(dispatcher::get_default(Dispatch::clone))
        }

        /// Runs a function with it.
        pub(crate) fn run<T>(self, f: impl FnOnce() -> T) -> T {
            dispatcher::with_default(&self.0, f)
        }
    }

    /// A span of `tracing`.
    pub(crate) struct CallSpan(Span);

    impl CallSpan {
        /// The span that is current.
        pub(crate) fn current() -> Self {
            Self(Span::current())
        }

        /// What it is known by in other processes, if it is enabled.
        pub(crate) fn id(&self) -> Option<u64> {
            self.0.id().map(|id| id.into_u64())
        }

        /// The span of a call in a worker, of a function, for the one with this id in the caller.
        pub(crate) fn in_worker(function: &str, caller: Option<u64>) -> Self {
            Self(tracing::info_span!("in_process", function, caller))
        }

        /// Runs a function in the span.
        pub(crate) fn run<T>(self, f: impl FnOnce() -> T) -> T {
            self.0.in_scope(f)
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    /// Nothing, without the feature `tracing`.
    pub(crate) struct Subscriber;

    impl Subscriber {
        pub(crate) fn current() -> Self {
            Self
        }

        pub(crate) fn run<T>(self, f: impl FnOnce() -> T) -> T {
            f()
        }
    }

    /// Nothing, without the feature `tracing`.
    pub(crate) struct CallSpan;

    impl CallSpan {
        pub(crate) fn current() -> Self {
            Self
        }

        pub(crate) fn id(&self) -> Option<u64> {
            None
        }

        pub(crate) fn in_worker(_: &str, _: Option<u64>) -> Self {
            Self
        }

        pub(crate) fn run<T>(self, f: impl FnOnce() -> T) -> T {
            f()
        }
    }
}
