//! The span in which a call is made goes with it. No harness, because the test is its own worker.

use std::sync::atomic::{AtomicU64, Ordering};

use flowlet_process::{Function, ProcessPool, in_process};
use futures_lite::future::block_on;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Span, Subscriber, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The caller's id, as the last span of a call in a worker recorded it.
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

/// In a worker: the span it is in, and whose call it is, 0 if nobody's.
const SPANS: Function<(), (String, u64)> = Function::new("spans", |()| {
    let name = Span::current().metadata().map(|metadata| metadata.name().to_owned());
    (name.unwrap_or_default(), CALLER.swap(0, Ordering::SeqCst))
});

fn main() {
    // That of this thread alone goes along with it, and so to the calls of a worker.
    let subscriber = tracing_subscriber::registry().with(Note);
    let _subscriber = tracing::subscriber::set_default(subscriber);
    flowlet_process::worker(&[&SPANS]);

    let span = info_span!("caller");
    let id = span.id().map(|id| id.into_u64());
    assert!(id.is_some());

    // Made in the span, and awaited outside of it.
    let pool = ProcessPool::builder().size(1).build();
    let call = in_process(&pool, SPANS);
    let inside = span.in_scope(|| call(()));
    assert_eq!(block_on(inside).unwrap(), ("in_process".to_owned(), id.unwrap()));

    // Nothing of it stays behind.
    assert_eq!(block_on(call(())).unwrap(), ("in_process".to_owned(), 0));
    println!("1 passed; 0 failed");
}
