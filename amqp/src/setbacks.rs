//! Connections that are ended by what comes on them.
//!
//! There may be a message that ends each connection it comes on, and all others that were taken beside it
//! come back with it, each time nearer to their delivery limit. So if a connection ends because what came
//! could not be read, or if several end before any of their jobs was answered, there are waits between,
//! and jobs are taken one at a time, as many as would have been taken at once. Then only that message
//! comes back, and the broker moves it away when its limit is reached.

use std::time::Duration;

use crate::connector::backoff;
use crate::intake::End;

/// How many connections that were of no use are chance.
const CHANCE: u32 = 1;

/// A connection that lasted so long was not ended by what came on it.
const LASTED: Duration = Duration::from_secs(30);

pub(crate) struct Setbacks {
    /// Connections in a row that were of no use.
    in_a_row: u32,
    is_unreadable: bool,
    waits: Box<dyn Iterator<Item = Duration> + Send>,
    wait: Duration,
}

impl Default for Setbacks {
    fn default() -> Self {
        let waits = Box::new(backoff());
        Self { in_a_row: 0, is_unreadable: false, waits, wait: Duration::ZERO }
    }
}

impl Setbacks {
    /// How long to wait before the next connection.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// How many jobs to take alone at first, of one that usually takes so many at once.
    pub(crate) fn alone(&self, usual: u16) -> u16 {
        let is_suspicious = self.is_unreadable || self.in_a_row > CHANCE;
        if is_suspicious && usual > 1 { usual } else { 0 }
    }

    /// A connection ended: how, whether a job of it was answered, and how long it lasted.
    pub(crate) fn ended(&mut self, end: End, was_of_use: bool, lasted: Duration) {
        if was_of_use || lasted >= LASTED {
            *self = Self::default();
        }
        self.is_unreadable = end == End::Unreadable;
        if self.is_unreadable {
            tracing::warn!("a message came that cannot be read, taking one at a time");
        }
        if was_of_use || lasted >= LASTED {
            return;
        }
        self.in_a_row += 1;
        self.wait = self.waits.next().unwrap_or(self.wait);
        if self.in_a_row == CHANCE + 1 {
            tracing::warn!("connections end before a job is done, taking one at a time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn jobs_come_alone_after_longer_and_longer_waits_until_one_is_answered() {
        let mut setbacks = Setbacks::default();
        assert_eq!((setbacks.wait(), setbacks.alone(16)), (Duration::ZERO, 0));
        setbacks.ended(End::Lost, false, SHORT);
        assert!(setbacks.wait() >= Duration::from_millis(50));
        assert_eq!(setbacks.alone(16), 0);
        for _ in 0..20 {
            setbacks.ended(End::Lost, false, SHORT);
            assert_eq!((setbacks.alone(16), setbacks.alone(1)), (16, 0));
        }
        assert!(setbacks.wait() >= Duration::from_secs(2));
        for (was_of_use, lasted) in [(true, SHORT), (false, LASTED)] {
            setbacks.ended(End::Lost, false, SHORT);
            setbacks.ended(End::Lost, was_of_use, lasted);
            assert_eq!((setbacks.wait(), setbacks.alone(16)), (Duration::ZERO, 0));
        }
    }

    #[test]
    fn what_cannot_be_read_has_them_come_alone_at_once() {
        let mut setbacks = Setbacks::default();
        setbacks.ended(End::Unreadable, true, SHORT);
        assert_eq!((setbacks.wait(), setbacks.alone(16)), (Duration::ZERO, 16));
        setbacks.ended(End::Unreadable, false, SHORT);
        assert!(setbacks.wait() > Duration::ZERO);
        assert_eq!(setbacks.alone(16), 16);
    }
}
