use flowlet::prelude::*;
use flowlet::{Flow, Semaphore, ordered};
use futures_lite::future::{block_on, yield_now};
use std::sync::Arc;

#[test]
fn lock_two_stages() {
    block_on(async {
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        for (a, b) in [(1, 1), (2, 1), (1, 2), (4, 2), (2, 4), (16, 3)] {
            let (l1, l2) = (lock.clone(), lock.clone());
            let out: Vec<u32> = pipe(0..100)
                .map_concurrent(a, move |n| {
                    let l = l1.clone();
                    async move {
                        let _g = l.lock().await;
                        yield_now().await;
                        n
                    }
                })
                .map(|n| n + 1)
                .map_concurrent(b, move |n| {
                    let l = l2.clone();
                    async move {
                        let _g = l.lock().await;
                        yield_now().await;
                        n
                    }
                })
                .collect()
                .await;
            assert_eq!(out.len(), 100);
        }
        let sem = Semaphore::new(1);
        let out: Vec<u32> = pipe(0..100)
            .map_concurrent(&sem, async |n| {
                yield_now().await;
                n
            })
            .map_concurrent(&sem, async |n| {
                yield_now().await;
                n
            })
            .filter_concurrent(&sem, async |_| true)
            .collect()
            .await;
        assert_eq!(out.len(), 100);
        let out: Vec<u32> = pipe(0..100)
            .map_concurrent(ordered(&sem), async |n| {
                yield_now().await;
                n
            })
            .map_concurrent(ordered(4), async |n| {
                yield_now().await;
                n
            })
            .collect()
            .await;
        assert_eq!(out, (0..100).collect::<Vec<_>>());
        let f: Flow<u32> = Flow::new(|s| {
            s.filter_concurrent(8, async |n: &u32| {
                yield_now().await;
                n % 2 == 0
            })
        });
        let out: Vec<u32> = smol::spawn(f.apply(pipe(0..10)).collect()).await;
        assert_eq!(out.len(), 5);
    });
}
