use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::FusedStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::styles::styles;
use crate::FlowExt;
use crate::engine::is_advance;
use crate::event::{Event, State};
use crate::monitor::{Point, Recorder};
use crate::size_hint::SizeHint;

pin_project! {
    /// Stream returned by [`FlowExt::monitored`].
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Monitor;
    /// use flowlet::prelude::*;
    /// use flowlet::stage::Monitored;
    /// use futures_lite::stream;
    ///
    /// let monitor = Monitor::new();
    /// let rows: Monitored<stream::Repeat<u8>> = stream::repeat(0).monitored(monitor.point("rows"));
    /// # drop(rows);
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct Monitored<S> {
        #[pin]
        stream: S,
        recorder: Recorder,
    }
}

impl<S> Monitored<S> {
    pub(crate) fn new(stream: S, point: &Point) -> Self {
        Self { stream, recorder: point.recorder() }
    }
}

/// One poll. It ends when this is dropped, even by a panic.
struct Turn<'a> {
    recorder: &'a mut Recorder,
    state: State,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.recorder.record(Event::TurnEnds { state: self.state, direct: false });
    }
}

impl<S: Stream> Stream for Monitored<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        this.recorder.record(Event::TurnBegins);
        let mut turn = Turn { recorder: this.recorder, state: State::Downstream };
        let polled = this.stream.poll_next(cx);
        turn.state = match polled {
            Poll::Ready(Some(_)) => {
                turn.recorder.record(Event::Pulled);
                turn.recorder.record(Event::Yielded);
                State::Downstream
            }
            Poll::Ready(None) => State::Idle,
            Poll::Pending if is_advance(cx.waker()) => State::Downstream,
            Poll::Pending => State::Upstream,
        };
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
    }
}

impl<S: FusedStream> FusedStream for Monitored<S> {
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}

impl<S: fmt::Debug> fmt::Debug for Monitored<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitored").field("upstream", &self.stream).finish_non_exhaustive()
    }
}

styles! {
    /// Observes the stream at a point: see [`FlowExt::monitored`].
    fn monitored(point: Point = point;);

    flow [U: Send + 'static] U => [] U
    where []
    by |stream| stream.monitored(point.clone());

    functional [S] impl Fn(S) -> Monitored<S>
    where [S: Stream]
    by |stream| stream.monitored(point.clone());
}
