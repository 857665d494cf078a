//! The span in which a call is made goes with it. No harness, because the test is its own worker.

use std::sync::atomic::{AtomicU64, Ordering};

use flowlet::prelude::*;
use flowlet::{ProcessPool, ThreadPool, in_pool, in_process, in_task, in_thread, process};
use futures_lite::future::block_on;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Span, Subscriber, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The id that the last span of a call in a worker gave as its caller's.
static CALLER: AtomicU64 = AtomicU64::new(0);

/// Notes it.
struct Note;

impl<S: Subscriber> Layer<S> for Note {
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        span.record(&mut Caller);
    }
}

struct Caller;

impl Visit for Caller {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "caller" {
            CALLER.store(value, Ordering::SeqCst);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

fn current() -> Option<u64> {
    Span::current().id().map(|id| id.into_u64())
}

/// In a worker: the span it is in, and whose call it is.
const SPANS: process::Function<(), (String, u64)> = process::Function::new("spans", |()| {
    let name = Span::current().metadata().map(|metadata| metadata.name().to_owned());
    (name.unwrap_or_default(), CALLER.load(Ordering::SeqCst))
});

fn main() {
    let subscriber = tracing_subscriber::registry().with(Note);
    tracing::subscriber::set_global_default(subscriber).expect("it is the first");
    process::worker(&[&SPANS]);

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

    let processes = ProcessPool::builder().size(1).build();
    let call = in_process(&processes, SPANS);
    let inside = span.in_scope(|| call(()));
    assert_eq!(block_on(inside).unwrap(), ("in_process".to_owned(), id.unwrap()));

    // Nothing of it stays behind.
    assert_eq!(block_on(flowlet::in_pool(&threads, |()| current())(())), None);
    println!("6 passed; 0 failed");
}
