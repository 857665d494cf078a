//! The span in which a call is made goes with it.

use flowlet::prelude::*;
use flowlet::{ThreadPool, in_pool, in_task, in_thread};
use futures_lite::future::block_on;
use tracing::{Span, info_span};

fn current() -> Option<u64> {
    Span::current().id().map(|id| id.into_u64())
}

/// One test, because all threads have one subscriber.
#[test]
fn it_goes_where_the_call_runs() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry())
        .expect("it is the first");

    let span = info_span!("caller");
    let id = span.id().map(|id| id.into_u64());
    assert!(id.is_some() && current().is_none());
    let threads = ThreadPool::new(1).unwrap();
    let spawn = |task| smol::spawn(task).detach();

    // Made in the span, and awaited outside of it.
    let (in_thread, in_pool, in_task) = span.in_scope(|| {
        (
            in_thread(|()| current())(()),
            in_pool(&threads, |()| current())(()),
            in_task(spawn, async |()| current())(()),
        )
    });
    assert_eq!([block_on(in_thread), block_on(in_pool), block_on(in_task)], [id; 3]);

    // The stages above a prefetch are in the span in which it was polled first.
    let mut ids = pipe([(); 3]).map_concurrent(2, async |()| current()).prefetch(2, spawn);
    let first = span.in_scope(|| block_on(ids.next()));
    assert_eq!(first, Some(id));
    assert_eq!(block_on(ids.collect::<Vec<_>>()), [id; 2]);

    // Nothing of it stays behind.
    assert_eq!(block_on(flowlet::in_pool(&threads, |()| current())(())), None);
}
