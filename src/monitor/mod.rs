//! Observing what the stages of a pipeline do.
//!
//! A [`Monitor`] is attached to the limit of a stage: `monitor.stage("fetch", 20)` is a limit, just as `20` is.

mod bottleneck;
#[cfg(feature = "metrics")]
mod export;
mod histogram;
mod point;
mod rate;
mod recorder;
mod run;
#[cfg(feature = "serde")]
mod seconds;
mod snapshot;
mod table;
mod text;
#[cfg(feature = "tracing")]
mod trace;

use std::collections::BTreeMap;
use std::fmt;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

pub use self::bottleneck::{Bottleneck, BottleneckKind};
pub use self::point::Point;
pub(crate) use self::recorder::Recorder;
use self::run::Run;
use self::snapshot::{Counted, Totals};
pub use self::snapshot::{Durations, Snapshot, StageSnapshot, Times};
use crate::Concurrency;
use crate::concurrency::Limit;

/// Observes the stages of a pipeline: how much they have done, what they wait for, and which of them is the bottleneck.
///
/// It is attached to limits. [`stage`](Self::stage) wraps any limit in one under which the stage is observed by name.
/// What has no limit, such as a source, batches or the consumer, is observed at a [`point`](Self::point). Create stages
/// and points in the order of the pipeline, which is usually their order in the program.
///
/// Clones are handles to the same monitor, so another task can read it while the pipeline runs. If a stage is part of
/// many pipelines, as in a [`Flow`](crate::Flow) that is applied repeatedly, its numbers cover all of them together.
///
/// # Cost
///
/// A stage that is not monitored pays nothing, except for some 20 instructions per call under a
/// [`Semaphore`](crate::Semaphore). A monitored stage takes no lock, and allocates nothing per call. On a Xeon it costs
/// 4 ns per call to count, and 60 ns to take times too, most of it for three clock readings. A monitor created by
/// [`counting`](Self::counting) takes no times. Each run of a stage keeps 4 kB of numbers.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::{Monitor, ordered};
///
/// async fn fetch(id: u32) -> String {
///     format!("page {id}")
/// }
/// async fn store(pages: Vec<String>) -> usize {
///     pages.len()
/// }
///
/// # futures_lite::future::block_on(async {
/// let monitor = Monitor::new();
/// pipe(1..=100)
///     .monitored(monitor.point("ids"))
///     .map_concurrent(monitor.stage("fetch", 20), fetch)
///     .batched(10)
///     .monitored(monitor.point("batches"))
///     .map_concurrent(monitor.stage("store", ordered(2)), store)
///     .drain()
///     .await;
///
/// let [ids, fetch, batches, store] = &monitor.snapshot().stages[..] else { unreachable!() };
/// assert_eq!((ids.yielded, fetch.yielded, batches.yielded, store.yielded), (100, 100, 10, 10));
/// assert_eq!(fetch.calls.count, 100);
/// # });
/// ```
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<Shared>,
}

struct Shared {
    stages: Mutex<Vec<Arc<Watched>>>,
    clock: quanta::Clock,

    /// When it was created, in ticks.
    began: u64,

    /// Whether it takes times.
    is_timed: bool,
}

/// A monitored stage, in all of its runs.
pub(crate) struct Watched {
    name: String,
    limit: Option<Limit>,
    runs: Mutex<Runs>,
    shared: Weak<Shared>,
}

/// The runs of a stage.
#[derive(Default)]
struct Runs {
    /// What finished runs have counted.
    past: Counted,
    now: Vec<Arc<Run>>,

    /// How many runs there have been.
    count: u64,
}

impl Monitor {
    /// Creates a monitor.
    ///
    /// # Examples
    ///
    /// ```
    /// let monitor = flowlet::Monitor::new();
    /// assert!(monitor.snapshot().stages.is_empty());
    /// ```
    pub fn new() -> Self {
        Self::with_time(true)
    }

    /// Creates a monitor that only counts. It reads no clock, so it has no rates, durations and times.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Monitor;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let monitor = Monitor::counting();
    /// pipe(0..9).map_concurrent(monitor.stage("double", 4), async |n| 2 * n).drain().await;
    /// let stage = &monitor.snapshot().stages[0];
    /// assert_eq!((stage.yielded, stage.calls.count), (9, 0));
    /// # });
    /// ```
    pub fn counting() -> Self {
        Self::with_time(false)
    }

    fn with_time(is_timed: bool) -> Self {
        let clock = quanta::Clock::new();
        let began = clock.raw();
        Self { shared: Arc::new(Shared { stages: Mutex::default(), clock, began, is_timed }) }
    }

    /// Returns a limit under which a stage is observed by name.
    ///
    /// Otherwise it is the given limit: a number, a [`Semaphore`](crate::Semaphore), an [`Adaptive`](crate::Adaptive)
    /// one, [`ordered`](crate::ordered), with a [window](Concurrency::window).
    ///
    /// Each call of this method creates a stage of its own, whatever its name, which stays in the table. Where many
    /// pipelines have the same stage, as in a server that runs one per request, call it once and clone the limit. A number
    /// limits each of them by itself; to limit all of them together, pass a [`Semaphore`](crate::Semaphore).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use flowlet::{Monitor, Semaphore, ordered};
    ///
    /// # futures_lite::future::block_on(async {
    /// let (monitor, database) = (Monitor::new(), Semaphore::new(4));
    /// pipe(0..9)
    ///     .map_concurrent(monitor.stage("double", ordered(&database)), async |n| 2 * n)
    ///     .filter_concurrent(monitor.stage("check", 4), async |n| *n > 4)
    ///     .drain()
    ///     .await;
    /// let stages = monitor.snapshot().stages;
    /// assert_eq!((stages[0].limit, stages[1].refused), (Some(4), 3));
    /// # });
    /// ```
    pub fn stage(&self, name: impl Into<String>, limit: impl Into<Concurrency>) -> Concurrency {
        let limit = limit.into();
        let watched = self.watch(name.into(), Some(limit.limit.clone()));
        Concurrency { watched: Some(watched), ..limit }
    }

    /// Creates a point at which a stream is observed by name: see [`FlowExt::monitored`](crate::FlowExt::monitored).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Monitor;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let monitor = Monitor::new();
    /// pipe(0..100).batched(10).monitored(monitor.point("batches")).drain().await;
    /// assert_eq!(monitor.snapshot().stages[0].yielded, 10);
    /// # });
    /// ```
    pub fn point(&self, name: impl Into<String>) -> Point {
        Point::new(self.watch(name.into(), None))
    }

    fn watch(&self, name: String, limit: Option<Limit>) -> Arc<Watched> {
        let shared = Arc::downgrade(&self.shared);
        let watched = Arc::new(Watched { name, limit, runs: Mutex::default(), shared });
        self.stages().push(watched.clone());
        watched
    }

    /// Returns what was observed so far.
    ///
    /// It can be called at any time and from any thread, and does not delay any pipeline. While a pipeline is polled on
    /// another thread, the numbers may belong to slightly different moments.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Monitor;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let monitor = Monitor::new();
    /// pipe(0..9).map_concurrent(monitor.stage("double", 4), async |n| 2 * n).drain().await;
    /// let stage = &monitor.snapshot().stages[0];
    /// assert_eq!((stage.name.as_str(), stage.pulled, stage.running), ("double", 9, 0));
    /// # });
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        let Shared { clock, began, .. } = &*self.shared;
        let now = clock.raw();
        let stages = self.stages().iter().map(|stage| stage.snapshot(&self.shared, now)).collect();
        Snapshot { elapsed: self.shared.duration(now - began), stages }
    }

    /// Returns what was observed of each pipeline that is running now, the oldest one first.
    ///
    /// A [`Flow`](crate::Flow) that is applied repeatedly makes many pipelines, often at once.
    /// [`snapshot`](Self::snapshot) adds them up, and this method keeps them apart. Stages are assigned to the same
    /// pipeline if they had the same number of earlier runs, as the stages of one flow have.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use flowlet::{Flow, Monitor};
    ///
    /// # futures_lite::future::block_on(async {
    /// let monitor = Monitor::new();
    /// let flow = Flow::<u32>::identity()
    ///     .map_concurrent(monitor.stage("double", 4), async |n| 2 * n)
    ///     .batched(2)
    ///     .monitored(monitor.point("batches"));
    ///
    /// let (mut one, mut other) = (pipe(0..9).through(&flow), pipe(0..9).through(&flow));
    /// one.next().await;
    /// one.next().await;
    /// other.next().await;
    /// let batches: Vec<u64> = monitor.runs().iter().map(|run| run.stages[1].yielded).collect();
    /// assert_eq!((batches, monitor.snapshot().stages[1].yielded), (vec![2, 1], 3));
    /// # });
    /// ```
    pub fn runs(&self) -> Vec<Snapshot> {
        let now = self.shared.clock.raw();
        let mut snapshots = BTreeMap::new();
        for stage in &*self.stages() {
            for run in &stage.runs().now {
                let of_run = slice::from_ref(run);
                let seen = stage.seen(&self.shared, now, Counted::default(), of_run, 1);
                let new = || Snapshot { elapsed: Duration::ZERO, stages: Vec::new() };
                let snapshot: &mut Snapshot = snapshots.entry(run.number).or_insert_with(new);
                let elapsed = self.shared.duration(now.saturating_sub(run.began));
                snapshot.elapsed = snapshot.elapsed.max(elapsed);
                snapshot.stages.push(seen);
            }
        }
        snapshots.into_values().collect()
    }

    fn stages(&self) -> MutexGuard<'_, Vec<Arc<Watched>>> {
        self.shared.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = self.stages();
        f.debug_list().entries(stages.iter().map(|stage| &stage.name)).finish()
    }
}

impl Watched {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what was observed in all runs.
    fn snapshot(&self, shared: &Shared, now: u64) -> StageSnapshot {
        let runs = self.runs();
        self.seen(shared, now, runs.past.clone(), &runs.now, runs.count)
    }

    /// Adds what was observed in some runs to `counted`.
    fn seen(
        &self,
        shared: &Shared,
        now: u64,
        mut counted: Counted,
        runs: &[Arc<Run>],
        count: u64,
    ) -> StageSnapshot {
        let to_duration = |ticks| shared.duration(ticks);
        // Depends on the clock: a tick is a nanosecond, or less.
        let ticks = 10 * (1 << 40) / shared.clock.delta_as_nanos(0, 1 << 40).max(1) * 1_000_000_000;
        let mut per_second = 0.0;
        for run in runs {
            run.add_to(&mut counted, shared.is_timed.then_some(now));
            let (outputs, ticks) = run.rate.of_late(now, ticks);
            let time = to_duration(ticks).as_secs_f64();
            per_second += if time > 0.0 { outputs as f64 / time } else { 0.0 };
        }
        let limit = self.limit.as_ref().map(Limit::now);
        let counted = Totals { counted: &counted, to_duration: &to_duration };
        StageSnapshot::new(self.name.clone(), limit, count, per_second, counted)
    }
}

impl Shared {
    fn duration(&self, ticks: u64) -> Duration {
        Duration::from_nanos(self.clock.delta_as_nanos(0, ticks))
    }
}
