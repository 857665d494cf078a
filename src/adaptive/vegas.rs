//! The limit from the length of the queue.

use std::time::Duration;

use super::policy::{Policy, Sample};

/// Vegas: the limit from how many calls queue. It is the default.
///
/// It knows what a call takes when none queue. With that, what calls take now, and how many there are, tells how
/// many of them queue, as [Little's law] has it: of 20 calls that take twice as long as they need, 10 do. So TCP
/// Vegas finds how much it may send ([Brakmo and Peterson 1995]), and so does Netflix's [concurrency-limits].
///
/// - Calls are taken together in **windows** of about as many as there may be at once, more where they differ much.
///   A window begins when the calls that began under the last limit are over, for the most part.
/// - While none queue the limit **grows**: by doubling until it has found the server's knee, then by a little, and
///   by more each time for as long as none queue. It does not grow unless it is all used.
/// - If more queue than chance explains, it **falls** to the number of calls that did not. So the queue is drained,
///   and users of one server come to equal shares, by the reasons of [Chiu and Jain 1989].
/// - What a call takes without a queue is **learned** when there should be none: right after a fall, and every now
///   and then, for one window, two thirds of that. [BBR] does so.
/// - If calls take as long as before though half as many run, they do not queue: the server has become **slower**.
///   Then the limit goes back to where it was.
/// - With the first **overloaded** call of a window the limit falls by a tenth.
///
/// It fits calls that take about the same each time, or differ by chance. Where some take a hundred times as
/// long as others, give each kind a limit of its own.
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
    /// The limit, with the fraction that it has to grow by before it is another one.
    limit: f64,

    base: Base,

    window: Window,

    phase: Phase,

    /// How many calls did not queue when the limit fell last.
    knee: f64,

    /// By how much the limit grew last, since it fell. 0 if it did not.
    step: f64,

    /// The window in which the limit fell, and none since then was without a queue.
    fallen: Option<Fallen>,

    /// How many windows there were since the last probe.
    windows: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No call was over yet.
    New,
    /// The first calls are over, of which the fast ones come first: so many still do not count.
    First(usize),
    /// The limit doubles.
    Starting,
    /// The limit follows the knee.
    Following,
    /// The limit is far below the knee, for one window.
    Probing,
}

/// What a call takes when none queue.
#[derive(Clone, Copy, Debug, Default)]
struct Base {
    /// In seconds. 0 if that is not known.
    latency: f64,

    /// Of how many calls that is the mean.
    weight: f64,
}

/// The calls since the last decision.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// When the limit was changed. Calls that began earlier began under another one.
    changed: f64,

    /// When calls that end count.
    begin: f64,

    /// Sums over the calls.
    count: f64,
    latency: f64,
    square: f64,
    in_use: f64,
    full: f64,
}

/// What a window has shown.
#[derive(Clone, Copy)]
struct Shown {
    count: f64,

    /// What a call took in the mean, and how far that may be off.
    latency: f64,
    error: f64,

    /// How many calls there were at once, in the mean.
    in_use: f64,

    /// Whether the limit was all used.
    is_full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Fallen {
    in_use: f64,
    latency: f64,

    /// How many there were when calls took no longer than then: as many, or more if the limit fell in vain.
    high: f64,
}

/// By how much longer calls may take than without a queue: in parts, and in standard errors.
const TOLERATED: f64 = 1.075;
const CHANCE: f64 = 1.5;

/// The same until the limit has found the knee, and while it probes: what is learned then may be off.
const TOLERATED_AT_FIRST: f64 = 1.3;

/// How many calls may queue at least. Fewer cannot be told from none.
const QUEUE: f64 = 0.65;

/// Where the limit falls to, as a part of the calls that did not queue.
const FALL: f64 = 0.96;

/// How far below the next whole number a limit may be that does not fall below that.
const ROUNDING: f64 = 0.7;

/// How many of its standard errors the estimate of a queue is lowered by, for the chance that brought it up.
const LOWERED: f64 = 0.3;

/// The first step of growth, with the fourth root of the limit, and how much larger each one is than the last while
/// calls take no longer than so.
const STEP: f64 = 0.75;
const ACCELERATION: f64 = 1.8;
const NO_QUEUE: f64 = 1.1;

/// After how many windows the limit probes, and how far it goes.
const WINDOWS: u32 = 18;
const PROBE: f64 = 0.72;

/// What counts as overload: the limit falls to this part.
const LEFT: f64 = 0.9;

/// A window is of so many calls at least, and until its error is small, but not of more than so many for each that
/// may run. It is cut short if there is a queue beyond that many errors.
const CALLS: f64 = 12.0;
const CALLS_AT_FIRST: f64 = 24.0;
const ERROR: f64 = 0.05;
const ROUNDS: f64 = 9.0;
const FEWEST: f64 = 8.0;
const CUT_SHORT: f64 = 4.0;

/// How many windows what is known of the base counts as, at most, against the next one.
const MEMORY: f64 = 12.0;

impl Vegas {
    /// Makes a policy that has seen no call yet.
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

    /// Tells whether a window may end here.
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

    /// Decides on the limit by what a window has shown.
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
            // One call at a time does not queue behind any of ours.
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
        // Not in the middle of a change.
        if self.windows > WINDOWS && ratio < 1.4 {
            self.windows = 0;
            self.phase = Phase::Probing;
            self.limit = (self.knee * PROBE).round().min((self.knee - ROUNDING).floor());
        }
    }

    /// Learns from calls of which few were let run, and returns to as many as there should be.
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

    /// Learns what a call takes when none queue, if none should.
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

    /// Tells whether the limit fell twice, and calls take as long as before. Then they do not queue.
    fn is_in_vain(&mut self, shown: &Shown) -> bool {
        let Some(fallen) = self.fallen else { return false };
        let left = shown.in_use / fallen.in_use;
        if left >= 0.9 {
            return false; // That is too little to tell.
        }
        let change = shown.latency / fallen.latency;
        // If they take longer still, something is just changing.
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

    /// Takes what calls take now for what they take without a queue, and lets as many run as when they took no
    /// longer.
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

    /// Takes in one more window, as if it were of so many times as many calls.
    fn learn(&mut self, shown: &Shown, times: f64) {
        let count = shown.count * times;
        self.weight = self.weight.min(MEMORY * count.max(16.0)) + count;
        self.latency += (shown.latency - self.latency) * count / self.weight;
    }
}

impl Window {
    /// Begins when most calls that began earlier are over.
    fn new(now: Duration, latency: f64) -> Self {
        let changed = now.as_secs_f64();
        Self { changed, begin: changed + latency, ..Self::default() }
    }

    /// Takes in a call. Returns what the window shows, if that is worth a look.
    fn add(&mut self, sample: &Sample) -> Option<Shown> {
        if sample.now.as_secs_f64() < self.begin {
            return None;
        }
        // A clock may be coarse, and a call fast.
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
