//! Transformers are the stages and nothing else.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

use flowlet::prelude::*;
use flowlet::{Flow, Pipe, Semaphore, chain, functional, op, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

async fn fetch(n: u32) -> u32 {
    yield_now().await;
    n
}

async fn fetch_even(n: u32) -> Option<u32> {
    (fetch(n).await % 2 == 0).then_some(n)
}

fn add(n: u32) -> u32 {
    n + 1
}

fn twice(n: u32) -> [u32; 2] {
    [n, n]
}

fn is_small(n: &u32) -> bool {
    *n < 100
}

fn look(_: &u32) {}

async fn try_fetch(n: u32) -> Result<u32, String> {
    Ok(fetch(n).await)
}

async fn try_fetch_even(n: u32) -> Result<Option<u32>, String> {
    Ok(fetch_even(n).await)
}

async fn try_twice(n: u32) -> Result<[u32; 2], String> {
    Ok(twice(n))
}

/// Compiles if both are of one type.
fn same_type<T>(_: &T, _: &T) {}

/// The compiler makes the same code of the same type: a chain costs nothing.
#[test]
fn a_chain_is_of_the_type_that_the_methods_give() {
    let by_methods = pipe(0..10)
        .map(add)
        .filter(is_small)
        .inspect(look)
        .take(5)
        .map_concurrent(3, fetch)
        .filter_map_concurrent(ordered(2), fetch_even)
        .flat_map_concurrent(2, twice)
        .flat_map_concurrent(1, twice)
        .filter_map(Some::<u32>)
        .map(Ok::<u32, String>)
        .try_map_concurrent(2, try_fetch)
        .try_filter_map_concurrent(2, try_fetch_even)
        .try_flat_map_concurrent(2, try_twice)
        .try_batched(2)
        .batched(3);
    let by_chain = chain!(
        functional::map(add),
        functional::filter(is_small),
        functional::inspect(look),
        functional::take(5),
        functional::map_concurrent(3, fetch),
        functional::filter_map_concurrent(ordered(2), fetch_even),
        functional::flat_map_concurrent(2, twice),
        functional::flat_map(twice),
        functional::filter_map(Some::<u32>),
        functional::map(Ok::<u32, String>),
        functional::try_map_concurrent(2, try_fetch),
        functional::try_filter_map_concurrent(2, try_fetch_even),
        functional::try_flat_map_concurrent(2, try_twice),
        functional::try_batched(2),
        functional::batched(3),
    );
    let chained = by_chain(0..10);
    same_type(&chained, &by_methods);
    let (chained, by_methods): (Vec<_>, Vec<_>) =
        block_on(async { (chained.collect().await, by_methods.collect().await) });
    assert!(!chained.is_empty());
    assert_eq!(chained, by_methods);
}

#[test]
fn a_chain_is_used_many_times_and_in_others() {
    let parts = chain!(functional::filter(|n| n % 2 == 0), functional::map_concurrent(2, fetch));
    for source in [vec![1, 2], vec![], vec![4, 5, 6]] {
        let expected: Vec<u32> = source.iter().copied().filter(|n| n % 2 == 0).collect();
        assert_eq!(block_on(functional::collect::<Vec<u32>, _, _>(parts(pipe(source)))), expected);
    }
    let whole = chain!(&parts, functional::batched(2), functional::map(|n| n));
    for _ in 0..2 {
        let batches: Vec<Vec<u32>> = block_on(functional::collect(whole(vec![0, 1, 2, 4])));
        assert_eq!(batches, [vec![0, 2], vec![4]]);
    }
}

#[test]
fn a_chain_takes_iterables_and_streams() {
    // A chain is for sources of one type.
    macro_rules! double {
        () => {
            chain!(functional::map(|n: u32| 2 * n))
        };
    }
    let sum = |numbers: Vec<u32>| numbers.iter().sum::<u32>();
    let collect = async {
        [
            sum(functional::collect(double!()([1, 2])).await),
            sum(functional::collect(double!()(vec![1, 2])).await),
            sum(functional::collect(double!()(1..3)).await),
            sum(functional::collect(double!()(stream::iter([1, 2]))).await),
            sum(functional::collect(double!()(pipe([1, 2]))).await),
            sum(pipe([1, 2]).through(double!()).collect().await),
            sum((pipe([1, 2]) | double!()).collect().await),
            // Neither takes a stream only.
            sum(functional::collect([2, 4]).await),
        ]
    };
    assert_eq!(block_on(collect), [6; 8]);
}

#[test]
fn any_function_of_streams_is_a_transformer() {
    fn ends(numbers: impl Stream<Item = u32>) -> impl Stream<Item = u32> {
        numbers.skip(1).take(2)
    }
    let flow = Flow::<u32>::identity().map(|n| n * 10);
    let chained = chain!(ends, |s| flow.apply(s), |s| FlowExt::through(s, op::map(add)));
    assert_eq!(block_on(chained(1..9).collect::<Vec<_>>()), [21, 31]);
    // One that can be called but once.
    let owned = vec![1];
    let once = chain!(move |s| StreamExt::chain(s, stream::iter(owned)));
    assert_eq!(block_on(once([7]).collect::<Vec<_>>()), [7, 1]);
}

/// All that `Flow` does not take.
#[test]
fn a_chain_takes_what_is_borrowed_and_not_send() {
    let (seen, names) = (Cell::new(0), vec!["a".to_owned(), "b".to_owned()]);
    let local = RefCell::new(Vec::new());
    let process = chain!(
        functional::map(|name: &String| Rc::new(name.as_str())),
        functional::filter_concurrent(2, async |name: &Rc<&str>| {
            yield_now().await;
            seen.set(seen.get() + 1);
            **name != names[0]
        }),
        functional::map_concurrent(1, async |name: Rc<&str>| local.borrow_mut().push(*name)),
    );
    block_on(functional::drain(process(&names)));
    assert_eq!((seen.get(), &*local.borrow()), (2, &vec!["b"]));
}

#[test]
fn a_chain_is_lazy_and_ends_with_what_it_is_made_of() {
    let pulled = Cell::new(0);
    let permits = Semaphore::new(2);
    let process = chain!(
        functional::inspect(|_: &u32| pulled.set(pulled.get() + 1)),
        functional::map_concurrent(&permits, async |_| std::future::pending::<u32>().await),
    );
    let mut stream = Box::pin(process(0..9));
    assert_eq!((pulled.get(), permits.in_use()), (0, 0));
    assert!(block_on(futures_lite::future::poll_once(stream.next())).is_none());
    assert_eq!((pulled.get(), permits.in_use()), (2, 2));
    drop(stream);
    assert_eq!(permits.in_use(), 0);
}

#[test]
fn filters_are_send_where_their_parts_are() {
    fn is_send<T: Send>(stream: T) -> T {
        stream
    }
    let limit = 3;
    let filter = chain!(functional::filter_concurrent(2, async move |n: &u32| *n < limit));
    let numbers: Vec<u32> = block_on(is_send(filter(0..9)).collect());
    assert_eq!(numbers, [0, 1, 2]);

    let try_filter =
        functional::try_filter_concurrent(2, async move |n: &u32| Ok::<_, ()>(*n < limit));
    let numbers: Result<Vec<u32>, ()> =
        block_on(pin!(is_send(try_filter(pipe(0..9).map(Ok)))).try_collect());
    assert_eq!(numbers, Ok(vec![0, 1, 2]));
}

#[test]
fn nothing_is_lost_by_drain_and_collect() {
    let count = Cell::new(0);
    block_on(functional::drain((0..5).inspect(|_| count.set(count.get() + 1))));
    block_on(functional::drain(pipe(0..5).inspect(|_| count.set(count.get() + 1))));
    assert_eq!(count.get(), 10);
    let drain: flowlet::stage::Drain<Pipe<stream::Once<u8>>> =
        functional::drain(pipe(stream::once(1)));
    block_on(drain);
    let text: String = block_on(functional::collect(["a", "b"]));
    assert_eq!(text, "ab");
}
