//! The connection between a semaphore and its policy.

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

/// Turns what a semaphore reports into samples, and has the policy set its limit.
///
/// A thread that finds the policy at the desk takes it, and also lets it process what other threads leave there
/// meanwhile. So the policy sees one sample at a time, no lock is held while it runs, and it may use the semaphore.
pub(super) struct Control {
    pub(super) range: RangeInclusive<usize>,

    clock: Box<dyn Fn() -> Instant + Send + Sync>,

    start: Instant,

    /// How many of the next samples are overloads.
    overloads: AtomicUsize,

    desk: Mutex<Desk>,
}

struct Desk {
    /// `None` while a thread is running it.
    policy: Option<Box<dyn Policy>>,

    /// Samples that it has not seen yet.
    waiting: VecDeque<Sample>,
}

// No panic leaves it in an inconsistent state, and it documents what happens to one.
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
        // No code that could leave it in an inconsistent state runs under the lock.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a sample to the policy, and sets the limit that it returns.
    fn update(&self, policy: &mut dyn Policy, mut sample: Sample, shared: &Shared) {
        sample.limit = shared.limit();
        if sample.limit == 0 {
            return; // It is paused, and only whoever paused it resumes it.
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
