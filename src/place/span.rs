//! The span that a call was made in, and who subscribes to it. They go with it to where it runs.

#[cfg(feature = "tracing")]
pub(crate) use self::on::CallSpan;

#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::CallSpan;

#[cfg(feature = "tracing")]
mod on {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use pin_project_lite::pin_project;
    use tracing::dispatcher::{Dispatch, get_default, with_default};
    use tracing::{Span, subscriber::NoSubscriber};

    /// A span of `tracing`, and the subscriber, which may be that of one scope.
    pub(crate) struct CallSpan {
        span: Span,
        /// `None` if there is none: then that of the thread stays.
        subscriber: Option<Dispatch>,
    }

    impl CallSpan {
        /// The span that is current.
        pub(crate) fn current() -> Self {
            let subscriber =
                get_default(|current| (!current.is::<NoSubscriber>()).then(|| current.clone()));
            Self { span: Span::current(), subscriber }
        }

        /// Runs a function in the span.
        pub(crate) fn run<T>(&self, f: impl FnOnce() -> T) -> T {
            match &self.subscriber {
                Some(subscriber) => with_default(subscriber, || self.span.in_scope(f)),
                None => f(),
            }
        }

        /// Has a future be polled and dropped in the span.
        pub(crate) fn follow<Fut: Future>(self, future: Fut) -> Follow<Fut> {
            Follow { future: Some(future), span: self }
        }
    }

    pin_project! {
        /// A future that is polled and dropped in a span.
        pub(crate) struct Follow<Fut> {
            #[pin]
            future: Option<Fut>,
            span: CallSpan,
        }

        impl<Fut> PinnedDrop for Follow<Fut> {
            fn drop(this: Pin<&mut Self>) {
                let mut this = this.project();
                this.span.run(|| this.future.set(None));
            }
        }
    }

    impl<Fut: Future> Future for Follow<Fut> {
        type Output = Fut::Output;

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
            let this = self.project();
            let future = this.future.as_pin_mut().expect("it is there until the drop");
            this.span.run(|| future.poll(cx))
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

        pub(crate) fn run<T>(&self, f: impl FnOnce() -> T) -> T {
            f()
        }

        pub(crate) fn follow<Fut: Future>(self, future: Fut) -> Fut {
            future
        }
    }
}
