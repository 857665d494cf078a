//! What waits for handles hears of what is done with them, whoever does it, and when.

use std::pin::pin;

use flowlet::stage::Merge;
use flowlet::{MergeHandle, merge};
use futures_lite::future::block_on;
use futures_lite::stream::BoxedLocal;
use futures_lite::{Stream, StreamExt, stream};

use crate::support::waker::Task;

#[test]
fn a_merged_stream_that_waits_hears_that_its_last_handle_is_gone() {
    let (mut merged, task) = (merge([stream::once(1)]), Task::new());
    let (handle, other) = (merged.handle(), merged.handle());
    assert_eq!(task.settle(&mut merged), (vec![1], false));
    drop(other);
    assert_eq!(task.settle(&mut merged), (vec![], false), "there is another one");
    drop(handle);
    assert_eq!(task.settle(&mut merged), (vec![], true));
}

#[test]
fn a_merged_stream_that_waits_hears_that_it_is_closed() {
    let (mut merged, task) = (merge([stream::once(1)]), Task::new());
    let (handle, _other) = (merged.handle(), merged.handle());
    assert_eq!(task.settle(&mut merged), (vec![1], false));
    handle.close();
    assert_eq!(task.settle(&mut merged), (vec![], true));
}

/// Adds the page that it links to as it is polled, and has an item only if it is the last one.
fn page(links: u32, ends: bool, handle: &MergeHandle<BoxedLocal<u32>>) -> BoxedLocal<u32> {
    let handle = handle.clone();
    let read = stream::once_future(async move {
        if links == 0 {
            return Some(7);
        }
        assert!(handle.add(page(links - 1, ends, &handle)).is_ok());
        None
    });
    let rest = stream::pending().take(if ends { 0 } else { 1 });
    read.filter_map(|item| item).chain(rest).boxed_local()
}

#[test]
fn a_stream_that_adds_another_and_gives_nothing_is_followed_by_it() {
    for links in [0, 1, 2, 9] {
        for ends in [true, false] {
            let (mut merged, task): (Merge<_>, _) = (merge([]), Task::new());
            let handle = merged.handle();
            assert!(handle.add(page(links, ends, &handle)).is_ok());
            assert_eq!(task.settle(&mut merged), (vec![7], false), "{links} links");
            drop(handle);
            assert_eq!(task.settle(&mut merged), (vec![], ends));
        }
    }
}

#[test]
fn a_merged_stream_with_handles_has_no_upper_bound() {
    let (mut merged, task) = (merge([stream::iter(0..2)]), Task::new());
    assert_eq!(merged.size_hint(), (2, Some(2)));
    let handle = merged.handle();
    assert_eq!(merged.size_hint(), (2, None));
    assert_eq!(task.settle(&mut merged), (vec![0, 1], false));
    assert_eq!(merged.size_hint(), (0, None));
    assert!(handle.add(stream::iter(2..5)).is_ok());
    assert_eq!(merged.size_hint().1, None);
    drop(handle);
    assert_eq!(block_on(pin!(&mut merged).next()), Some(2));
    assert_eq!(merged.size_hint(), (2, Some(2)));
}
