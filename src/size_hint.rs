//! Sums of [`size_hint`](futures_lite::Stream::size_hint)s.

/// The bounds of a number of items.
pub(crate) type SizeHint = (usize, Option<usize>);

/// A number that is known.
pub(crate) fn exactly(number: usize) -> SizeHint {
    (number, Some(number))
}

/// Adds two numbers.
pub(crate) fn add_hints(one: SizeHint, other: SizeHint) -> SizeHint {
    let upper = match (one.1, other.1) {
        (Some(one), Some(other)) => one.checked_add(other),
        _ => None,
    };
    (one.0.saturating_add(other.0), upper)
}
