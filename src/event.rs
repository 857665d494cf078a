//! What a monitor is told of a stage.

/// What happened in a stage.
#[cfg_attr(not(feature = "monitor"), expect(dead_code, reason = "nobody looks at it"))]
#[derive(Clone, Copy)]
pub(crate) enum Event {
    TurnBegins,
    /// The turn ends. If `direct`, with the output of the call that ended last, and nothing has run since.
    TurnEnds {
        state: State,
        direct: bool,
    },
    /// An item was pulled.
    Pulled,
    /// A call is about to be made.
    Begins,
    /// It was made, and is in this slot.
    RunsIn(u32),
    /// A call gave an output, and goes on.
    Made,
    /// The call in a slot came to its end.
    Ended(u32, Ended),
    /// The turn panicked. This is left: calls that run, and what waits. What is missing did.
    Panicked {
        running: usize,
        waiting: usize,
    },
    /// Others were dropped. This is left.
    Left {
        running: usize,
        waiting: usize,
    },
    /// What the stage failed with waits among the outputs.
    KeepsFailure,
    /// An output was yielded that is no failure.
    Yielded,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// With an output.
    Output,
    /// Without one, as a filter refused the item.
    Refused,
    /// As an inner stream does, whose outputs were made before.
    Closed,
    /// With what ends the stage.
    Failed,
}

/// What a stage waits for between two turns, or that it takes one.
#[cfg_attr(not(feature = "monitor"), expect(dead_code, reason = "nobody looks at it"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It was not polled yet, or is over.
    Idle,
    /// It takes a turn.
    Polled,
    /// It has room, and waits for items.
    Upstream,
    /// It has an item, and waits for a permit.
    Permit,
    /// It has as many calls as its limit allows, or no more items, and waits for calls.
    Calls,
    /// It has yielded an output, or has one to yield, and is not asked for more.
    Downstream,
}
