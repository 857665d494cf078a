//! Pipelines of any shape, with all that is to be checked about them.

use std::fmt::Write;

use flowlet::{Concurrency, FlowExt, Semaphore, ordered};
use futures_lite::stream::{Boxed, StreamExt};
use futures_lite::{Stream, pin};

use super::exec::{Stall, run};
use super::lock::{Habit, Lock, Site};
use super::open::open;
use super::stages::Stage;
use super::window::Window;

impl Stage {
    /// Tells whether one item may become more.
    pub(crate) fn expands(self) -> bool {
        matches!(self, Self::FlatMap | Self::FlatMapStream)
    }

    /// What comes of an item.
    fn outputs(self, n: u32) -> Vec<u32> {
        match self {
            Self::Map | Self::Inspect | Self::Expand => vec![n],
            Self::Filter => Vec::from_iter((n % 5 != 4).then_some(n)),
            Self::FilterMap => Vec::from_iter((n % 4 != 1).then_some(n)),
            Self::FlatMap | Self::FlatMapStream => vec![n; 2],
        }
    }
}

/// A pipeline of numbers whose calls all share one lock.
pub(crate) struct Shape<L> {
    name: String,
    lock: L,
    stream: Boxed<u32>,
    window: Window,

    /// What has to come out, and whether in this order.
    outputs: Vec<u32>,
    in_order: bool,

    /// How many items may be inside, if that can be told.
    room: Option<isize>,

    /// The stages and how many of their calls may run.
    sites: Vec<(Site<L>, usize)>,
}

impl<L: Lock> Shape<L> {
    /// Begins with the numbers below `count`.
    pub(crate) fn new(count: u32) -> Self {
        let window = Window::default();
        Self {
            name: String::new(),
            lock: L::new(),
            stream: window.source(count).boxed(),
            window,
            outputs: (0..count).collect(),
            in_order: true,
            room: Some(0),
            sites: Vec::new(),
        }
    }

    /// Adds a stage.
    pub(crate) fn stage(self, kind: Stage, limit: usize, habit: Habit) -> Self {
        self.add(kind, limit.into(), limit, limit == 1, habit)
    }

    /// Adds a stage that keeps the order.
    pub(crate) fn in_order(self, kind: Stage, limit: usize, habit: Habit) -> Self {
        self.add(kind, ordered(limit), limit, true, habit)
    }

    /// Adds a stage whose limit is a semaphore.
    pub(crate) fn sharing(self, kind: Stage, semaphore: &Semaphore, habit: Habit) -> Self {
        let limit = semaphore.limit();
        self.add(kind, semaphore.into(), limit, limit == 1, habit)
    }

    /// Adds a stage with a semaphore that keeps the order.
    pub(crate) fn sharing_in_order(self, kind: Stage, semaphore: &Semaphore, habit: Habit) -> Self {
        self.add(kind, ordered(semaphore), semaphore.limit(), true, habit)
    }

    /// How many outputs there are by now.
    pub(crate) fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Adds what hands on all items in their order, and has room for `room`.
    pub(crate) fn via<S>(mut self, name: &str, room: isize, f: impl FnOnce(Boxed<u32>) -> S) -> Self
    where
        S: Stream<Item = u32> + Send + 'static,
    {
        let _ = write!(self.name, " | {name}");
        self.stream = f(self.stream).boxed();
        self.room = self.room.map(|before| before + room);
        self
    }

    /// Runs the pipeline to its end and checks everything about it.
    #[track_caller]
    pub(crate) fn check(self, seed: u64) {
        let (name, expected) = (self.name.clone(), self.outputs.clone());
        let in_order = self.in_order;
        let mut outputs = self.run(seed).unwrap_or_else(|stall| panic!("{stall:?}:{name}"));
        let mut expected = expected;
        if !in_order {
            outputs.sort_unstable();
            expected.sort_unstable();
        }
        assert_eq!(outputs, expected, "{name}");
    }

    /// Runs the pipeline as far as it gets, and checks that all bounds stood.
    #[track_caller]
    pub(crate) fn run(self, seed: u64) -> Result<Vec<u32>, Stall> {
        let Self { name, stream, window, room, sites, .. } = self;
        let ran = run(seed, async {
            pin!(stream);
            let mut outputs = Vec::new();
            while let Some(output) = stream.next().await {
                outputs.push(output);
                if room.is_some() {
                    window.leave();
                }
            }
            outputs
        });
        for (site, limit) in sites {
            assert!(site.peak() <= limit, "{} calls:{name}", site.peak());
        }
        if let Some(room) = room {
            assert!(window.peak() <= room, "{} items:{name}", window.peak());
        }
        ran
    }

    fn add(
        mut self,
        kind: Stage,
        concurrency: Concurrency,
        limit: usize,
        in_order: bool,
        habit: Habit,
    ) -> Self {
        let _ = write!(self.name, " | {kind:?} {concurrency:?} {habit:?}");
        let site = Site::new(&self.lock, habit);
        self.sites.push((site.clone(), limit));
        self.outputs = self.outputs.into_iter().flat_map(|n| kind.outputs(n)).collect();
        self.in_order &= in_order;
        // One item is no longer one item after a flat map.
        self.room =
            self.room.filter(|_| !kind.expands()).map(|room| room.saturating_add_unsigned(limit));
        let window = self.window.clone();
        let keep = move |n| {
            let kept = kind.outputs(n).first().copied();
            if kept.is_none() {
                window.leave();
            }
            kept
        };
        let above = self.stream;
        self.stream = match kind {
            Stage::Map => above.map_concurrent(concurrency, move |n| site.call(n)).boxed(),
            Stage::Inspect => {
                let look = async move |n: &u32| {
                    site.call(*n).await;
                };
                above.inspect_concurrent(concurrency, look).boxed()
            }
            Stage::FlatMap => {
                let call = move |n| {
                    let call = site.call(n);
                    async { [call.await; 2] }
                };
                above.flat_map_concurrent(concurrency, call).boxed()
            }
            Stage::Expand => {
                let call = move |n| {
                    let call = site.call(n);
                    async { (call.await, None) }
                };
                above.expand_concurrent(concurrency, call).boxed()
            }
            Stage::FlatMapStream => {
                above.flat_map_concurrent(concurrency, move |n| open(&site, n)).boxed()
            }
            Stage::Filter => {
                let keep = async move |n: &u32| keep(site.call(*n).await).is_some();
                above.filter_concurrent(concurrency, keep).boxed()
            }
            Stage::FilterMap => {
                let keep = move |n| {
                    let (call, keep) = (site.call(n), keep.clone());
                    async move { keep(call.await) }
                };
                above.filter_map_concurrent(concurrency, keep).boxed()
            }
        };
        self
    }
}
