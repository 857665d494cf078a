//! A limit that a policy sets: what counts as a call, what becomes of what the policy says, and of its panics.

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use async_executor::LocalExecutor;
use flowlet::adaptive::{Adaptive, Aimd, Gradient, Policy, Sample, Vegas};
use flowlet::prelude::*;
use flowlet::{Permit, Semaphore, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

use crate::support::gauge::Gauge;
use crate::support::panicked::message_of;
use crate::support::stages::Stage;
use crate::support::waker::Task;

/// What a policy was shown, and what it says to that.
#[derive(Clone)]
struct Told {
    samples: Arc<Mutex<Vec<Sample>>>,
    says: Arc<Mutex<usize>>,
}

impl Told {
    /// A policy that says the limit, and does not panic.
    fn new(limit: usize) -> Self {
        Self { samples: Arc::default(), says: Arc::new(Mutex::new(limit)) }
    }

    fn say(&self, limit: usize) {
        *self.says.lock().unwrap() = limit;
    }

    fn count(&self) -> usize {
        self.samples.lock().unwrap().len()
    }

    fn take(&self) -> Vec<Sample> {
        std::mem::take(&mut *self.samples.lock().unwrap())
    }
}

impl Policy for Told {
    fn update(&mut self, sample: &Sample) -> usize {
        self.samples.lock().unwrap().push(sample.clone());
        let says = *self.says.lock().unwrap();
        assert!(says != PANIC, "the policy panics");
        says
    }
}

/// A limit that has the policy panic.
const PANIC: usize = usize::MAX;

/// A clock that is set by hand.
#[derive(Clone)]
struct Clock(Arc<Mutex<Instant>>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn advance(&self, millis: u64) {
        *self.0.lock().unwrap() += Duration::from_millis(millis);
    }

    fn read(&self) -> impl Fn() -> Instant + Send + Sync + 'static {
        let clock = self.clone();
        move || *clock.0.lock().unwrap()
    }
}

/// A limit of 4 that stays as it is, and who is told of its calls.
fn told() -> (Adaptive, Told, Clock) {
    let (told, clock) = (Told::new(4), Clock::new());
    let limit = Adaptive::builder(1..=256).policy(told.clone()).clock(clock.read()).build();
    (limit, told, clock)
}

#[test]
fn a_permit_that_is_dropped_is_a_sample() {
    let (limit, told, clock) = told();
    clock.advance(5);
    let first = block_on(limit.acquire());
    let second = limit.semaphore().try_acquire_many(2).unwrap();
    clock.advance(10);
    assert_eq!(told.count(), 0);
    drop(first);
    clock.advance(20);
    drop(second);
    let samples = told.take();
    assert_eq!(samples.len(), 2);
    let of = |sample: &Sample| (sample.latency.as_millis(), sample.in_use, sample.now.as_millis());
    assert_eq!(of(&samples[0]), (10, 1, 15));
    assert_eq!(of(&samples[1]), (30, 3, 35));
    assert!(samples.iter().all(|sample| sample.limit == 4 && !sample.overloaded));
}

#[test]
fn an_unmeasured_permit_is_none() {
    let (limit, told, _) = told();
    drop(block_on(limit.acquire()).unmeasured());
    assert_eq!((told.count(), limit.semaphore().in_use()), (0, 0));
}

#[test]
fn permits_that_were_split_or_merged_are_one_sample() {
    let (limit, told, _) = told();
    let mut permits = limit.semaphore().try_acquire_many(3).unwrap();
    let split = permits.split(1).unwrap();
    drop(split);
    assert_eq!(told.count(), 0);
    permits.merge(limit.semaphore().try_acquire().unwrap());
    assert_eq!(told.count(), 0);
    drop(permits);
    assert_eq!((told.count(), limit.semaphore().in_use()), (1, 0));
}

#[test]
fn a_permit_that_is_dropped_by_a_panic_is_none() {
    let (limit, told, _) = told();
    let permit = block_on(limit.acquire());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _permit = permit;
        panic!("the call panics");
    }));
    assert!(outcome.is_err());
    assert_eq!((told.count(), limit.semaphore().in_use()), (0, 0));
}

#[test]
fn a_call_of_a_stage_is_a_sample_when_it_is_over() {
    for stage in Stage::ALL {
        let (limit, told, clock) = told();
        let source = stream::iter(0..10_usize);
        let calls = stage.of(source, &limit, |_| {
            let clock = clock.clone();
            async move {
                yield_now().await;
                clock.advance(1);
            }
        });
        assert_eq!(block_on(calls.count()), 10, "{stage:?}");
        let samples = told.take();
        assert!(samples.len() >= 10, "{stage:?}: {}", samples.len());
        assert!(samples.iter().any(|sample| sample.in_use == 4), "{stage:?}");
        assert!(samples.iter().all(|sample| (1..=4).contains(&sample.in_use)), "{stage:?}");
        assert!(samples.iter().any(|sample| sample.latency.as_millis() >= 1), "{stage:?}");
        assert_eq!(limit.semaphore().in_use(), 0);
    }
}

#[test]
fn so_is_one_of_a_try_stage() {
    for stage in Stage::ALL {
        let (limit, told, _) = told();
        let source = stream::iter((0..10).map(Ok));
        let calls = stage.try_of(source, &limit, async |_| {
            yield_now().await;
            Ok(())
        });
        assert_eq!(block_on(calls.count()), 10, "{stage:?}");
        assert!(told.count() >= 10, "{stage:?}");
    }
}

#[test]
fn an_inner_stream_is_a_sample_with_each_output() {
    let (limit, told, clock) = told();
    let inner = |_| {
        let clock = clock.clone();
        stream::iter(0..5).then(move |n| {
            clock.advance(3);
            async move { n }
        })
    };
    let outputs = pipe([0]).flat_map_concurrent(&limit, inner);
    assert_eq!(block_on(outputs.count()), 5);
    let samples = told.take();
    let slow = samples.iter().filter(|sample| sample.latency.as_millis() == 3).count();
    assert_eq!((slow, samples.len()), (5, 6)); // and its end
}

#[test]
fn a_call_that_is_dropped_is_no_sample() {
    let (limit, told, _) = told();
    let mut calls =
        Box::pin(stream::iter(0..9).map_concurrent(&limit, async |_| pending::<()>().await));
    assert!(Task::new().poll_next(&mut calls).is_pending());
    assert_eq!(limit.semaphore().in_use(), 4);
    drop(calls);
    assert_eq!((told.count(), limit.semaphore().in_use()), (0, 0));
}

#[test]
fn nor_is_one_that_an_error_drops() {
    let (limit, told, _) = told();
    let mut calls = pin!(pipe(0..9).map(Ok).try_map_concurrent(&limit, async |n| {
        if n == 2 {
            return Err(n);
        }
        pending::<Result<(), i32>>().await
    }));
    assert_eq!(block_on(calls.next()), Some(Err(2)));
    assert_eq!((told.count(), limit.semaphore().in_use()), (1, 0));
}

#[test]
fn nor_is_one_that_panics() {
    let (limit, told, _) = told();
    let mut calls = Box::pin(pipe(0..2).map_concurrent(&limit, async |n| {
        assert!(n != 0, "the call panics");
    }));
    assert_eq!(message_of(|| block_on(calls.next())), "the call panics");
    assert_eq!((told.count(), limit.semaphore().in_use()), (0, 0));
    assert_eq!(block_on(calls.count()), 1);
    assert_eq!(told.count(), 1);
}

#[test]
fn a_call_that_says_it_was_too_much_is_overloaded() {
    let (limit, told, _) = told();
    let calls = pipe(0..8).map_concurrent(&limit, async |n| {
        yield_now().await;
        if n % 4 == 1 {
            limit.overloaded();
        }
    });
    block_on(calls.count());
    let overloaded: Vec<bool> = told.take().iter().map(|sample| sample.overloaded).collect();
    assert_eq!(overloaded, [false, true, false, false, false, true, false, false]);
}

#[test]
fn and_so_is_a_permit_of_which_that_is_said() {
    let (limit, told, _) = told();
    let (mut one, other) = (block_on(limit.acquire()), block_on(limit.acquire()));
    one.overloaded();
    drop(other);
    drop(one);
    let overloaded: Vec<bool> = told.take().iter().map(|sample| sample.overloaded).collect();
    assert_eq!(overloaded, [false, true]);

    // Others' permits have nobody to tell.
    let mut permit: Permit = Semaphore::new(1).try_acquire().unwrap();
    permit.overloaded();
    drop(permit.unmeasured());
}

#[test]
fn the_limit_stays_in_its_range() {
    let told = Told::new(100);
    let limit = Adaptive::with_policy(3..=8, told.clone());
    let sets = |says: usize| {
        told.say(says);
        drop(block_on(limit.acquire()));
        limit.limit()
    };
    assert_eq!(limit.limit(), 4);
    assert_eq!([100, 5, 0, 8, 3, 1].map(sets), [8, 5, 3, 8, 3, 3]);
    // The policy is told what became of what it said.
    let limits: Vec<usize> = told.take().iter().map(|sample| sample.limit).collect();
    assert_eq!(limits, [4, 8, 5, 3, 8, 3]);
}

#[test]
fn it_begins_in_its_range() {
    assert_eq!(Adaptive::new(1..=256).limit(), 4);
    assert_eq!(Adaptive::new(1..=2).limit(), 2);
    assert_eq!(Adaptive::new(10..=20).limit(), 10);
    assert_eq!(Adaptive::builder(1..=256).initial(1000).build().limit(), 256);
    assert_eq!(Adaptive::builder(1..=usize::MAX).initial(0).build().limit(), 1);
}

#[test]
fn a_higher_limit_wakes_who_waits() {
    let (limit, told, _) = told();
    let mut held: Vec<Permit> = (0..4).map(|_| block_on(limit.acquire())).collect();
    let mut waiting: Vec<_> = (0..4).map(|_| (Task::new(), Box::pin(limit.acquire()))).collect();
    for (task, acquire) in &mut waiting {
        assert!(task.poll(acquire).is_pending());
    }
    told.say(6);
    drop(held.pop());
    // One permit came back, and there are two more.
    let woken: Vec<bool> = waiting.iter().map(|(task, _)| task.is_woken()).collect();
    assert_eq!(woken, [true, true, true, false]);
    told.say(1);
    drop(held.pop());
    assert_eq!(limit.limit(), 1);
    for (task, acquire) in &mut waiting {
        // What was granted and not taken was more than there is by now.
        assert!(task.poll(acquire).is_pending());
    }
}

#[test]
fn calls_never_exceed_a_limit_that_moves() {
    let (limit, told, _) = told();
    let gauge = Gauge::default();
    let most = Cell::new(0);
    let calls = pipe(0..200_usize).map_concurrent(ordered(&limit), async |n| {
        let _unit = gauge.unit();
        most.set(most.get().max(limit.semaphore().in_use().saturating_sub(limit.limit())));
        for _ in 0..n % 3 {
            yield_now().await;
        }
        told.say(1 + n % 7);
        n
    });
    let outputs: Vec<usize> = block_on(calls.collect());
    assert_eq!(outputs, (0..200).collect::<Vec<_>>());
    assert!(gauge.peak() <= 7, "{}", gauge.peak());
    assert!(gauge.peak() > 4, "{}", gauge.peak());
}

#[test]
fn users_have_their_turns_while_it_moves() {
    let (limit, told, _) = told();
    let counts: Vec<Cell<usize>> = (0..5).map(|_| Cell::new(0)).collect();
    let user = async |count: &Cell<usize>| {
        for n in 0..1000 {
            let _permit = limit.acquire().await;
            yield_now().await;
            told.say(1 + n % 3);
            count.set(count.get() + 1);
        }
    };
    let executor = LocalExecutor::new();
    let _tasks: Vec<_> = counts.iter().map(|count| executor.spawn(user(count))).collect();
    while counts.iter().map(Cell::get).sum::<usize>() < 500 {
        assert!(executor.try_tick(), "they never end");
    }
    assert!(counts.iter().all(|count| (98..=102).contains(&count.get())), "{counts:?}");
}

#[test]
fn a_policy_that_panics_loses_no_permit() {
    let (limit, told, _) = told();
    told.say(PANIC);
    let permit = block_on(limit.acquire());
    assert_eq!(message_of(|| drop(permit)), "the policy panics");
    assert_eq!((limit.semaphore().in_use(), limit.limit()), (0, 4));

    // It is asked again.
    told.say(7);
    drop(block_on(limit.acquire()));
    assert_eq!((limit.semaphore().in_use(), limit.limit()), (0, 7));
}

#[test]
fn nor_the_output_of_a_stage() {
    for stage in Stage::ALL {
        let (limit, told, _) = told();
        let mut calls = stage.of(stream::iter(0..3), &limit, async |_| yield_now().await);
        told.say(PANIC);
        assert_eq!(message_of(|| block_on(calls.next())), "the policy panics", "{stage:?}");
        told.say(4);
        let outputs: Vec<usize> = block_on(calls.collect());
        assert_eq!(outputs, [0, 1, 2], "{stage:?}");
        assert_eq!(limit.semaphore().in_use(), 0, "{stage:?}");
    }
}

/// Takes and gives back a permit whenever it is asked, and notes how deep that goes.
struct Nested {
    limit: Arc<Mutex<Option<Adaptive>>>,
    asked: Arc<Mutex<usize>>,
}

impl Policy for Nested {
    fn update(&mut self, sample: &Sample) -> usize {
        let asked = {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            *asked
        };
        let limit = self.limit.lock().unwrap().clone().unwrap();
        if asked < 10 {
            drop(limit.semaphore().try_acquire());
        }
        sample.limit
    }
}

#[test]
fn a_policy_may_use_the_limit() {
    let (own, asked) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(0)));
    let limit = Adaptive::with_policy(2..=9, Nested { limit: own.clone(), asked: asked.clone() });
    *own.lock().unwrap() = Some(limit.clone());
    drop(block_on(limit.acquire()));
    assert_eq!((*asked.lock().unwrap(), limit.semaphore().in_use()), (10, 0));
    *own.lock().unwrap() = None;
}

#[test]
fn no_sample_is_lost_between_threads() {
    let told = Told::new(4);
    let limit = Adaptive::with_policy(1..=256, told.clone());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    drop(block_on(limit.acquire()));
                }
            });
        }
    });
    assert_eq!((told.count(), limit.semaphore().in_use()), (2000, 0));
}

#[test]
fn a_limit_that_is_set_holds_until_the_next_call_is_over() {
    let (limit, told, _) = told();
    limit.semaphore().set_limit(300);
    assert_eq!(limit.limit(), 300);
    drop(block_on(limit.acquire()));
    assert_eq!(limit.limit(), 4);
    assert_eq!(told.take()[0].limit, 300);
}

#[test]
fn a_limit_of_0_pauses_it() {
    let (limit, told, _) = told();
    let permit = block_on(limit.acquire());
    limit.semaphore().set_limit(0);
    drop(permit);
    assert_eq!((limit.limit(), told.count()), (0, 0));
    limit.semaphore().set_limit(9);
    drop(block_on(limit.acquire()));
    assert_eq!((limit.limit(), told.count()), (4, 1));
}

#[test]
fn a_paused_clock_of_tokio_drives_it() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let told = Told::new(4);
    runtime.unwrap().block_on(async {
        let limit = Adaptive::builder(1..=256)
            .policy(told.clone())
            .clock(|| tokio::time::Instant::now().into_std())
            .build();
        let calls = pipe(0..8_u64).map_concurrent(&limit, |n| {
            tokio::time::sleep(Duration::from_millis(10 * (1 + n / 4)))
        });
        calls.drain().await;
    });
    let latencies: Vec<u128> =
        told.take().iter().map(|sample| sample.latency.as_millis()).collect();
    assert_eq!(latencies, [10, 10, 10, 10, 20, 20, 20, 20]);
}

#[test]
fn its_handles_are_of_one_limit() {
    let (limit, told, _) = told();
    let other = limit.clone();
    told.say(9);
    drop(block_on(other.acquire()));
    assert_eq!((limit.limit(), other.limit()), (9, 9));
    block_on(pipe([1]).map_concurrent(other, async |n: i32| n).drain());
    assert_eq!(told.count(), 2);
    assert_eq!(
        format!("{limit:?}"),
        "Adaptive { range: 1..=256, semaphore: Semaphore { limit: 9, in_use: 0 }, .. }"
    );
}

/// Shows a policy calls that come one after the other, each of so many milliseconds, with all permits in use.
/// Returns the limit in the end.
fn shown(
    policy: &mut dyn Policy,
    calls: usize,
    millis: u64,
    change: impl Fn(&mut Sample),
) -> usize {
    let mut limit = 10;
    let mut now = Duration::ZERO;
    for _ in 0..calls {
        let latency = Duration::from_millis(millis);
        now += latency / limit as u32;
        let mut sample = Sample::default();
        sample.latency = latency;
        (sample.in_use, sample.limit, sample.now) = (limit, limit, now);
        change(&mut sample);
        limit = policy.update(&sample).clamp(1, 1000);
    }
    limit
}

fn policies() -> [(&'static str, Box<dyn Policy>); 3] {
    [
        ("Aimd", Box::new(Aimd::new())),
        ("Gradient", Box::new(Gradient::new())),
        ("Vegas", Box::new(Vegas::new())),
    ]
}

#[test]
fn policies_raise_a_limit_that_is_all_used_while_calls_are_fast() {
    for (name, mut policy) in policies() {
        let limit = shown(&mut *policy, 2000, 20, |_| ());
        assert!(limit > 20, "{name}: {limit}");
    }
}

#[test]
fn they_do_not_raise_one_that_is_not_used() {
    for (name, mut policy) in policies() {
        let limit = shown(&mut *policy, 2000, 20, |sample| sample.in_use = 3);
        assert!(limit <= 10, "{name}: {limit}");
    }
}

#[test]
fn they_lower_it_when_there_is_too_much_to_do() {
    for (name, mut policy) in policies() {
        let limit = shown(&mut *policy, 2000, 20, |sample| sample.overloaded = true);
        assert_eq!(limit, 1, "{name}");
    }
}

#[test]
fn they_take_calls_that_take_no_time() {
    for (name, mut policy) in policies() {
        let limit = shown(&mut *policy, 2000, 0, |_| ());
        assert!((1..=1000).contains(&limit), "{name}: {limit}");
    }
}

#[test]
fn a_time_out_counts_as_too_much_to_do() {
    let mut policy = Aimd::new().timeout(Duration::from_millis(19));
    assert_eq!(shown(&mut policy, 2000, 20, |_| ()), 1);
}

#[test]
fn a_clock_that_panics_as_a_permit_is_taken_loses_no_item() {
    for limit in [ordered, flowlet::Concurrency::new] {
        let asked = Mutex::new(0);
        let clock = move || {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            let panics = *asked == 5;
            drop(asked);
            assert!(!panics, "the clock panics");
            Instant::now()
        };
        let adaptive = Adaptive::builder(1..=8).clock(clock).build();
        let mut stage = Box::pin(pipe(0..9).map_concurrent(limit(adaptive.clone()), async |n| n));
        let (mut numbers, mut panics) = (Vec::new(), 0);
        loop {
            match catch_unwind(AssertUnwindSafe(|| block_on(stage.next()))) {
                Ok(Some(n)) => numbers.push(n),
                Ok(None) => break,
                Err(_) => panics += 1,
            }
        }
        assert_eq!((numbers, panics), (Vec::from_iter(0..9), 1));
        assert_eq!(adaptive.semaphore().in_use(), 0);
    }
}
