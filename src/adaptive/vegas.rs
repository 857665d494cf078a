//! A limit derived from the length of the queue.

use std::time::Duration;

use super::policy::{Policy, Sample};

/// Vegas: a limit derived from how many calls queue. This is the default.
///
/// It knows how long a call takes without a queue. Together with how long calls take now, and how many are running,
/// that tells how many of them queue, by [Little's law]: of 20 calls that take twice as long as they need, 10 are
/// queued. TCP Vegas finds its sending rate this way ([Brakmo and Peterson 1995]), and so does Netflix's
/// [concurrency-limits].
///
/// - Calls are grouped into **windows** of about as many calls as may run at once, or more if their latencies vary a
///   lot. A window begins when most calls that started under the previous limit have completed.
/// - While no calls queue, the limit **grows**: it doubles until it has found the server's knee, then grows by a small
///   step, and by a larger one each time while there is still no queue. It does not grow unless it is fully used.
/// - If more calls queue than chance explains, it **falls** to the number of calls that did not queue. This drains the
///   queue. It also leads users of one server to equal shares, for the reasons in [Chiu and Jain 1989].
/// - The latency without a queue is **learned** when there should be none: right after a fall, and from time to time at
///   two thirds of the limit for one window, as [BBR] does.
/// - If calls take as long as before although half as many are running, there is no queue: the server has become
///   **slower**. Then the limit returns to its previous value.
/// - On the first **overloaded** call of a window the limit falls by a tenth.
///
/// It suits calls that take about the same time, or vary at random. If some take a hundred times as long as others, use
/// a separate limit for each kind.
///
/// [Little's law]: https://doi.org/10.1287/opre.9.3.383
/// [Brakmo and Peterson 1995]: https://doi.org/10.1109/49.464716
/// [concurrency-limits]: https://github.com/Netflix/concurrency-limits
/// [Chiu and Jain 1989]: https://doi.org/10.1016/0169-7552(89)90019-6
/// [BBR]: https://doi.org/10.1145/3009824
///
/// # Examples
///
/// ```
/// use flowlet::adaptive::{Adaptive, Vegas};
///
/// // The same as `Adaptive::new(1..=256)`.
/// let limit = Adaptive::with_policy(1..=256, Vegas::new());
/// # drop(limit);
/// ```
#[derive(Clone, Debug)]
pub struct Vegas {
    /// The limit, including the fraction by which it has grown towards the next whole number.
    limit: f64,

    base: Base,

    window: Window,

    phase: Phase,

    /// How many calls did not queue when the limit last fell.
    knee: f64,

    /// The last step by which the limit grew since it fell. 0 if it has not.
    step: f64,

    /// The window in which the limit fell, if there has been a queue in every window since.
    fallen: Option<Fallen>,

    /// How many windows there have been since the last probe.
    windows: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No call has completed yet.
    New,
    /// The first calls complete, the fast ones before the others, so this many more are ignored.
    First(usize),
    /// The limit doubles.
    Starting,
    /// The limit follows the knee.
    Following,
    /// The limit is far below the knee for one window.
    Probing,
}

/// How long a call takes without a queue.
#[derive(Clone, Copy, Debug, Default)]
struct Base {
    /// In seconds. 0 if not known yet.
    latency: f64,

    /// How many calls it is the mean of.
    weight: f64,
}

/// The calls since the last decision.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// When the limit changed. Calls that began earlier began under another limit.
    changed: f64,

    /// From when on completed calls count.
    begin: f64,

    /// Sums over the calls.
    count: f64,
    latency: f64,
    square: f64,
    in_use: f64,
    full: f64,
}

/// What a window shows.
#[derive(Clone, Copy)]
struct Shown {
    count: f64,

    /// The mean latency, and its standard error.
    latency: f64,
    error: f64,

    /// The mean number of running calls.
    in_use: f64,

    /// Whether the limit was fully used.
    is_full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Fallen {
    in_use: f64,
    latency: f64,

    /// How many calls ran when the latency was no higher than that: the same, or more if the limit fell in vain.
    high: f64,
}

/// How much longer calls may take than without a queue: as a factor, and in standard errors.
const TOLERATED: f64 = 1.075;
const CHANCE: f64 = 1.5;

/// The factor until the limit has found the knee, and while it probes: what was learned by then may be inaccurate.
const TOLERATED_AT_FIRST: f64 = 1.3;

/// How many queued calls are tolerated. Fewer cannot be distinguished from none.
const QUEUE: f64 = 0.65;

/// How far the limit falls, as a share of the calls that did not queue.
const FALL: f64 = 0.96;

/// A limit is rounded up to the next whole number if it is no further than this below it.
const ROUNDING: f64 = 0.7;

/// How many standard errors are subtracted from the estimate of a queue, since chance helped it to be noticed.
const LOWERED: f64 = 0.3;

/// The first step of growth, times the fourth root of the limit; the factor from one step to the next; and the latency
/// up to which that factor applies.
const STEP: f64 = 0.75;
const ACCELERATION: f64 = 1.8;
const NO_QUEUE: f64 = 1.1;

/// After how many windows the limit probes, and how low it goes.
const WINDOWS: u32 = 18;
const PROBE: f64 = 0.72;

/// The share of the limit that is left after an overload.
const LEFT: f64 = 0.9;

/// A window has at least `CALLS` calls, and continues until its relative error is at most `ERROR`, but not beyond
/// `ROUNDS` calls for each that may run. It is cut short if there is a queue by `CUT_SHORT` errors.
const CALLS: f64 = 12.0;
const CALLS_AT_FIRST: f64 = 24.0;
const ERROR: f64 = 0.05;
const ROUNDS: f64 = 9.0;
const FEWEST: f64 = 8.0;
const CUT_SHORT: f64 = 4.0;

/// How many windows the known base latency weighs, at most, against the next one.
const MEMORY: f64 = 12.0;

impl Vegas {
    /// Creates a policy that has seen no call yet.
    pub fn new() -> Self {
        Self {
            limit: 0.0,
            base: Base::default(),
            window: Window::default(),
            phase: Phase::New,
            knee: 0.0,
            step: 0.0,
            fallen: None,
            windows: 0,
        }
    }

    fn overloaded(&mut self, sample: &Sample) {
        if self.window.changed <= sample.began().as_secs_f64() {
            self.limit = (self.limit.min(sample.in_use as f64) * LEFT).max(1.0);
            self.phase = Phase::Following;
            self.step = 0.0;
            self.knee = 0.0;
            self.fallen = None;
            self.window = Window::new(sample.now, self.base.latency);
        }
    }

    /// Returns whether a window may end here.
    fn is_enough(&self, shown: &Shown) -> bool {
        let starting = self.phase == Phase::Starting;
        let fewest = if starting { CALLS_AT_FIRST } else { CALLS };
        let is_exact = shown.error <= ERROR * shown.latency;
        if shown.count >= fewest.max(self.limit) && is_exact || shown.count >= ROUNDS * self.limit {
            return true;
        }
        let longer = shown.latency - TOLERATED * self.base.latency;
        !starting && shown.count >= 0.7 * self.limit && longer > CUT_SHORT * shown.error
    }

    /// Sets the limit according to what a window shows.
    fn decide(&mut self, shown: Shown) {
        self.windows += 1;
        if self.base.latency == 0.0 {
            self.base.learn(&shown, 1.0);
        }
        if self.phase == Phase::Probing {
            self.phase = Phase::Following;
            if shown.latency < TOLERATED_AT_FIRST * self.base.latency + 2.0 * shown.error {
                return self.end_probe(&shown);
            }
        }
        self.learn(&shown);
        if self.is_in_vain(&shown) {
            return;
        }
        let ratio = shown.latency / self.base.latency;
        let tolerated = if self.phase == Phase::Starting { TOLERATED_AT_FIRST } else { TOLERATED };
        if shown.latency <= tolerated * self.base.latency + CHANCE * shown.error {
            self.fallen = None;
            if shown.is_full {
                self.grow(ratio);
            }
        } else if shown.in_use - shown.in_use / ratio < QUEUE {
            self.step = 0.0;
            let fallen = self.fallen.take();
            // A single call does not queue behind any of ours.
            if shown.in_use < 1.5 {
                self.go_back(&shown, fallen.map_or(shown.in_use, |fallen| fallen.high));
            } else {
                self.base.learn(&shown, 1.0);
            }
        } else {
            self.fall(&shown, ratio);
        }
    }

    fn grow(&mut self, ratio: f64) {
        if self.phase == Phase::Starting {
            self.limit *= 2.0;
            return;
        }
        self.step = if self.step == 0.0 || ratio > NO_QUEUE {
            STEP * self.limit.sqrt().sqrt()
        } else {
            (self.step * ACCELERATION).min(self.limit)
        };
        self.limit += self.step;
    }

    fn fall(&mut self, shown: &Shown, ratio: f64) {
        let Shown { latency, error, in_use, .. } = *shown;
        self.phase = Phase::Following;
        self.step = 0.0;
        self.fallen.get_or_insert(Fallen { in_use, latency, high: in_use });
        self.knee = in_use / (ratio - LOWERED * error / self.base.latency).max(1.0);
        let limit = self.knee * FALL;
        self.limit = limit.max((limit + ROUNDING).floor().min(in_use - 1.0));
        // Not while a change is under way.
        if self.windows > WINDOWS && ratio < 1.4 {
            self.windows = 0;
            self.phase = Phase::Probing;
            self.limit = (self.knee * PROBE).round().min((self.knee - ROUNDING).floor());
        }
    }

    /// Learns from a window with few calls, and returns to as many as there should be.
    fn end_probe(&mut self, shown: &Shown) {
        let former = self.base.latency;
        let longer = shown.latency - former;
        if longer < -shown.error || longer > 2.0 * shown.error {
            self.base.latency += 0.7 * longer;
            self.base.weight = shown.count;
        } else {
            self.base.learn(shown, 4.5);
        }
        self.fallen = None;
        self.limit = self.knee * self.base.latency / former;
    }

    /// Learns how long a call takes without a queue, if there should be none.
    fn learn(&mut self, shown: &Shown) {
        let longer = shown.latency - self.base.latency;
        let tolerable = shown.latency < TOLERATED_AT_FIRST * self.base.latency;
        let below = shown.in_use <= self.knee * 0.985;
        if longer < -3.0 * shown.error {
            // A queue makes no call faster.
            self.base = Base { latency: shown.latency + shown.error, weight: shown.count };
        } else if self.phase == Phase::Starting {
            if tolerable {
                self.base.learn(shown, 1.0);
            }
        } else if below && self.fallen.is_some() && longer > 2.4 * shown.error {
            self.base.latency += 0.36 * longer;
            self.base.weight = shown.count;
        } else if below && tolerable {
            self.base.learn(shown, 1.0);
        }
    }

    /// Returns whether the limit fell twice while calls took as long as before. Then they do not queue.
    fn is_in_vain(&mut self, shown: &Shown) -> bool {
        let Some(fallen) = self.fallen else { return false };
        let left = shown.in_use / fallen.in_use;
        if left >= 0.9 {
            return false; // Too little to tell.
        }
        let change = shown.latency / fallen.latency;
        // If they take even longer, a change is under way.
        let in_vain = change > (1.0 + left) / 2.0 && change < 1.15;
        if in_vain && fallen.high > fallen.in_use {
            self.go_back(shown, fallen.high);
            return true;
        }
        let Shown { latency, in_use, .. } = *shown;
        let high = if in_vain { fallen.in_use } else { in_use };
        self.fallen = Some(Fallen { in_use, latency, high });
        false
    }

    /// Takes the current latency as that without a queue, and lets as many calls run as when latency was no higher.
    fn go_back(&mut self, shown: &Shown, high: f64) {
        self.base.set(shown);
        self.fallen = None;
        self.knee = high;
        self.limit = self.limit.max(high);
        self.step = 0.2 * high;
        self.windows = WINDOWS;
    }
}

impl Policy for Vegas {
    fn update(&mut self, sample: &Sample) -> usize {
        let clamped = super::adopt(&mut self.limit, sample.limit);
        match &mut self.phase {
            Phase::New => self.phase = Phase::First(sample.limit),
            Phase::First(0) => self.phase = Phase::Starting,
            Phase::First(left) => *left -= 1,
            Phase::Starting if clamped => self.phase = Phase::Following,
            Phase::Starting | Phase::Following | Phase::Probing => {}
        }
        if sample.overloaded {
            self.overloaded(sample);
        } else if !matches!(self.phase, Phase::First(_)) {
            if let Some(shown) = self.window.add(sample) {
                if self.is_enough(&shown) {
                    self.decide(shown);
                    self.limit = self.limit.max(1.0);
                    self.window = Window::new(sample.now, shown.latency);
                }
            }
        }
        super::whole(self.limit)
    }
}

impl Default for Vegas {
    fn default() -> Self {
        Self::new()
    }
}

impl Base {
    fn set(&mut self, shown: &Shown) {
        *self = Self { latency: shown.latency, weight: shown.count };
    }

    /// Adds a window, with its calls counted `times` times.
    fn learn(&mut self, shown: &Shown, times: f64) {
        let count = shown.count * times;
        self.weight = self.weight.min(MEMORY * count.max(16.0)) + count;
        self.latency += (shown.latency - self.latency) * count / self.weight;
    }
}

impl Window {
    /// Begins when most calls that started earlier have completed.
    fn new(now: Duration, latency: f64) -> Self {
        let changed = now.as_secs_f64();
        Self { changed, begin: changed + latency, ..Self::default() }
    }

    /// Adds a call. Returns what the window shows, once that is significant.
    fn add(&mut self, sample: &Sample) -> Option<Shown> {
        if sample.now.as_secs_f64() < self.begin {
            return None;
        }
        // The clock may be coarse, and the call fast.
        let latency = sample.latency.as_secs_f64().max(1e-9);
        self.count += 1.0;
        self.latency += latency;
        self.square += latency * latency;
        self.in_use += sample.in_use as f64;
        self.full += f64::from(u8::from(sample.is_full()));
        let (count, latency) = (self.count, self.latency / self.count);
        if count < FEWEST {
            return None;
        }
        let variance = (self.square / count - latency * latency).max(0.0);
        Some(Shown {
            count,
            latency,
            error: (variance / (count - 1.0)).sqrt(),
            in_use: self.in_use / count,
            is_full: self.full * 2.0 >= count,
        })
    }
}
