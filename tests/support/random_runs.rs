//! What the models of random pipelines share: numbers, cases, and an executor that knows exactly when
//! a pipeline is stuck.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use proptest::prelude::ProptestConfig;

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

/// Wakes the executor.
pub(crate) struct Root(AtomicBool);

impl Root {
    /// A root that was never polled has to be.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }
}

impl Wake for Root {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls the root when it was woken, and lets things happen, until it is over, is to be dropped, or is
/// stuck. Returns how often it was polled.
pub(crate) fn drive(
    mut root: Pin<&mut dyn Future<Output = ()>>,
    (woken, waker): (&Root, &Waker),
    drop_at: Option<usize>,
    random: impl Fn(usize) -> usize,
    happen: impl Fn() -> bool,
) -> usize {
    let mut polls = 0;
    while Some(polls) != drop_at {
        if woken.0.load(Ordering::Relaxed) && random(3) > 0 {
            woken.0.store(false, Ordering::Relaxed);
            polls += 1;
            assert!(polls < 20_000, "it turns in circles");
            if root.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
                break;
            }
        } else if !happen() {
            assert!(woken.0.load(Ordering::Relaxed), "stuck: nobody will wake it");
        }
    }
    polls
}
