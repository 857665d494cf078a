//! Which stage is the bottleneck, derived from numbers alone.
//!
//! A bottleneck shows on both sides: stages upstream of it are held back, and stages downstream of it wait for items.
//! So what counts is the share of its time that each stage spent on what it alone is responsible for: its calls, its
//! permits, its polls. Shares are of the whole run, so effects at its start and its end weigh as little as they last.

use std::fmt;
use std::time::Duration;

use super::snapshot::{Snapshot, StageSnapshot};
use super::text::{duration, limited, percent, rate};

/// What slows a pipeline down the most: see [`Snapshot::bottleneck`].
///
/// [`Display`](fmt::Display) explains it, and what can be done about it. For more see the guide's page
/// [which stage is slow](crate::guide::which_stage_is_slow).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use async_io::Timer;
/// use flowlet::Monitor;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let monitor = Monitor::new();
/// let mut rows = pipe(0..20).map_concurrent(monitor.stage("rows", 8), async |n| n);
/// while rows.next().await.is_some() {
///     Timer::after(Duration::from_millis(2)).await;
/// }
///
/// let bottleneck = monitor.snapshot().bottleneck().unwrap();
/// assert!(bottleneck.to_string().starts_with("The consumer is the bottleneck: `rows` has an output "));
/// # });
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Bottleneck {
    /// The kind of bottleneck.
    pub kind: BottleneckKind,

    /// The name of the stage or point that is the bottleneck, or is next to it.
    pub stage: String,

    /// Its index in [`Snapshot::stages`].
    pub index: usize,

    /// The share of the time in which it held up the pipeline, from 0 to 1.
    pub share: f64,

    /// The average number of running calls of the stage.
    pub running: f64,

    /// The limit of the stage. `None` for a point.
    pub limit: Option<usize>,

    /// The limit with which the stage would keep up with the next slowest part of the pipeline, by Little's law. It
    /// assumes that calls take no longer when more of them run. `None` if a higher limit would not help, or if
    /// everything else is more than 20 times as fast, which is too far away to tell.
    pub needed: Option<usize>,

    /// The stage that would be the next bottleneck. `None` if that is the source, the consumer or the thread, or too
    /// far away to tell.
    pub next: Option<String>,

    /// Items pulled per second, over the whole run.
    pub per_second: f64,

    /// The mean duration of its calls.
    pub mean: Duration,

    /// How long it was polled for each pulled item, on average.
    pub polled: Duration,
}

/// The kinds of [`Bottleneck`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BottleneckKind {
    /// Upstream of the first stage, which waits for items. The pipeline keeps up with its source.
    Source,

    /// The polls of the stage, which keep the thread busy. Meanwhile nothing else in its task runs.
    Busy,

    /// The limit of the stage: as many calls are running as it allows.
    Limit,

    /// Slow calls of the stage that others have to wait for: for their turn in order, for their key, for room in the
    /// window or for weight, or at the very end. The stage has no room, but few of its calls run.
    HeadOfLine,

    /// A [`Semaphore`](crate::Semaphore) whose permits are used elsewhere, or by calls that weigh more than 1.
    SharedLimit,

    /// A [`Semaphore`](crate::Semaphore) that is paused: its limit is 0.
    Paused,

    /// Something unmonitored between this stage and the next: this one is held back, and the next one waits for items.
    Unmonitored,

    /// Downstream of the last stage, which has outputs that nobody asks for.
    Consumer,
}

/// A part with this share is the bottleneck beyond doubt.
const MOST: f64 = 0.5;

/// A part with a smaller share is no bottleneck, even if no other share is larger.
const LEAST: f64 = 0.25;

/// A part with a smaller share is so fast that nothing can be said about how fast.
const NEGLIGIBLE: f64 = 0.05;

/// Passing an item to another thread takes about this long.
const BARELY: Duration = Duration::from_micros(10);

/// A pipeline that was observed for less time says nothing.
const BRIEF: Duration = Duration::from_millis(1);

impl Snapshot {
    /// Finds what slows the pipeline down the most.
    ///
    /// It compares the shares of [`Times`](super::Times) over the whole time in which the pipeline was observed.
    /// Returns `None` if that is too short, if nothing stands out, or if the monitor takes no times.
    ///
    /// The stages of a pipeline must have been created in the order of the pipeline. Use a monitor of its own for each
    /// kind of pipeline. If a pipeline has several tasks, with a [`prefetch`](crate::FlowExt::prefetch) between them,
    /// it is still one, but a [busy](BottleneckKind::Busy) stage in one task is assumed to block upstream stages in
    /// other tasks too.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use async_io::Timer;
    /// use flowlet::Monitor;
    /// use flowlet::monitor::BottleneckKind;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let monitor = Monitor::new();
    /// pipe(0..20)
    ///     .map_concurrent(monitor.stage("parse", 8), async |n| n)
    ///     .map_concurrent(monitor.stage("store", 2), async |_| Timer::after(Duration::from_millis(5)).await)
    ///     .drain()
    ///     .await;
    ///
    /// let bottleneck = monitor.snapshot().bottleneck().unwrap();
    /// assert_eq!((bottleneck.kind, bottleneck.stage.as_str()), (BottleneckKind::Limit, "store"));
    /// # });
    /// ```
    pub fn bottleneck(&self) -> Option<Bottleneck> {
        Pipeline::of(self)?.bottleneck()
    }
}

/// The stages of a snapshot that have run.
struct Pipeline<'a> {
    stages: Vec<Stage<'a>>,

    /// The time for which the thread was busy, as a share of the pipeline's time.
    busy: f64,

    /// The stage that kept it busy the most.
    busiest: usize,
}

/// A stage, with its times as shares.
struct Stage<'a> {
    index: usize,
    seen: &'a StageSnapshot,
    polled: f64,
    upstream: f64,
    permit: f64,
    calls: f64,
    downstream: f64,

    /// The average number of its running calls in a pipeline.
    running: f64,

    /// Items pulled per second.
    per_second: f64,
}

impl<'a> Pipeline<'a> {
    fn of(snapshot: &'a Snapshot) -> Option<Self> {
        snapshot.longest_run().filter(|time| *time >= BRIEF)?;
        let stages: Vec<_> = snapshot
            .stages
            .iter()
            .enumerate()
            .filter(|(_, stage)| !stage.time.total().is_zero())
            .map(|(index, stage)| Stage::new(index, stage, snapshot))
            .collect();
        let busiest = (0..stages.len())
            .reduce(|a, b| if stages[b].polled > stages[a].polled { b } else { a })?;
        let busy = stages.iter().map(|stage| stage.polled).sum::<f64>().min(1.0);
        Some(Self { stages, busy, busiest })
    }

    fn bottleneck(&self) -> Option<Bottleneck> {
        let (first, last) = (self.stages.first()?, self.stages.last()?);
        let busiest = &self.stages[self.busiest];

        // While the consumer occupies the thread, the stages are not polled, and seem to wait for whatever they waited
        // for before.
        if last.downstream >= MOST {
            return Some(last.bottleneck(BottleneckKind::Consumer, last.downstream));
        }
        // While a stage occupies the thread, upstream stages seem to wait too. Downstream stages poll it meanwhile,
        // unless they are in another task.
        let after = &self.stages[self.busiest + 1..];
        if self.busy >= MOST && after.iter().all(|stage| stage.own() <= self.busy) {
            return Some(busiest.bottleneck(BottleneckKind::Busy, self.busy));
        }

        // From the end to the source: if two are equally slow, the later one counts.
        let consumer = (last, BottleneckKind::Consumer, last.downstream);
        let own = self.stages.iter().rev().map(|stage| (stage, stage.held_by(), stage.own()));
        let between = self.stages.windows(2).rev().map(|pair| {
            (&pair[0], BottleneckKind::Unmonitored, pair[0].downstream.min(pair[1].upstream))
        });
        let source = (first, BottleneckKind::Source, first.upstream);
        let thread = (busiest, BottleneckKind::Busy, self.busy);
        let (stage, kind, share) = [consumer]
            .into_iter()
            .chain(own)
            .chain(between)
            .chain([source, thread])
            .reduce(|a, b| if b.2 > a.2 { b } else { a })
            .filter(|(_, _, share)| *share >= LEAST)?;

        let mut bottleneck = stage.bottleneck(kind, share);
        if kind == BottleneckKind::Limit {
            (bottleneck.needed, bottleneck.next) = self.needed(stage);
        }
        Some(bottleneck)
    }

    /// Returns the limit with which a stage would keep up with the next slowest one, and which one that is.
    ///
    /// A part that is active for a given share of the time could do 1 / share times as much. For that the stage needs
    /// 1 / share times as many running calls.
    fn needed(&self, of: &Stage<'_>) -> (Option<usize>, Option<String>) {
        let first =
            self.stages.first().filter(|first| first.index != of.index || first.upstream > 0.0);
        let last = self.stages.last().filter(|last| last.index != of.index);
        let others = self.stages.iter().filter(|stage| stage.index != of.index);
        let (share, next) = others
            .map(|stage| (stage.used(), Some(&stage.seen.name)))
            .chain(first.map(|first| (first.upstream, None)))
            .chain(last.map(|last| (last.downstream, None)))
            .chain([(self.busy, None)])
            .reduce(|a, b| if b.0 > a.0 { b } else { a })
            .unwrap_or((0.0, None));
        if share < NEGLIGIBLE {
            return (None, None);
        }
        // A hundredth of a call does not count.
        let needed = (of.running / share - 0.01).ceil() as usize;
        // If the other one is just as slow, a higher limit does not even gain that much.
        let more = of.seen.limit.map(|limit| needed.max(limit.saturating_add(1)));
        (more, next.cloned())
    }
}

impl<'a> Stage<'a> {
    fn new(index: usize, seen: &'a StageSnapshot, snapshot: &Snapshot) -> Self {
        let all = snapshot.time_of(seen);
        let share = |time: Duration| time.as_secs_f64() / all.as_secs_f64();
        let worked = seen.calls.mean.as_secs_f64() * seen.calls.count as f64;
        let mut running = worked / all.as_secs_f64();
        if seen.calls.count <= seen.running {
            // Most of them have not completed yet.
            running = running.max(seen.running as f64 / seen.runs.max(1) as f64);
        }
        if seen.time.permit > Duration::ZERO && !snapshot.elapsed.is_zero() {
            // Simultaneous runs share a semaphore.
            running = running.max(worked / snapshot.elapsed.as_secs_f64());
        }
        Self {
            index,
            seen,
            polled: share(seen.time.polled),
            upstream: share(seen.time.upstream),
            permit: share(seen.time.permit),
            calls: share(seen.time.calls),
            downstream: share(seen.time.downstream),
            running,
            per_second: snapshot.rate_of(seen, seen.pulled),
        }
    }

    /// Returns the share of the time in which it could not continue for reasons of its own.
    fn own(&self) -> f64 {
        self.permit + self.calls
    }

    /// Returns why it could not continue.
    fn held_by(&self) -> BottleneckKind {
        let limit = self.seen.limit.unwrap_or(usize::MAX);
        let used = self.running / limit.max(1) as f64;
        let has_been_full = self.seen.calls.count + self.seen.running >= limit as u64;
        if limit == 0 {
            BottleneckKind::Paused
        } else if self.permit > self.calls && used < 0.8 {
            BottleneckKind::SharedLimit
        } else if used >= MOST && has_been_full {
            BottleneckKind::Limit
        } else {
            BottleneckKind::HeadOfLine
        }
    }

    /// Returns how much of its capacity it used.
    fn used(&self) -> f64 {
        let Some(limit) = self.seen.limit else { return 0.0 };
        let used = self.running / limit.max(1) as f64;
        let StageSnapshot { yielded, refused, failed, waiting, dropped, calls, .. } = self.seen;
        let outputs = yielded + refused;
        // An inner stream stays open while it is held back.
        let is_flat_map =
            outputs > calls.count || outputs + failed + waiting + dropped < calls.count;
        if is_flat_map { used.min(1.0 - self.downstream) } else { used.min(1.0) }
    }

    fn bottleneck(&self, kind: BottleneckKind, share: f64) -> Bottleneck {
        Bottleneck {
            kind,
            stage: self.seen.name.clone(),
            index: self.index,
            share: share.min(1.0),
            running: self.running,
            limit: self.seen.limit,
            needed: None,
            next: None,
            per_second: self.per_second,
            mean: self.seen.calls.mean,
            polled: self.seen.time.polled.div_f64(self.seen.pulled.max(1) as f64),
        }
    }
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, share, limit, .. } = self;
        let share = percent(*share);
        let limit = limit.unwrap_or(0);
        let running = format!("{:.1}", self.running);
        match self.kind {
            BottleneckKind::Source => write!(
                f,
                "The source is the bottleneck: `{stage}` waits for items {share} of the time, and gets {} per second. \
                 The stages keep up, so higher limits would change nothing.",
                rate(self.per_second)
            ),
            BottleneckKind::Busy if self.limit.is_none() => write!(
                f,
                "The bottleneck is upstream of `{stage}`: polls keep the thread busy {share} of the time, mostly there, \
                 and block the task meanwhile. `prefetch` would run it in a task of its own."
            ),
            BottleneckKind::Busy => {
                let source = if self.index == 0 { " or its source's" } else { "" };
                write!(
                    f,
                    "`{stage}` is the bottleneck: polls keep the thread busy {share} of the time, mostly its \
                     own{source}, and block the task meanwhile. "
                )?;
                if self.polled < BARELY {
                    let polled = duration(self.polled);
                    return write!(
                        f,
                        "An item takes only {polled}, so only batches are worth a thread of their own."
                    );
                }
                f.write_str("Offload its work with `in_thread`, or its calls with `in_task`.")
            }
            BottleneckKind::Limit => {
                let each = match self.mean {
                    Duration::ZERO => "and none has completed yet".to_owned(),
                    mean => format!("{} each", duration(mean)),
                };
                let next =
                    self.next.as_ref().map_or("the rest".to_owned(), |next| format!("`{next}`"));
                write!(
                    f,
                    "The limit of `{stage}` is the bottleneck: its {} {} {share} of the time, {each}. ",
                    limited(limit),
                    if limit == 1 { "call runs" } else { "calls run" },
                )?;
                match self.needed {
                    Some(needed) => write!(
                        f,
                        "With a limit of {needed} it would keep up with {next}, if calls take no longer then."
                    ),
                    None => f.write_str("Raise it as far as the service that it calls can handle."),
                }
            }
            BottleneckKind::HeadOfLine => write!(
                f,
                "`{stage}` is the bottleneck: it waits for slow calls {share} of the time, while {running} of {} run. \
                 No others can start meanwhile: there are no more items, or they wait for their turn in order, which a \
                 `window` can fix, or for their key or weight.",
                limited(limit)
            ),
            BottleneckKind::SharedLimit => write!(
                f,
                "The semaphore of `{stage}` is the bottleneck: it waits for permits {share} of the time, while \
                 {running} of its calls run under a limit of {}. Others hold the rest: raise the limit, or use a \
                 separate one for `{stage}`.",
                limited(limit)
            ),
            BottleneckKind::Paused => write!(
                f,
                "`{stage}` is paused: the limit of its semaphore is 0. `set_limit` resumes it."
            ),
            BottleneckKind::Unmonitored => write!(
                f,
                "The bottleneck comes after `{stage}`, and is not monitored: {share} of the time `{stage}` is held back \
                 and the next stage waits for items. Add a point of the monitor after it to see more."
            ),
            BottleneckKind::Consumer => write!(
                f,
                "The consumer is the bottleneck: `{stage}` has an output {share} of the time and nobody asks for it. \
                 Turn the consumer's work into a stage with a limit above 1."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::{Durations, Times};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A stage that was observed for a second, in percent: polled, upstream, permit, calls, downstream.
    fn stage(name: &str, limit: usize, percents: [u32; 5]) -> StageSnapshot {
        let [polled, upstream, permit, calls, downstream] =
            percents.map(|percent| SECOND / 100 * percent);
        StageSnapshot {
            name: name.to_owned(),
            limit: Some(limit),
            runs: 1,
            pulled: 200,
            yielded: 200,
            time: Times { polled, upstream, permit, calls, downstream },
            ..StageSnapshot::default()
        }
        .with_calls(200, 0)
    }

    /// The same for a point.
    fn point(name: &str, percents: [u32; 5]) -> StageSnapshot {
        StageSnapshot { limit: None, ..stage(name, 0, percents) }
    }

    impl StageSnapshot {
        /// Adds `count` calls of `milliseconds` each.
        fn with_calls(self, count: u64, milliseconds: u64) -> Self {
            let mean = Duration::from_millis(milliseconds);
            Self {
                calls: Durations { count, mean, p50: mean, p90: mean, p99: mean, max: mean },
                ..self
            }
        }
    }

    fn snapshot(stages: impl Into<Vec<StageSnapshot>>) -> Snapshot {
        Snapshot { elapsed: SECOND, stages: stages.into() }
    }

    /// The kind of bottleneck, and the stage.
    fn found(stages: impl Into<Vec<StageSnapshot>>) -> Option<(BottleneckKind, String)> {
        snapshot(stages).bottleneck().map(|found| (found.kind, found.stage))
    }

    fn is(kind: BottleneckKind, stage: &str) -> Option<(BottleneckKind, String)> {
        Some((kind, stage.to_owned()))
    }

    const STARVES: [u32; 5] = [1, 98, 0, 1, 0];
    const HELD_BACK: [u32; 5] = [1, 0, 0, 1, 98];
    const FULL: [u32; 5] = [1, 1, 0, 97, 1];
    const NO_PERMIT: [u32; 5] = [1, 1, 96, 1, 1];

    #[test]
    fn the_first_stage_waits_for_a_slow_source() {
        let stages = [stage("a", 8, STARVES), stage("b", 8, STARVES)];
        assert_eq!(found(stages.clone()), is(BottleneckKind::Source, "a"));
        // With a point there it is that.
        let stages = [vec![point("rows", STARVES)], stages.to_vec()].concat();
        assert_eq!(found(stages), is(BottleneckKind::Source, "rows"));
    }

    #[test]
    fn polls_that_keep_the_thread_busy_make_the_others_seem_to_wait() {
        let stages = [
            stage("a", 1, [2, 0, 0, 98, 0]).with_calls(200, 5),
            stage("b", 8, [80, 10, 0, 10, 0]),
            stage("c", 8, [2, 98, 0, 0, 0]),
        ];
        assert_eq!(found(stages), is(BottleneckKind::Busy, "b"));
        // No one of them alone.
        let stages = [20, 25, 20, 20].map(|polled| stage("", 8, [polled, 0, 0, 0, 100 - polled]));
        let stages = [&stages[..], &[stage("e", 8, [10, 90, 0, 0, 0])]].concat();
        assert_eq!(
            snapshot(stages).bottleneck().map(|found| (found.kind, found.index)),
            Some((BottleneckKind::Busy, 1))
        );
    }

    #[test]
    fn polls_in_another_task_do_not_hide_a_limit_downstream() {
        let stages = [stage("a", 8, [60, 0, 0, 0, 40]), stage("b", 2, FULL).with_calls(400, 5)];
        assert_eq!(found(stages), is(BottleneckKind::Limit, "b"));
    }

    #[test]
    fn the_stage_whose_limit_is_reached_is_between_those_held_back_and_those_that_starve() {
        let stages = [
            stage("a", 20, HELD_BACK),
            stage("b", 4, FULL).with_calls(800, 5),
            stage("c", 8, STARVES),
        ];
        assert_eq!(found(stages), is(BottleneckKind::Limit, "b"));
    }

    #[test]
    fn of_several_at_their_limit_it_is_the_one_with_the_least_capacity() {
        let stages = |b, c| {
            let waits = |calls| [1, 99 - calls, 0, calls, 0];
            [
                stage("a", 20, HELD_BACK),
                stage("b", 4, waits(b)).with_calls(800, 4),
                stage("c", 4, waits(c)).with_calls(800, 4),
            ]
        };
        assert_eq!(found(stages(95, 70)), is(BottleneckKind::Limit, "b"));
        assert_eq!(found(stages(70, 95)), is(BottleneckKind::Limit, "c"));
    }

    #[test]
    fn the_limit_it_would_need_is_what_the_next_slowest_one_can_do() {
        // 4 calls of 5 ms give 800 a second; the other, with 2 calls of 0.5 ms, could do 5 times as much.
        let store = StageSnapshot { yielded: 800, ..stage("store", 2, [1, 79, 0, 20, 0]) };
        let mut store = store.with_calls(800, 0);
        store.calls.mean = Duration::from_micros(500);
        let fetch = StageSnapshot { yielded: 800, ..stage("fetch", 4, FULL) }.with_calls(800, 5);
        let found = snapshot([fetch.clone(), store]).bottleneck().unwrap();
        assert_eq!(
            (found.limit, found.needed, found.next.as_deref()),
            (Some(4), Some(20), Some("store"))
        );
        assert_eq!(
            found.to_string(),
            "The limit of `fetch` is the bottleneck: its 4 calls run 97% of the time, 5.0ms each. With a limit of 20 it \
             would keep up with `store`, if calls take no longer then."
        );
        // All others are so fast that nothing can be said.
        let found = snapshot([fetch, stage("store", 2, STARVES)]).bottleneck().unwrap();
        assert_eq!((found.needed, found.next), (None, None));
    }

    #[test]
    fn a_flat_map_that_is_held_back_is_not_counted_as_at_its_limit() {
        let rows = StageSnapshot { yielded: 1000, ..stage("rows", 4, [1, 0, 0, 9, 90]) };
        let rows = rows.with_calls(4, 1000);
        let store = stage("store", 2, FULL).with_calls(1000, 2);
        let found = snapshot([rows, store]).bottleneck().unwrap();
        assert_eq!((found.kind, found.stage.as_str()), (BottleneckKind::Limit, "store"));
        assert_eq!((found.needed, found.next.as_deref()), (Some(20), Some("rows")));
    }

    #[test]
    fn slow_calls_that_others_wait_behind_are_told_from_a_limit() {
        let ordered = stage("a", 20, FULL).with_calls(200, 10);
        assert_eq!(found([ordered]), is(BottleneckKind::HeadOfLine, "a"));
        // Fewer items than the limit.
        let few = stage("a", 250, FULL).with_calls(200, 1000);
        assert_eq!(found([few]), is(BottleneckKind::HeadOfLine, "a"));
        // As many as may run, and none of them has completed yet.
        let hang = StageSnapshot { running: 8, ..stage("a", 8, FULL) }.with_calls(0, 0);
        assert_eq!(found([hang]), is(BottleneckKind::Limit, "a"));
    }

    #[test]
    fn a_semaphore_is_shared_if_its_permits_are_elsewhere() {
        let stages = |running: u64| {
            [
                stage("a", 8, HELD_BACK),
                stage("b", 4, NO_PERMIT).with_calls(100 * running, 10),
                stage("c", 8, STARVES),
            ]
        };
        assert_eq!(found(stages(1)), is(BottleneckKind::SharedLimit, "b"));
        assert_eq!(found(stages(4)), is(BottleneckKind::Limit, "b"));
        // Eight runs at once use it up together.
        let mut runs = stage("b", 4, NO_PERMIT.map(|share| 8 * share)).with_calls(400, 10);
        runs.runs = 8;
        assert_eq!(found([runs]), is(BottleneckKind::Limit, "b"));
        let paused = stage("b", 0, NO_PERMIT);
        assert_eq!(found([stage("a", 8, HELD_BACK), paused]), is(BottleneckKind::Paused, "b"));
    }

    #[test]
    fn while_the_consumer_has_the_thread_it_does_not_matter_what_the_others_wait_for() {
        let stages = [
            stage("a", 8, HELD_BACK),
            stage("b", 1, FULL).with_calls(200, 5),
            stage("c", 8, [1, 30, 0, 0, 69]),
        ];
        assert_eq!(found(stages), is(BottleneckKind::Consumer, "c"));
    }

    #[test]
    fn what_is_not_monitored_is_between_a_stage_held_back_and_one_that_starves() {
        let stages = [stage("a", 8, HELD_BACK), stage("b", 8, HELD_BACK), stage("c", 8, STARVES)];
        assert_eq!(found(stages), is(BottleneckKind::Unmonitored, "b"));
    }

    #[test]
    fn a_stage_that_is_soon_over_is_none() {
        let mut short = stage("a", 8, STARVES);
        for time in [&mut short.time.upstream, &mut short.time.polled, &mut short.time.calls] {
            *time /= 20;
        }
        let stages = [short, stage("b", 4, [1, 29, 0, 70, 0]).with_calls(800, 5)];
        assert_eq!(found(stages), is(BottleneckKind::Limit, "b"));
    }

    #[test]
    fn runs_at_the_same_time_count_each_for_itself() {
        let [a, b] = [HELD_BACK, FULL].map(|shares| shares.map(|share| 10 * share));
        let runs = |stage: StageSnapshot| StageSnapshot { runs: 10, ..stage };
        let stages = [runs(stage("a", 8, a)), runs(stage("b", 4, b)).with_calls(8000, 5)];
        let found = snapshot(stages).bottleneck().unwrap();
        assert_eq!((found.kind, found.stage.as_str()), (BottleneckKind::Limit, "b"));
        assert!((found.running - 4.0).abs() < 0.1, "{}", found.running);
    }

    #[test]
    fn a_stage_that_is_in_more_pipelines_than_others_counts_as_it_is_in_each() {
        // Ten short pipelines, one after the other, in a stage of a long one.
        let short = FULL.map(|share| share / 2);
        let inner = StageSnapshot { runs: 10, ..stage("inner", 4, short) }.with_calls(400, 5);
        let outer = stage("outer", 1, [1, 49, 0, 50, 0]).with_calls(10, 50);
        let found = snapshot([inner, outer]).bottleneck().unwrap();
        assert_eq!((found.kind, found.stage.as_str()), (BottleneckKind::Limit, "outer"));
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(found([]), None);
        assert_eq!(found([stage("a", 8, [0; 5])]), None);
        let mut brief = stage("a", 8, STARVES);
        brief.time.upstream /= 1000;
        brief.time.polled = Duration::ZERO;
        brief.time.calls = Duration::ZERO;
        assert_eq!(found([brief]), None);
        // A part that has not run is not in the way of the others.
        let stages =
            [stage("z", 8, [0; 5]), stage("a", 4, FULL).with_calls(800, 5), stage("z", 8, [0; 5])];
        let found = snapshot(stages).bottleneck().unwrap();
        assert_eq!((found.stage.as_str(), found.index), ("a", 1));
    }

    #[test]
    fn nothing_stands_out() {
        let stages = [stage("a", 8, [10, 20, 0, 20, 50]), stage("b", 8, [10, 23, 12, 12, 23])];
        assert_eq!(found(stages), None);
    }
}
