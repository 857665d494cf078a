//! `!Send` futures and items, and borrowed data: a pipeline lives where its parts do.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use async_executor::LocalExecutor;
use flowlet::prelude::*;
use flowlet::{Semaphore, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

/// Runs a test on every executor that takes what is `!Send`.
fn everywhere<Fut: Future<Output = ()>>(test: impl Fn() -> Fut) {
    block_on(test());

    let executor = LocalExecutor::new();
    block_on(executor.run(test()));

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test());
}

/// A client that cannot leave its thread.
#[derive(Default)]
struct Client {
    running: Cell<usize>,
    most: Cell<usize>,
    log: RefCell<Vec<String>>,
}

impl Client {
    /// Borrows the client and the name across awaits.
    async fn fetch(&self, name: &str) -> Rc<str> {
        self.running.set(self.running.get() + 1);
        self.most.set(self.most.get().max(self.running.get()));
        yield_now().await;
        self.log.borrow_mut().push(name.to_owned());
        yield_now().await;
        self.running.set(self.running.get() - 1);
        Rc::from(name.to_uppercase())
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn names() -> Vec<String> {
    NAMES.map(str::to_owned).to_vec()
}

#[test]
fn every_stage_takes_what_is_not_send() {
    everywhere(|| async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let mut batches: Vec<Vec<Rc<Cell<u32>>>> = pipe((0..8).map(|n| Rc::new(Cell::new(n))))
            .map_concurrent(3, async |n: Rc<Cell<u32>>| {
                yield_now().await;
                n.set(n.get() + 1);
                n
            })
            .filter_concurrent(3, async |n: &Rc<Cell<u32>>| {
                let n = n.clone();
                yield_now().await;
                n.get() % 2 == 0
            })
            .filter_map_concurrent(ordered(3), async |n| {
                yield_now().await;
                (n.get() != 4).then_some(n)
            })
            .flat_map_concurrent(1, async |n: Rc<Cell<u32>>| {
                yield_now().await;
                stream::iter([n.clone(), n])
            })
            .inspect(move |n| log.borrow_mut().push(n.clone()))
            .batched(4)
            .collect()
            .await;
        batches.iter_mut().for_each(|batch| batch.sort_by_key(|n| n.get()));
        let numbers: Vec<Vec<u32>> =
            batches.iter().map(|batch| batch.iter().map(|n| n.get()).collect()).collect();
        assert_eq!(numbers.concat().len(), 6);
        let mut numbers = numbers.concat();
        numbers.sort();
        assert_eq!(numbers, [2, 2, 6, 6, 8, 8]);
        assert_eq!(seen.borrow().len(), 6);
        drop(batches);
        assert!(seen.borrow().iter().all(|n| Rc::strong_count(n) == 2), "nothing else holds any");
    });
}

#[test]
fn pipeline_borrows_its_source_and_its_client() {
    everywhere(|| async {
        let (names, client) = (names(), Client::default());
        let fetched: Vec<Rc<str>> = pipe(&names)
            .map_concurrent(ordered(2), async |name: &String| client.fetch(name).await)
            .collect()
            .await;
        assert_eq!(fetched.concat(), "ABCDE");
        assert_eq!((client.most.get(), client.running.get()), (2, 0));
        assert_eq!(client.log.borrow().concat(), names.concat());
    });
}

#[test]
fn predicate_borrows_the_item_and_its_surroundings() {
    everywhere(|| async {
        let (names, client, refused) = (names(), Client::default(), RefCell::new(Vec::new()));
        let mut kept: Vec<String> = pipe(names.clone())
            .filter_concurrent(3, async |name: &String| {
                let fetched = client.fetch(name).await;
                let keep = &*fetched > "B";
                if !keep {
                    refused.borrow_mut().push(name.clone());
                }
                keep
            })
            .collect()
            .await;
        kept.sort();
        refused.borrow_mut().sort();
        assert_eq!((kept.concat(), refused.borrow().concat()), ("cde".into(), "ab".into()));
        assert_eq!((client.most.get(), client.running.get()), (3, 0));
    });
}

#[test]
fn expansions_borrow() {
    everywhere(|| async {
        let pages = ["a b".to_owned(), "c".to_owned()];
        let client = Client::default();
        let links: Vec<&str> = pipe(&pages)
            .flat_map_concurrent(1, async |page: &String| {
                client.fetch(page).await;
                // A borrowed iterator of a borrowed page.
                stream::iter(page.split(' '))
            })
            .collect()
            .await;
        assert_eq!(links, ["a", "b", "c"]);
    });
}

#[test]
fn loop_drives_borrowed_calls_alongside_borrowing_code() {
    everywhere(|| async {
        let (names, client) = (names(), Client::default());
        let mut stored = String::new();
        let mut fetched =
            pipe(&names).map_concurrent(3, async |name: &String| client.fetch(name).await).driven();
        while let Some(name) = fetched.next().await {
            let stored = &mut stored;
            fetched
                .alongside(async {
                    client.fetch(&name).await;
                    stored.push_str(&name);
                })
                .await;
        }
        drop(fetched);
        let mut stored: Vec<char> = stored.chars().collect();
        stored.sort();
        assert_eq!(stored, ['A', 'B', 'C', 'D', 'E']);
        // At most three calls and the loop's own.
        assert!(client.most.get() <= 4 && client.running.get() == 0);
    });
}

#[test]
fn semaphore_bounds_local_calls() {
    everywhere(|| async {
        let (client, limit) = (Client::default(), Semaphore::new(2));
        let fetched: Vec<Rc<str>> = pipe(NAMES)
            .map_concurrent(&limit, async |name| client.fetch(name).await)
            .map_concurrent(&limit, async |name: Rc<str>| client.fetch(&name).await)
            .collect()
            .await;
        assert_eq!((fetched.len(), client.most.get(), limit.in_use()), (5, 2, 0));
    });
}

#[test]
fn function_takes_a_local_stream_through() {
    fn shout<'a>(names: impl Stream<Item = Rc<str>> + 'a) -> impl Stream<Item = Rc<str>> + 'a {
        names.map_concurrent(2, async |name: Rc<str>| {
            yield_now().await;
            Rc::from(format!("{name}!"))
        })
    }

    everywhere(|| async {
        let client = Client::default();
        let mut shouted: Vec<Rc<str>> = pipe(NAMES)
            .map_concurrent(2, async |name| client.fetch(name).await)
            .through(shout)
            .collect()
            .await;
        shouted.sort();
        assert_eq!(shouted.concat(), "A!B!C!D!E!");
    });
}

#[test]
fn closures_change_what_they_borrow() {
    everywhere(|| async {
        let mut started = 0;
        let mut expanded = Vec::new();
        pipe(NAMES)
            .map_concurrent(2, |name| {
                started += 1;
                std::future::ready(name)
            })
            .flat_map_concurrent(2, |name| {
                expanded.push(name);
                [name]
            })
            .drain()
            .await;
        assert_eq!((started, expanded.concat()), (5, NAMES.concat()));
    });
}

#[test]
fn local_tasks_run_pipelines() {
    let executor = LocalExecutor::new();
    let client = Rc::new(Client::default());
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            executor.spawn(async move {
                let client = &*client;
                pipe(NAMES).map_concurrent(2, async |name| client.fetch(name).await).count().await
            })
        })
        .collect();
    block_on(executor.run(async {
        for task in tasks {
            assert_eq!(task.await, 5);
        }
    }));
    assert_eq!(client.running.get(), 0);

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    let kept = client.clone();
    let task = tasks.spawn_local(async move {
        let client = &*client;
        pipe(NAMES).map_concurrent(2, async |name| client.fetch(name).await).count().await
    });
    assert_eq!(tasks.block_on(&runtime, task).unwrap(), 5);
    assert_eq!((kept.running.get(), Rc::strong_count(&kept)), (0, 1));
}
