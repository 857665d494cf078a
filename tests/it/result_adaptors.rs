//! The plain adaptors of streams of `Result`s.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::num::ParseIntError;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

// Beside one another, as in a program.
use flowlet::prelude::*;
use flowlet::{ResultStreamExt, ordered};
use futures_lite::future::block_on;
use futures_util::stream::FusedStream;

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::waker::Task;

type Item = Result<u32, &'static str>;

const ITEMS: [Item; 5] = [Ok(1), Err("two"), Ok(3), Err("four"), Ok(5)];

/// A source that counts how often it is polled, is silent before every item, and knows its end.
#[derive(Clone, Debug, Default)]
struct Source {
    left: VecDeque<Item>,
    silent: bool,
    polls: usize,
    ended: bool,
}

impl Source {
    fn new() -> Self {
        Self { left: ITEMS.into(), ..Self::default() }
    }
}

impl Stream for Source {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.polls += 1;
        self.silent = !self.silent;
        if self.silent {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let item = self.left.pop_front();
        self.ended = item.is_none();
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.len(), Some(self.left.len() + 7))
    }
}

impl FusedStream for Source {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

/// What has neither `Debug` nor `Send`, for closures to own.
struct Opaque(*const ());

const OPAQUE: Opaque = Opaque(std::ptr::null());

/// Does the same to each of the adaptors, which have types of their own.
macro_rules! each {
    ($source:expr, |$stream:ident| $check:expr) => {{
        let opaque = OPAQUE;
        let $stream = $source.map_ok(move |n| (n, opaque.0));
        $check;
        let $stream = $source.map_err(move |e| (e, OPAQUE.0));
        $check;
        let $stream = $source.err_into::<String>();
        $check;
        let $stream = $source.inspect_ok(move |_| assert!(OPAQUE.0.is_null()));
        $check;
        let $stream = $source.inspect_err(move |_| assert!(OPAQUE.0.is_null()));
        $check;
    }};
}

#[test]
fn map_ok_calls_its_function_on_values_alone() {
    let calls = Cell::new(0);
    let called = |n| {
        calls.set(calls.get() + 1);
        f64::from(n) / 2.0
    };
    let halves: Vec<Result<f64, &str>> = block_on(pipe(ITEMS).map_ok(called).collect());
    assert_eq!(halves, [Ok(0.5), Err("two"), Ok(1.5), Err("four"), Ok(2.5)]);
    assert_eq!(calls.get(), 3);
}

#[test]
fn map_err_calls_its_function_on_errors_alone() {
    let calls = Cell::new(0);
    let called = |error: &str| {
        calls.set(calls.get() + 1);
        error.len()
    };
    let lengths: Vec<Result<u32, usize>> = block_on(pipe(ITEMS).map_err(called).collect());
    assert_eq!(lengths, [Ok(1), Err(3), Ok(3), Err(4), Ok(5)]);
    assert_eq!(calls.get(), 2);
}

#[test]
fn err_into_converts_errors_as_a_question_mark_does() {
    #[derive(Debug, PartialEq)]
    struct Wrapped(&'static str);
    impl From<&'static str> for Wrapped {
        fn from(text: &'static str) -> Self {
            Self(text)
        }
    }
    let wrapped: Vec<_> = block_on(pipe(ITEMS).err_into::<Wrapped>().collect());
    assert_eq!(wrapped, [Ok(1), Err(Wrapped("two")), Ok(3), Err(Wrapped("four")), Ok(5)]);
}

#[test]
fn inspections_see_their_half_and_change_nothing() {
    let (values, errors) = (RefCell::new(vec![]), RefCell::new(vec![]));
    let items = pipe(ITEMS)
        .inspect_ok(|n| values.borrow_mut().push(*n))
        .inspect_err(|error| errors.borrow_mut().push(*error));
    assert_eq!(block_on(items.collect::<Vec<_>>()), ITEMS);
    assert_eq!((values.take(), errors.take()), (vec![1, 3, 5], vec!["two", "four"]));
}

#[test]
fn nothing_happens_before_the_first_poll_and_then_one_poll_is_one_poll() {
    let source = RefCell::new(Source::new());
    let polled =
        || futures_lite::stream::poll_fn(|cx| pin!(&mut *source.borrow_mut()).poll_next(cx));
    let mut before = 0;
    each!(polled(), |stream| {
        let task = Task::new();
        let mut stream = stream;
        assert_eq!(source.borrow().polls, before);
        assert!(task.poll_next(&mut stream).is_pending() && task.is_woken());
        assert!(task.poll_next(&mut stream).is_ready());
        before += 2;
        assert_eq!(source.borrow().polls, before);
    });
    assert_eq!(before, 10);
}

#[test]
fn hints_are_passed_on() {
    each!(Source::new(), |stream| {
        let (task, mut stream, mut left) = (Task::new(), stream, 5);
        while left > 0 {
            assert_eq!(stream.size_hint(), (left, Some(left + 7)));
            left -= usize::from(task.poll_next(&mut stream).is_ready());
        }
        assert_eq!(stream.size_hint(), (0, Some(7)));
    });
}

#[test]
fn it_has_ended_when_upstream_has() {
    each!(Source::new(), |stream| {
        let (task, mut stream) = (Task::new(), stream);
        loop {
            assert!(!stream.is_terminated());
            if let Poll::Ready(None) = task.poll_next(&mut stream) {
                break;
            }
        }
        assert!(stream.is_terminated());
    });
}

#[test]
fn what_a_function_owns_needs_no_debug() {
    let shown = |stream: &dyn Debug| format!("{stream:?}");
    let mut all = vec![];
    each!(Source::new(), |stream| all.push(shown(&stream)));
    let names = ["MapOk", "MapErr", "ErrInto", "InspectOk", "InspectErr"];
    for (text, name) in all.iter().zip(names) {
        assert!(text.starts_with(&format!("{name} {{ upstream: Source {{ left: [Ok(1)")), "{text}");
    }
    assert_eq!(all.len(), 5);
}

/// An error type is only ever made, never held.
#[test]
fn err_into_is_send_whatever_it_makes() {
    struct Local(#[expect(dead_code, reason = "it is what makes this `!Send`")] *const ());
    impl From<&'static str> for Local {
        fn from(_: &'static str) -> Self {
            Self(std::ptr::null())
        }
    }
    fn sendable<T: Send + Sync + Unpin>(_: &T) {}
    sendable(&pipe(ITEMS).err_into::<Local>());
}

#[test]
fn a_clone_goes_its_own_way() {
    let doubled = pipe(ITEMS).map_ok(|n| 2 * n).err_into::<String>().inspect_ok(|_| ());
    let twice = [doubled.clone(), doubled].map(|stream| block_on(stream.count()));
    assert_eq!(twice, [5, 5]);
}

/// A full stage below has the calls above go on through all of them.
#[test]
fn calls_above_go_on_through_them() {
    let gates = [(); 3].map(|()| Gate::default());
    let (calls, held, task) = (Gauge::default(), Gate::default(), Task::new());
    let above = pipe(0..3).map_concurrent(3, |n: usize| {
        let (unit, passed) = (calls.unit(), gates[n].passed());
        async move {
            let _unit = unit;
            passed.await;
            Item::Ok(n as u32)
        }
    });
    let between = above
        .map_ok(|n| n + 1)
        .map_err(str::len)
        .err_into::<usize>()
        .inspect_ok(|_| ())
        .inspect_err(|_| ());
    let mut below = Box::pin(between.map_concurrent(1, async |item| {
        held.passed().await;
        item
    }));
    assert_eq!(task.settle(&mut below), (vec![], false));
    for (gate, left) in [(0, 2), (2, 1), (1, 0)] {
        gates[gate].open();
        assert_eq!(task.settle(&mut below), (vec![], false));
        assert_eq!(calls.now(), left);
    }
    held.open();
    assert_eq!(task.settle(&mut below), (vec![Ok(1), Ok(3), Ok(2)], true));
    assert_eq!(calls.peak(), 3);
}

#[derive(Debug, PartialEq)]
enum Failure {
    Read(u32),
    Parse(ParseIntError),
}

impl From<u32> for Failure {
    fn from(id: u32) -> Self {
        Self::Read(id)
    }
}

impl From<ParseIntError> for Failure {
    fn from(error: ParseIntError) -> Self {
        Self::Parse(error)
    }
}

#[test]
fn a_pipeline_of_two_error_types_has_one_below_err_into() {
    async fn read(id: u32) -> Result<String, u32> {
        match id {
            4 => Err(4),
            7 => Ok("seven".to_owned()),
            id => Ok(id.to_string()),
        }
    }
    async fn parse(text: String) -> Result<u32, ParseIntError> {
        text.parse()
    }
    let failures = Cell::new(0);
    let numbers = |ids: std::ops::Range<u32>| {
        let stream = pipe(ids)
            .map_concurrent(ordered(4), read)
            .err_into::<Failure>()
            .try_map_concurrent(ordered(4), async |text| Ok(parse(text).await?))
            .map_ok(|n| 10 * n)
            .inspect_err(|_| failures.set(failures.get() + 1));
        block_on(stream.try_collect::<u32, Failure, Vec<u32>>())
    };
    assert_eq!(numbers(0..4), Ok(vec![0, 10, 20, 30]));
    assert_eq!(numbers(2..6), Err(Failure::Read(4)));
    assert!(matches!(numbers(5..9), Err(Failure::Parse(_))));
    assert_eq!(failures.get(), 2);
}
