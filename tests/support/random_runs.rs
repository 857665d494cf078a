//! What the models of random pipelines share: numbers, cases, and how they are run.

use std::future::Future;
use std::pin::Pin;

use proptest::prelude::ProptestConfig;

use super::exec::{Stall, drive};
use super::waker::Task;

/// More polls than any pipeline of a model takes.
const MANY: usize = 20_000;

/// A number that follows from two others.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_add(0x2545_F491_4F6C_DD1D);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The default is for every day; `PROPTEST_CASES` is for whoever has time.
pub(crate) fn cases(default: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = default;
    }
    config.failure_persistence = None;
    config
}

/// Polls the root when it was woken, and lets things happen, until it is over, or to be dropped. Returns
/// how often it was polled.
pub(crate) fn run_at_random(
    task: &Task,
    root: Pin<&mut dyn Future<Output = ()>>,
    drop_at: Option<usize>,
    random: impl Fn(usize) -> usize,
    happen: impl Fn() -> bool,
) -> usize {
    let (polls, ended) = drive(task, root, drop_at.unwrap_or(MANY), || random(3) > 0, happen);
    match ended {
        Ok(()) => {}
        Err(Stall::Livelock) => assert!(drop_at.is_some(), "it turns in circles"),
        Err(Stall::Deadlock) => panic!("stuck: nobody will wake it"),
    }
    polls
}
