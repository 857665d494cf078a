use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::{Row, Spread};

/// How much time to take.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often each contender runs, in turn with the others, after a round that warms up.
    pub rounds: usize,

    /// By how much to shorten the runs.
    pub divisor: u64,

    /// A contender whose first run takes longer, and ten times as long as ours, is left out.
    pub patience: Duration,
}

/// How much slower than we a contender is that may be left out.
const HOPELESS: f64 = 10.0;

/// How much more time an item takes, from one number of calls in flight to the next, with a contender
/// that will not be waited for at the number after that.
const GROWING: f64 = 2.0;

/// What came of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// What was done.
    pub workload: String,

    /// How many calls at once.
    pub in_flight: usize,

    /// What came of each contender, ours first.
    pub contenders: Vec<Timed>,
}

/// What came of one contender.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// Whose it is.
    pub name: String,

    /// The median of the times of an item, in nanoseconds. None for one that was too slow to wait for.
    pub nanoseconds: Option<f64>,

    /// Our time divided by its time, in each round.
    pub ratio: Option<Spread>,
}

/// A workload and a contender.
type Key = (String, String);

/// Times rows, each workload's from few calls in flight to many. It remembers who was hopeless, and
/// does not try more.
#[derive(Debug)]
pub struct Clock {
    effort: Effort,
    hopeless: HashSet<Key>,
    nanoseconds: HashMap<Key, f64>,
}

impl Clock {
    /// Makes a clock.
    pub fn new(effort: Effort) -> Self {
        Self { effort, hopeless: HashSet::new(), nanoseconds: HashMap::new() }
    }

    /// Runs the contenders in turn, so that whatever disturbs the machine disturbs all of them. Each
    /// round begins with another one, so that none always has the same neighbour.
    pub fn time(&mut self, row: &Row) -> Timing {
        let items = (row.items / self.effort.divisor).max(20);
        let number = row.contenders.len();
        let runs = self.warm_up(row, items);
        let mut times = vec![Vec::new(); number];
        for round in 0..self.effort.rounds {
            for index in (0..number).map(|n| (n + round) % number).filter(|&n| runs[n]) {
                times[index].push(run(row, index, items).as_nanos() as f64 / items as f64);
            }
        }
        let ours = times[0].clone();
        let timed = row.contenders.iter().zip(times).map(|(contender, times)| Timed {
            name: contender.name.to_owned(),
            ratio: (!times.is_empty()).then(|| {
                Spread::of(ours.iter().zip(&times).map(|(our, time)| our / time).collect())
            }),
            nanoseconds: (!times.is_empty()).then(|| Spread::of(times).median),
        });
        let contenders: Vec<_> = timed.collect();
        self.remember(&row.workload, &contenders);
        Timing { workload: row.workload.clone(), in_flight: row.in_flight, contenders }
    }

    /// Runs each contender once, and tells which of them are to run in the rounds. Ours is.
    fn warm_up(&mut self, row: &Row, items: u64) -> Vec<bool> {
        let mut ours = Duration::ZERO;
        let contenders = row.contenders.iter().enumerate();
        let runs = contenders.map(|(index, contender)| {
            let key = (row.workload.clone(), contender.name.to_owned());
            if self.hopeless.contains(&key) {
                return false;
            }
            let took = run(row, index, items);
            if index == 0 {
                ours = took;
            } else if took > self.effort.patience && took > ours.mul_f64(HOPELESS) {
                self.hopeless.insert(key);
                return false;
            }
            true
        });
        runs.collect()
    }

    fn remember(&mut self, workload: &str, contenders: &[Timed]) {
        let ours = contenders[0].nanoseconds;
        for timed in contenders {
            let (Some(now), Some(ours)) = (timed.nanoseconds, ours) else { continue };
            let key = (workload.to_owned(), timed.name.clone());
            let before = self.nanoseconds.insert(key.clone(), now);
            if now > HOPELESS * ours && before.is_some_and(|before| now > GROWING * before) {
                self.hopeless.insert(key);
            }
        }
    }
}

fn run(row: &Row, index: usize, items: u64) -> Duration {
    let start = Instant::now();
    row.run(&row.contenders[index], items);
    start.elapsed()
}
