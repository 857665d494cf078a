//! Measures flowlet against its peers, side by side, and writes down what came out.
//!
//! | command | what | takes |
//! | --- | --- | --- |
//! | `cargo bench -p flowlet-benches --bench suite` | everything; writes `results/`, `RESULTS.md` and `charts/` | 15 minutes, once built |
//! | the same with `-- counts` | what can be counted; writes that as well | six minutes |
//! | the same with `-- results` | measures nothing; writes `RESULTS.md` and `charts/` again from `results/` | |
//! | the same with `-- quick` | fewer rounds and sizes; prints | three minutes |
//! | the same with `-- check` | exact figures against `baseline.csv`; fails if one got worse | a minute |
//! | the same with `-- check --record` | writes `baseline.csv` | a minute |
//! | the same with `-- smoke` | every row once, with few items: does it all work? | two minutes |
//! | the same with `-- fairness` | what the budget of a poll is chosen by; prints | a minute |
//! | the same with `-- rows WORKLOAD` | the rows of one workload; prints | seconds |
//! | the same with `-- WORKLOAD IN_FLIGHT CONTENDER ITEMS` | one contender once, for a profiler | |
//! | `cargo bench -p flowlet-benches --bench limits` | limits beside those of others; writes `LIMITS.md` | five minutes |
//!
//! Each processor has its files in `results/`, which a run on it replaces; the counts are the last run's,
//! wherever that was.
//!
//! Instructions are counted by `valgrind --tool=callgrind`. Numbers of one run can be compared, those
//! of two runs cannot, unless they are exact: instructions, allocations, bytes.

pub mod baseline;
pub mod call;
mod contender;
pub mod exact;
mod executor;
pub mod figure;
pub mod peer;
pub mod record;
pub mod report;
pub mod run;
mod spread;
mod tally;
mod time;
pub mod workload;

pub use contender::{Contender, Row};
pub use executor::Executor;
pub use spread::Spread;
pub use tally::{Tally, tally, tally_in_order};
pub use time::{Clock, Effort, Timed, Timing};
