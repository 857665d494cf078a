//! Sums of [`size_hint`](futures_lite::Stream::size_hint)s.

/// The bounds of a number of items.
pub(crate) type SizeHint = (usize, Option<usize>);

/// A number that is known exactly.
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

/// Multiplies a number of items by what each contributes.
pub(crate) fn times(items: SizeHint, each: SizeHint) -> SizeHint {
    let upper = match (items.1, each.1) {
        (Some(0), _) => Some(0),
        (Some(items), Some(each)) => items.checked_mul(each),
        _ => None,
    };
    (items.0.saturating_mul(each.0), upper)
}

/// Returns the hint of a stream that may end early with an error, which takes the place of an item.
pub(crate) fn until_error(items: SizeHint) -> SizeHint {
    (items.0.min(1), items.1)
}
