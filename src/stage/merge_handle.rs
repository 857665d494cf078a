use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use crate::engine::Signals;

/// A handle that adds streams to a running [`Merge`](crate::stage::Merge). Clones belong to the same one.
///
/// # Examples
///
/// ```
/// use flowlet::{MergeHandle, Pipe, merge, prelude::*};
/// use futures_lite::stream;
///
/// # futures_lite::future::block_on(async {
/// let mut merged = merge([stream::once(1)]);
/// let handle: MergeHandle<stream::Once<u32>> = merged.handle();
/// handle.add(stream::once(2)).unwrap();
/// drop(handle); // or it would not end
/// assert_eq!(merged.count().await, 2);
/// # });
/// ```
pub struct MergeHandle<S> {
    incoming: Arc<Incoming<S>>,
}

impl<S> MergeHandle<S> {
    pub(super) fn new(incoming: &Arc<Incoming<S>>) -> Self {
        incoming.state().handles += 1;
        Self { incoming: incoming.clone() }
    }

    /// Adds a stream.
    ///
    /// # Errors
    ///
    /// Returns the stream if the merged one was dropped or has ended, or if a handle was [closed](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::merge;
    /// use futures_lite::stream;
    ///
    /// let mut merged = merge([stream::once(1)]);
    /// let handle = merged.handle();
    /// assert!(handle.add(stream::once(2)).is_ok());
    /// drop(merged);
    /// assert!(handle.add(stream::once(3)).is_err());
    /// ```
    pub fn add(&self, stream: S) -> Result<(), S> {
        let mut state = self.incoming.state();
        if state.closed {
            return Err(stream);
        }
        state.streams.push(stream);
        drop(state);
        self.incoming.signals.wake_by_ref();
        Ok(())
    }

    /// Declares that nothing more will be added, with this handle or any other.
    ///
    /// Streams that were added before are still merged.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{merge, prelude::*};
    /// use futures_lite::stream;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut merged = merge([stream::once(1)]);
    /// let handle = merged.handle();
    /// handle.close();
    /// assert!(handle.add(stream::once(2)).is_err());
    /// assert_eq!(merged.count().await, 1);
    /// # });
    /// ```
    pub fn close(&self) {
        self.incoming.close();
    }
}

impl<S> Clone for MergeHandle<S> {
    fn clone(&self) -> Self {
        Self::new(&self.incoming)
    }
}

impl<S> Drop for MergeHandle<S> {
    fn drop(&mut self) {
        let mut state = self.incoming.state();
        state.handles -= 1;
        let last = state.handles == 0;
        drop(state);
        if last {
            self.incoming.signals.wake_by_ref();
        }
    }
}

impl<S> fmt::Debug for MergeHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergeHandle")
            .field("closed", &self.incoming.state().closed)
            .finish_non_exhaustive()
    }
}

/// Streams on their way from the handles to the merged stream.
pub(super) struct Incoming<S> {
    state: Mutex<State<S>>,

    /// Notified when the state has changed.
    signals: Arc<Signals>,
}

struct State<S> {
    streams: Vec<S>,
    handles: usize,

    /// Whether nothing is accepted any more.
    closed: bool,
}

impl<S> Incoming<S> {
    pub(super) fn new(signals: Arc<Signals>) -> Arc<Self> {
        let state = State { streams: Vec::new(), handles: 0, closed: false };
        Arc::new(Self { state: Mutex::new(state), signals })
    }

    /// Takes the streams that were added.
    pub(super) fn take(&self) -> Vec<S> {
        mem::take(&mut self.state().streams)
    }

    /// Returns whether more can be added.
    pub(super) fn is_open(&self) -> bool {
        let state = self.state();
        state.handles > 0 && !state.closed
    }

    /// Accepts nothing from now on.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.signals.wake_by_ref();
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        // No code that could leave it in an inconsistent state runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
