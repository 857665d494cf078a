//! What runs in a slot.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::size_hint::SizeHint;

/// A running call of a stage's function: a future, or the inner stream it opened.
pub(crate) trait Call {
    /// What the stage yields.
    type Output;

    /// Whether a call can have more than one output.
    const MANY: bool = false;

    /// Whether an output can [fail](Self::fails) the stage. If not, this costs nothing.
    const CAN_FAIL: bool = false;

    /// Bounds the number of outputs of an item whose call was not created yet.
    const OUTPUTS: SizeHint = (1, Some(1));

    /// Bounds the number of outputs still to come.
    fn size_hint(&self) -> SizeHint {
        Self::OUTPUTS
    }

    /// Continues the call.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Self::Output>>;

    /// Returns whether an output is the last one of the stage, for which everything else is dropped.
    #[inline]
    fn fails(_output: &Self::Output) -> bool {
        false
    }
}

/// How far a call got.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// The call yielded an output, and continues.
    Output(T),
    /// The call ended with this output.
    Last(T),
    /// The call ended without an output.
    End,
}
