//! Pipelines with adaptive limits, and servers that change.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use flowlet::adaptive::{Adaptive, Aimd, Gradient, Vegas};
use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore};

use super::server::Server;
use super::world::{Task, World};

/// A server, and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// How many workers it has at first: as many calls as it answers at once.
    pub(crate) knee: usize,

    /// How many calls may queue. Others are rejected.
    pub(crate) longest_queue: usize,

    /// The range of the duration of an answer, in milliseconds.
    pub(crate) millis: (u64, u64),

    pub(crate) change: Change,
}

/// What happens to a server in the second of the three phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has half as many workers.
    Halves,
    /// Its workers take twice as long.
    Slows,
}

/// What sets the limit of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// An oracle that knows how many workers the server has.
    Best,
    Vegas,
    Gradient,
    Aimd,
}

/// The outcome of a pipeline.
#[derive(Default)]
pub(crate) struct Run {
    /// When its calls were answered, and how long they took.
    pub(crate) calls: Vec<(Duration, Duration)>,

    pub(crate) refused: usize,

    /// Its limits, and from when on they applied.
    pub(crate) limits: Vec<(Duration, usize)>,
}

/// The results of an adaptive limit, from a second after a change until the next one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    /// Its throughput, relative to the best fixed limit.
    pub(crate) throughput: f64,

    /// Its median latency, relative to an idle server.
    pub(crate) latency: f64,

    /// How long it took until the limit was within a quarter of the server's workers.
    pub(crate) settled: Option<Duration>,
}

/// The range of the adaptive limits.
const RANGE: std::ops::RangeInclusive<usize> = 1..=512;

/// How long each of the three phases is.
pub(crate) const PHASE: Duration = Duration::from_secs(5);

/// How long a limit may take to find the server's knee.
pub(crate) const SETTLING: Duration = Duration::from_secs(1);

/// When the second of two pipelines begins, and when they are compared.
const SECOND: Duration = Duration::from_secs(2);
const BOTH: Range<Duration> = Duration::from_secs(4)..Duration::from_secs(34);

/// The servers: three sizes, three kinds of change, and three with latencies that vary a lot.
pub(crate) const ALL: [Scenario; 12] = {
    const fn new(knee: usize) -> Scenario {
        let (longest_queue, millis) = (usize::MAX, (20, 40));
        Scenario { knee, longest_queue, millis, change: Change::Halves }
    }
    const fn refusing(knee: usize) -> Scenario {
        Scenario { longest_queue: knee / 2, ..new(knee) }
    }
    const fn slow(knee: usize) -> Scenario {
        Scenario { change: Change::Slows, ..new(knee) }
    }
    const fn uneven(knee: usize) -> Scenario {
        Scenario { millis: (10, 50), ..new(knee) }
    }
    [
        new(4),
        new(32),
        new(200),
        refusing(4),
        refusing(32),
        refusing(200),
        slow(4),
        slow(32),
        slow(200),
        uneven(4),
        uneven(32),
        uneven(200),
    ]
};

impl Scenario {
    /// How many workers there are in a phase, and how many times as long each takes as at first.
    pub(crate) fn phase(&self, phase: usize) -> (usize, u32) {
        match self.change {
            Change::Halves if phase == 1 => (self.knee / 2, 1),
            Change::Slows if phase == 1 => (self.knee, 2),
            _ => (self.knee, 1),
        }
    }

    /// Runs a pipeline on the server.
    pub(crate) fn run(&self, limit: Limit, seed: u64) -> Run {
        let world = World::new();
        let server = Rc::new(Server::new(world.clone(), self, seed));
        let limited = Limited::new(limit, &world);
        let pipeline = Pipeline::new(world.clone(), server.clone(), limited.clone());
        let changes = async {
            for phase in 0..3 {
                let (workers, slowness) = self.phase(phase);
                server.workers.set(workers);
                server.slowness.set(slowness);
                server.go_on();
                if limit == Limit::Best {
                    limited.semaphore().set_limit(workers);
                }
                world.sleep(PHASE).await;
            }
        };
        world.run(3 * PHASE, vec![Box::pin(changes), pipeline.task(Duration::ZERO)], || {
            pipeline.look();
        });
        pipeline.run.take()
    }

    /// The mean duration of an answer, which is also its median.
    fn mean(&self) -> Duration {
        Duration::from_millis(self.millis.0 + self.millis.1) / 2
    }

    /// Compares an adaptive limit with the best fixed one, in each phase.
    ///
    /// The best allows as many calls as there are workers: fewer leave some idle, and more only queue.
    pub(crate) fn judge(&self, run: &Run, best: &Run) -> [Verdict; 3] {
        [0, 1, 2].map(|phase| {
            let (workers, slowness) = self.phase(phase);
            let begin = PHASE * phase as u32;
            let span = begin + SETTLING..begin + PHASE;
            let near = |limit: usize| limit.abs_diff(workers) <= workers.div_ceil(4);
            let mut limits = run.limits.iter();
            let before = run.limits.iter().rfind(|(at, _)| *at < begin);
            let settled = match before {
                Some((_, limit)) if near(*limit) => Some(begin),
                _ => limits.find(|(at, limit)| *at >= begin && near(*limit)).map(|(at, _)| *at),
            };
            Verdict {
                throughput: run.answered(&span) as f64 / best.answered(&span) as f64,
                latency: run.median(&span).div_duration_f64(self.mean() * slowness),
                settled: settled.filter(|at| *at < begin + PHASE).map(|at| at - begin),
            }
        })
    }
}

/// Runs two pipelines with a limit each on one server. The second begins later. Returns how many calls of each were
/// answered, relative to half of what the server can do.
pub(crate) fn share(scenario: &Scenario, seed: u64) -> [f64; 2] {
    let world = World::new();
    let server = Rc::new(Server::new(world.clone(), scenario, seed));
    let new = || Pipeline::new(world.clone(), server.clone(), Limited::new(Limit::Vegas, &world));
    let pipelines = [new(), new()];
    let tasks = vec![pipelines[0].task(Duration::ZERO), pipelines[1].task(SECOND)];
    world.run(BOTH.end, tasks, || {});
    let possible = (BOTH.end - BOTH.start).div_duration_f64(scenario.mean()) * scenario.knee as f64;
    pipelines.map(|pipeline| 2.0 * pipeline.run.borrow().answered(&BOTH) as f64 / possible)
}

impl Run {
    fn within(&self, span: &Range<Duration>) -> impl Iterator<Item = Duration> {
        self.calls.iter().filter(|(at, _)| span.contains(at)).map(|(_, latency)| *latency)
    }

    /// How many calls were answered.
    pub(crate) fn answered(&self, span: &Range<Duration>) -> usize {
        self.within(span).count()
    }

    fn median(&self, span: &Range<Duration>) -> Duration {
        let mut latencies: Vec<Duration> = self.within(span).collect();
        let middle = latencies.len() / 2;
        *latencies.select_nth_unstable(middle).1
    }
}

/// What bounds the calls of a pipeline.
#[derive(Clone)]
enum Limited {
    Fixed(Semaphore),
    Adaptive(Adaptive),
}

impl Limited {
    fn new(limit: Limit, world: &World) -> Self {
        let adaptive = Adaptive::builder(RANGE).clock(world.clock());
        Self::Adaptive(match limit {
            Limit::Best => return Self::Fixed(Semaphore::new(1)),
            Limit::Vegas => adaptive.policy(Vegas::new()).build(),
            Limit::Gradient => adaptive.policy(Gradient::new()).build(),
            Limit::Aimd => adaptive.policy(Aimd::new()).build(),
        })
    }

    fn semaphore(&self) -> &Semaphore {
        match self {
            Self::Fixed(semaphore) => semaphore,
            Self::Adaptive(adaptive) => adaptive.semaphore(),
        }
    }

    fn overloaded(&self) {
        if let Self::Adaptive(adaptive) = self {
            adaptive.overloaded();
        }
    }
}

impl From<&Limited> for Concurrency {
    fn from(limited: &Limited) -> Self {
        match limited {
            Limited::Fixed(semaphore) => semaphore.into(),
            Limited::Adaptive(adaptive) => adaptive.into(),
        }
    }
}

/// A pipeline that calls a server endlessly.
struct Pipeline {
    world: World,
    server: Rc<Server>,
    limited: Limited,
    run: RefCell<Run>,
}

impl Pipeline {
    fn new(world: World, server: Rc<Server>, limited: Limited) -> Self {
        Self { world, server, limited, run: RefCell::default() }
    }

    fn task(&self, begin: Duration) -> Task<'_> {
        Box::pin(async move {
            self.world.sleep(begin).await;
            pipe(0..).map_concurrent(&self.limited, async |_: u64| self.call().await).drain().await;
        })
    }

    async fn call(&self) {
        let began = self.world.now();
        let answer = self.server.answer().await;
        let mut run = self.run.borrow_mut();
        match answer {
            Ok(()) => {
                let now = self.world.now();
                run.calls.push((now, now - began));
            }
            Err(_) => {
                run.refused += 1;
                self.limited.overloaded();
            }
        }
    }

    /// Records the limit.
    fn look(&self) {
        let limit = self.limited.semaphore().limit();
        let limits = &mut self.run.borrow_mut().limits;
        if limits.last().is_none_or(|(_, last)| *last != limit) {
            limits.push((self.world.now(), limit));
        }
    }
}
