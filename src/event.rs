//! What a stage reports to its monitor.

/// What happened in a stage.
#[cfg_attr(not(feature = "monitor"), expect(dead_code, reason = "only a monitor reads it"))]
#[derive(Clone, Copy)]
pub(crate) enum Event {
    TurnBegins,
    /// The turn ends. `direct` means with the output of the call that ended last, and nothing has run since.
    TurnEnds {
        state: State,
        direct: bool,
    },
    /// An item was pulled.
    Pulled,
    /// A call is about to start.
    Begins,
    /// It has started, and is in this slot.
    RunsIn(u32),
    /// A call yielded an output, and continues.
    Made,
    /// The call in a slot ended.
    Ended(u32, Ended),
    /// The turn panicked. This many running calls and waiting items and outputs are left; missing calls have panicked.
    Panicked {
        running: usize,
        waiting: usize,
    },
    /// Others were dropped. This many are left.
    Left {
        running: usize,
        waiting: usize,
    },
    /// The failure of the stage waits among the outputs.
    KeepsFailure,
    /// An output was yielded that is not a failure.
    Yielded,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// With an output.
    Output,
    /// Without one, because a filter rejected the item.
    Refused,
    /// As an inner stream does, whose outputs were reported before.
    Closed,
    /// With a failure that ends the stage.
    Failed,
}

/// What a stage waits for between two turns, or that it is being polled.
#[cfg_attr(not(feature = "monitor"), expect(dead_code, reason = "only a monitor reads it"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It was not polled yet, or has ended.
    Idle,
    /// It is being polled.
    Polled,
    /// It has room, and is waiting for items.
    Upstream,
    /// It has an item, and is waiting for a permit.
    Permit,
    /// It has as many calls as its limit allows, or no more items, and is waiting for calls.
    Calls,
    /// It has yielded an output, or has one to yield, and nobody asks for more.
    Downstream,
}
