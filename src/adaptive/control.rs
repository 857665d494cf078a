//! What is between a semaphore and its policy.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::policy::{Policy, Sample};
use crate::panics::first_panic;
use crate::semaphore::Shared;
use crate::semaphore::watch::{State, Use, Watch};
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering};

/// Makes samples of what a semaphore tells, and has the policy set its limit.
///
/// Whoever finds the policy at its desk takes it along, and has it work off what others leave there
/// meanwhile. So it works on one sample at a time, no lock is held while it does, and it may use the semaphore.
pub(super) struct Control {
    pub(super) range: RangeInclusive<usize>,

    clock: Box<dyn Fn() -> Instant + Send + Sync>,

    start: Instant,

    /// How many of the next samples are of calls for which there was too much to do.
    overloads: AtomicUsize,

    desk: Mutex<Desk>,
}

struct Desk {
    /// `None` while someone has it work.
    policy: Option<Box<dyn Policy>>,

    /// What it has not seen yet.
    waiting: VecDeque<Sample>,
}

// It is nowhere left half-changed by a panic, and says what becomes of one.
impl UnwindSafe for Control {}
impl RefUnwindSafe for Control {}

impl Control {
    pub(super) fn new(
        range: RangeInclusive<usize>,
        policy: Box<dyn Policy>,
        clock: Box<dyn Fn() -> Instant + Send + Sync>,
    ) -> Self {
        let start = clock();
        let desk = Mutex::new(Desk { policy: Some(policy), waiting: VecDeque::new() });
        Self { range, clock, start, overloads: AtomicUsize::new(0), desk }
    }

    pub(super) fn overloaded(&self) {
        self.overloads.fetch_add(1, Ordering::Relaxed);
    }

    fn take_overload(&self) -> bool {
        let less = |count: usize| count.checked_sub(1);
        self.overloads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // No code that could leave it half-changed runs under the lock.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the policy a sample, and sets the limit to what it says.
    fn update(&self, policy: &mut dyn Policy, mut sample: Sample, shared: &Shared) {
        sample.limit = shared.limit();
        if sample.limit == 0 {
            return; // It is paused, which only who has paused it ends.
        }
        let limit = policy.update(&sample).clamp(*self.range.start(), *self.range.end());
        if limit != sample.limit {
            shared.set_limit(limit);
        }
    }
}

impl Watch for Control {
    fn now(&self) -> u64 {
        let now = (self.clock)().saturating_duration_since(self.start);
        u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
    }

    fn over(&self, shared: &Shared, used: Use) {
        let now = self.now();
        let overloaded = self.take_overload() || used.state == State::Overloaded;
        let mut sample = Sample {
            latency: Duration::from_nanos(now.saturating_sub(used.since)),
            in_use: used.in_use as usize,
            limit: 0,
            overloaded,
            now: Duration::from_nanos(now),
        };
        let mut desk = self.desk();
        let Some(mut policy) = desk.policy.take() else {
            desk.waiting.push_back(sample);
            return;
        };
        drop(desk);
        let mut worked = Ok(());
        loop {
            let update = AssertUnwindSafe(|| self.update(&mut *policy, sample, shared));
            worked = first_panic(worked, catch_unwind(update));
            let mut desk = self.desk();
            let Some(next) = desk.waiting.pop_front() else {
                desk.policy = Some(policy);
                break;
            };
            sample = next;
        }
        if let Err(panic) = worked {
            resume_unwind(panic);
        }
    }
}
