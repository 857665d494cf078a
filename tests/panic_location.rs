//! A wrong argument panics at the line of the caller. Apart, because the panic hook is the process's.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind, set_hook, take_hook};

use flowlet::adaptive::Vegas;
use flowlet::prelude::*;
use flowlet::{
    Adaptive, Flow, Semaphore, ThreadLocal, ThreadPool, errors_in_turn, functional, op, ordered,
};

thread_local! {
    /// Where this thread panicked last.
    static PANICKED: RefCell<Option<(String, u32)>> = const { RefCell::new(None) };
}

fn note(info: &PanicHookInfo<'_>) {
    let location = info.location().expect("a panic has a location");
    PANICKED.set(Some((location.file().to_owned(), location.line())));
}

/// Checks that `wrong` panics, in this file, on the line of the call or the next two.
#[track_caller]
fn check<T>(wrong: impl FnOnce() -> T) {
    let here = Location::caller();
    set_hook(Box::new(note));
    let outcome = catch_unwind(AssertUnwindSafe(|| drop(wrong())));
    drop(take_hook());
    assert!(outcome.is_err(), "line {} does not panic", here.line());
    let (file, line) = PANICKED.take().expect("the hook was called");
    assert_eq!(file, here.file());
    assert!((here.line()..here.line() + 3).contains(&line), "{line}, not {}", here.line());
}

#[test]
fn it_is_the_callers() {
    let items = || pipe([1]);

    check(|| items().map_concurrent(0, async |item: i32| item));
    check(|| items().map_concurrent(ordered(0), async |item: i32| item));

    check(|| items().filter_concurrent(0, async |_: &i32| true));
    check(|| items().filter_concurrent(ordered(0), async |_: &i32| true));

    check(|| items().inspect_concurrent(0, async |_: &i32| ()));
    check(|| items().filter_map_concurrent(0, async |item: i32| Some(item)));
    check(|| items().filter_map_concurrent(ordered(0), async |item: i32| Some(item)));

    check(|| items().flat_map_concurrent(0, |item: i32| [item]));
    check(|| items().flat_map_concurrent(ordered(0), |item: i32| [item]));

    check(|| items().expand_concurrent(0, async |item: i32| (item, [])));
    check(|| items().map_concurrent_by_key(0, |item| *item, async |item: i32| item));
    check(|| ordered(1).window(0));
    let by_key = || items().map_concurrent_by_key(1, |item| *item, async |item: i32| item);
    check(|| by_key().per_key(0));

    check(|| items().batched(0));
    check(|| items().batched_by_weight(0, |_| 1));
    #[cfg(feature = "time")]
    {
        use std::time::Duration;

        check(|| items().batched_within(0, Duration::MAX));
        check(|| items().batched_within(1, Duration::ZERO));
        let results = || items().map(Ok::<i32, ()>);
        check(|| results().try_batched_within(0, Duration::MAX));
        check(|| results().try_batched_within(1, Duration::ZERO));
    }

    check(|| items().prefetch(0, drop));

    let results = || items().map(Ok::<i32, ()>);

    check(|| results().try_map_concurrent(0, async |item| Ok(item)));
    check(|| results().try_filter_concurrent(0, async |_| Ok(true)));
    check(|| results().try_inspect_concurrent(0, async |_| Ok(())));
    check(|| results().try_filter_map_concurrent(0, async |item| Ok(Some(item))));
    check(|| results().try_flat_map_concurrent(0, async |item| Ok([item])));
    check(|| results().try_map_concurrent(errors_in_turn(ordered(0)), async |item| Ok(item)));
    check(|| results().try_expand_concurrent(0, async |item| Ok((item, []))));
    check(|| results().try_map_concurrent_by_key(0, |item| *item, async |item: i32| Ok(item)));
    check(|| results().try_batched(0));
    check(|| results().try_batched_by_weight(0, |_| 1));

    check(|| Semaphore::new(0));
    check(|| Adaptive::new(0..=4));
    check(|| Adaptive::with_policy(0..=4, Vegas::new()));
    check(|| Adaptive::builder(RangeInclusive::new(5, 4)));

    check(|| ThreadPool::new(0));
    check(|| ThreadPool::builder(0));
    check(|| ThreadPool::builder(1).name("\0"));

    let local = ThreadLocal::new(|| 1);
    local.with(|_| check(|| local.with(|_| ())));
    local.with(|_| check(|| local.close()));
    let fallible = ThreadLocal::new(|| Ok::<_, ()>(1));
    fallible.try_with(|_| check(|| fallible.try_with(|_| ()))).unwrap();

    in_flows();
}

// Not a test of its own: there is one hook for all.
fn in_flows() {
    let items = || pipe([1]);
    let results = || items().map(Ok::<i32, ()>);

    let flow = Flow::<i32>::identity;

    check(|| flow().map_concurrent(0, async |item: i32| item));
    check(|| flow().filter_concurrent(0, async |_: &i32| true));
    check(|| flow().filter_map_concurrent(0, async |item: i32| Some(item)));
    check(|| flow().flat_map_concurrent(0, |item: i32| [item]));
    check(|| flow().expand_concurrent(0, async |item: i32| (item, [])));
    check(|| flow().batched(0));
    check(|| flow().batched_by_weight(0, |_| 1));
    check(|| flow().prefetch(0, drop));
    #[cfg(feature = "time")]
    check(|| flow().batched_within(1, std::time::Duration::ZERO));

    let try_flow = Flow::<Result<i32, ()>>::identity;

    check(|| try_flow().try_map_concurrent(0, async |item: i32| Ok(item)));
    check(|| try_flow().try_filter_concurrent(0, async |_: &i32| Ok(true)));
    check(|| try_flow().try_filter_map_concurrent(0, async |item: i32| Ok(Some(item))));
    check(|| try_flow().try_flat_map_concurrent(0, async |item: i32| Ok([item])));
    check(|| try_flow().try_batched(0));

    check(|| op::map_concurrent(0, async |item: i32| item));
    check(|| op::filter_concurrent(0, async |_: &i32| true));
    check(|| op::filter_map_concurrent(0, async |item: i32| Some(item)));
    check(|| op::flat_map_concurrent(0, |item: i32| [item]));
    check(|| op::expand_concurrent(0, async |item: i32| (item, [])));
    check(|| op::batched::<i32>(0));
    check(|| op::prefetch::<i32, _, _>(0, drop));
    check(|| op::try_map_concurrent(0, async |item: i32| Ok::<_, ()>(item)));
    check(|| op::try_filter_concurrent(0, async |_: &i32| Ok::<_, ()>(true)));
    check(|| op::try_filter_map_concurrent(0, async |item: i32| Ok::<_, ()>(Some(item))));
    check(|| op::try_flat_map_concurrent(0, async |item: i32| Ok::<_, ()>([item])));
    check(|| op::try_batched::<i32, ()>(0));

    check(|| functional::map_concurrent(0, async |item: i32| item)(items()));
    check(|| functional::filter_concurrent(0, async |_: &i32| true)(items()));
    check(|| functional::filter_map_concurrent(0, async |item: i32| Some(item))(items()));
    check(|| functional::flat_map_concurrent(0, |item: i32| [item])(items()));
    check(|| functional::expand_concurrent(0, async |item: i32| (item, []))(items()));
    check(|| functional::batched(0)(items()));
    check(|| functional::batched_by_weight(0, |_: &i32| 1)(items()));
    check(|| functional::try_map_concurrent(0, async |item: i32| Ok(item))(results()));
    check(|| functional::try_filter_concurrent(0, async |_: &i32| Ok(true))(results()));
    check(|| functional::try_filter_map_concurrent(0, async |item: i32| Ok(Some(item)))(results()));
    check(|| functional::try_flat_map_concurrent(0, async |item: i32| Ok([item]))(results()));
    check(|| functional::try_batched(0)(results()));
}
