//! What is specific to a stage: the call that it creates from an item, and what it says about the item before.

use crate::event::Event;

/// What an engine asks its stage.
pub(crate) trait Work<I> {
    type Call;

    /// Whether events are reported.
    const WATCHED: bool = false;

    /// What an item is if it did not fail upstream.
    type Value;

    /// Returns `None` for an item that failed upstream. Its call ends at once, so it waits for nothing.
    fn value(item: &I) -> Option<&Self::Value>;

    /// Returns how much of the limit the call of an item takes.
    fn weight(&mut self, _value: &Self::Value) -> usize {
        1
    }

    /// Returns the key of an item, if its call has to wait for others with the same key.
    fn key(&mut self, _value: &Self::Value) -> Option<Key> {
        None
    }

    /// Releases a key that no item in flight has.
    fn forget(&mut self, _key: Key) {}

    fn start(&mut self, item: I) -> Self::Call;

    /// Reports an event.
    #[inline(always)]
    fn tell(&mut self, _event: Event) {}
}

/// The number of an item's key while the item is in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key(pub(crate) u32);

/// See [`start`].
pub(crate) struct Start<F>(F);

/// Creates work from a function that creates a call from an item.
#[inline(always)]
pub(crate) fn start<I, C, F: FnMut(I) -> C>(f: F) -> Start<F> {
    Start(f)
}

impl<I, C, F: FnMut(I) -> C> Work<I> for Start<F> {
    type Call = C;
    type Value = I;

    #[inline(always)]
    fn value(item: &I) -> Option<&I> {
        Some(item)
    }

    #[inline(always)]
    fn start(&mut self, item: I) -> C {
        (self.0)(item)
    }
}

/// See [`try_start`].
pub(crate) struct TryStart<F>(F);

/// Creates work from a function that creates a call from an item that may have failed upstream.
#[inline(always)]
pub(crate) fn try_start<T, E, C, F>(f: F) -> TryStart<F>
where
    F: FnMut(Result<T, E>) -> C,
{
    TryStart(f)
}

impl<T, E, C, F: FnMut(Result<T, E>) -> C> Work<Result<T, E>> for TryStart<F> {
    type Call = C;
    type Value = T;

    #[inline(always)]
    fn value(item: &Result<T, E>) -> Option<&T> {
        item.as_ref().ok()
    }

    #[inline(always)]
    fn start(&mut self, item: Result<T, E>) -> C {
        (self.0)(item)
    }
}

/// Work with a function that weighs an item.
pub(crate) struct Weigh<'a, W, G> {
    pub(crate) work: W,
    pub(crate) weight: &'a mut G,
}

impl<I, W, G> Work<I> for Weigh<'_, W, G>
where
    W: Work<I>,
    G: FnMut(&W::Value) -> usize,
{
    type Call = W::Call;
    type Value = W::Value;

    fn value(item: &I) -> Option<&W::Value> {
        W::value(item)
    }

    fn weight(&mut self, value: &W::Value) -> usize {
        (self.weight)(value)
    }

    fn key(&mut self, value: &W::Value) -> Option<Key> {
        self.work.key(value)
    }

    fn forget(&mut self, key: Key) {
        self.work.forget(key);
    }

    fn start(&mut self, item: I) -> W::Call {
        self.work.start(item)
    }
}

/// Work that reports to a monitor.
#[cfg(feature = "monitor")]
pub(super) struct Watched<'a, W> {
    pub(super) work: W,
    pub(super) recorder: &'a mut crate::monitor::Recorder,
}

#[cfg(feature = "monitor")]
impl<I, W: Work<I>> Work<I> for Watched<'_, W> {
    type Call = W::Call;
    type Value = W::Value;

    const WATCHED: bool = true;

    #[inline(always)]
    fn value(item: &I) -> Option<&W::Value> {
        W::value(item)
    }

    fn weight(&mut self, value: &W::Value) -> usize {
        self.work.weight(value)
    }

    fn key(&mut self, value: &W::Value) -> Option<Key> {
        self.work.key(value)
    }

    fn forget(&mut self, key: Key) {
        self.work.forget(key);
    }

    #[inline(always)]
    fn start(&mut self, item: I) -> W::Call {
        self.work.start(item)
    }

    #[inline(always)]
    fn tell(&mut self, event: Event) {
        self.recorder.record(event);
    }
}
