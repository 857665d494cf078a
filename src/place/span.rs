//! The span that a call was made in, which goes with it to where it runs.

#[cfg(feature = "tracing")]
pub(crate) use self::on::CallSpan;

#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::CallSpan;

#[cfg(feature = "tracing")]
mod on {
    use std::future::Future;

    use tracing::{Instrument, Span};

    /// A span of `tracing`.
    pub(crate) struct CallSpan(Span);

    impl CallSpan {
        /// The span that is current.
        pub(crate) fn current() -> Self {
            Self(Span::current())
        }

        /// Runs a function in the span.
        pub(crate) fn run<T>(self, f: impl FnOnce() -> T) -> T {
            self.0.in_scope(f)
        }

        /// Has a future be polled and dropped in the span.
        pub(crate) fn follow<Fut: Future>(
            self,
            future: Fut,
        ) -> impl Future<Output = Fut::Output> + use<Fut> {
            future.instrument(self.0)
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use std::future::Future;

    /// Nothing, without the feature `tracing`.
    pub(crate) struct CallSpan;

    impl CallSpan {
        pub(crate) fn current() -> Self {
            Self
        }

        pub(crate) fn run<T>(self, f: impl FnOnce() -> T) -> T {
            f()
        }

        pub(crate) fn follow<Fut: Future>(self, future: Fut) -> Fut {
            future
        }
    }
}
