use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Why there was no connection, and since when.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loss {
    /// When it was lost, or could not be made.
    pub at: SystemTime,
    /// What the client library or the broker said.
    pub reason: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.elapsed().unwrap_or_default().as_secs();
        write!(f, "{seconds} s ago: {}", self.reason)
    }
}

/// The connections that were lost, or could not be made.
#[derive(Default)]
pub(crate) struct Losses {
    state: Mutex<(u64, Option<Loss>)>,
}

impl Losses {
    pub(crate) fn add(&self, reason: impl fmt::Display) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        state.1 = Some(Loss { at: SystemTime::now(), reason: reason.to_string() });
    }

    /// How many there were, and the last.
    pub(crate) fn read(&self) -> (u64, Option<Loss>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
