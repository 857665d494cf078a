//! A wrong argument panics at the line of the caller.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind, set_hook, take_hook};

use flowlet_process::{Function, ProcessPool, in_process, worker};

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

const ONE: Function<u8, u8> = Function::new("one", |n| n);
const OTHER: Function<u8, u8> = Function::new("one", |n| n + 1);

#[test]
fn it_is_the_callers() {
    check(|| ProcessPool::builder().size(0));
    // `worker` was not called, ...
    check(|| in_process(&ProcessPool::new(), ONE));
    check(|| worker(&[&ONE, &OTHER]));
    // ... was called without the function, and is called again.
    worker(&[]);
    check(|| in_process(&ProcessPool::new(), ONE));
    check(|| worker(&[&ONE]));
}
