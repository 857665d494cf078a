use std::time::Duration;

/// How long a failed job waits before it is tried again: each time equally long, or a time for each
/// failure, of which the last counts for all further ones.
///
/// # Examples
///
/// ```
/// use flowlet_amqp::worker::Waits;
/// use std::time::Duration;
///
/// let same = Waits::from(Duration::from_secs(30));
/// let longer = Waits::from([1, 60, 600].map(Duration::from_secs));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits(pub(super) Vec<Duration>);

impl From<Duration> for Waits {
    fn from(wait: Duration) -> Self {
        Self(vec![wait])
    }
}

impl<const N: usize> From<[Duration; N]> for Waits {
    fn from(waits: [Duration; N]) -> Self {
        Self(waits.to_vec())
    }
}

impl From<&[Duration]> for Waits {
    fn from(waits: &[Duration]) -> Self {
        Self(waits.to_vec())
    }
}

impl From<Vec<Duration>> for Waits {
    fn from(waits: Vec<Duration>) -> Self {
        Self(waits)
    }
}
