//! The span in which a call is made goes with it, and so does the subscriber.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_executor::{Executor, LocalExecutor};
use flowlet::prelude::*;
use flowlet::{ThreadPool, in_blocking, in_local_task, in_pool, in_task, in_thread};
use futures_lite::future::{block_on, pending, poll_once};
use tracing::field::{Field, Visit};
use tracing::subscriber::with_default;
use tracing::{Event, Span, Subscriber, info, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

fn current() -> Option<u64> {
    Span::current().id().map(|id| id.into_u64())
}

/// Keeps what events say, each with the name of the span that it happened in.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl<S> Layer<S> for Heard
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
                self.0 += &format!("{value:?}");
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        let span = context.lookup_current().map_or("none", |span| span.name());
        self.0.lock().unwrap().push(format!("{span}: {}", text.0));
    }
}

/// Says so when it is dropped.
struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        info!("dropped");
    }
}

#[test]
fn the_subscriber_of_a_scope_hears_what_its_calls_say() {
    let heard = Heard::default();
    let subscriber = tracing_subscriber::registry().with(heard.clone());
    let pool = ThreadPool::new(1).unwrap();
    let (executor, local_executor) = (Executor::new(), LocalExecutor::new());
    let say = |text: &str| info!("{text}");
    let say_later = async |text: &str| {
        futures_lite::future::yield_now().await;
        info!("{text}");
    };
    let wait = async |()| {
        let _dropped = Dropped;
        pending::<()>().await;
    };

    // Made in the scope, and awaited outside of it.
    let (thread, in_pool_of_ours, blocking, task, local_task, mut waiting, mut ahead) =
        with_default(subscriber, || {
            info_span!("request").in_scope(|| {
                let spawn = |task| executor.spawn(task);
                (
                    in_thread(say)("thread"),
                    in_pool(&pool, say)("pool"),
                    in_blocking(blocking::unblock, say)("blocking"),
                    in_task(spawn, say_later)("task"),
                    in_local_task(|task| local_executor.spawn(task), say_later)("local task"),
                    in_task(spawn, wait)(()),
                    pipe(["ahead"]).map_concurrent(2, say_later).prefetch(2, spawn),
                )
            })
        });
    block_on(thread);
    block_on(in_pool_of_ours);
    block_on(blocking);
    block_on(executor.run(task));
    block_on(local_executor.run(local_task));
    assert_eq!(block_on(executor.run(poll_once(&mut waiting))), None);
    while executor.try_tick() {}
    drop(waiting);
    while executor.try_tick() {}
    let said = ["thread", "pool", "blocking", "task", "local task", "dropped"];
    assert_eq!(heard.take(), said.map(|text| format!("request: {text}")));

    // The stages upstream of a prefetch have the one of where it was polled first.
    let other = Heard::default();
    with_default(tracing_subscriber::registry().with(other.clone()), || {
        assert_eq!(block_on(poll_once(ahead.next())), None);
    });
    assert_eq!(block_on(executor.run(ahead.next())), Some(()));
    assert_eq!(other.take(), ["none: ahead"]);

    // Nothing of it stays behind.
    block_on(in_pool(&pool, say)("nobody hears this"));
    assert!(heard.take().is_empty() && other.take().is_empty());
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
