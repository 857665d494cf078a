//! Tests of the crawler on the site.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use event_listener::Event;
use futures_lite::future;
use rusqlite::Connection;

use crate::crawl;
use crate::report::Report;
use crate::site::{Site, answer};
use crate::store::Store;

/// How many addresses the site has.
const ALL: usize = 120 + 1 + 1 + 16; // pages, a text, a redirect, broken links

/// Counts the requests to a site.
#[derive(Default)]
struct Requests {
    begun: AtomicUsize,
    answered: AtomicUsize,
    changed: Event,
}

impl Requests {
    fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }

    fn answered(&self) -> usize {
        self.answered.load(SeqCst)
    }

    /// Waits until that many were answered.
    async fn reach(&self, answered: usize) {
        loop {
            let changed = self.changed.listen();
            if self.answered() >= answered {
                return;
            }
            changed.await;
        }
    }
}

/// Serves the site, which answers no more than `limit` requests.
async fn count_requests(limit: usize) -> (Site, Arc<Requests>) {
    let requests = Arc::new(Requests::default());
    let counted = requests.clone();
    let site = Site::serve(move |path, host| {
        let requests = counted.clone();
        async move {
            if requests.begun.fetch_add(1, SeqCst) >= limit {
                return future::pending().await;
            }
            future::yield_now().await;
            requests.answered.fetch_add(1, SeqCst);
            requests.changed.notify(usize::MAX);
            answer(&path, &host)
        }
    });
    (site.await.unwrap(), requests)
}

/// A database in memory with that name, and a connection to inspect it.
fn database(name: &str) -> (Store, Connection) {
    let file = format!("file:{name}?mode=memory&cache=shared");
    (Store::open(Path::new(&file), true).unwrap(), Connection::open(file).unwrap())
}

fn count(database: &Connection, table: &str) -> usize {
    let query = format!("SELECT count(*) FROM {table}");
    let count: i64 = database.query_row(&query, [], |row| row.get(0)).unwrap();
    count.try_into().unwrap()
}

/// Crawls the site fast. Returns the numbers of pages, redirects, broken links and links.
fn crawl_site(concurrency: usize) -> [usize; 4] {
    let concurrency = NonZeroUsize::new(concurrency).unwrap();
    smol::block_on(async {
        let site = Site::start(50).await.unwrap();
        let store = Store::open(Path::new(":memory:"), true).unwrap();
        let report = crawl(&site.url(), concurrency, store, future::pending::<()>()).await.unwrap();
        assert!(report.peak <= concurrency.get(), "{} in flight", report.peak);
        assert_eq!(report.left, 0);
        assert_eq!(read(&report), ALL);
        [report.pages, report.redirects, report.broken, report.links]
    })
}

/// Returns how many addresses were read.
fn read(report: &Report) -> usize {
    report.pages + report.redirects + report.broken
}

#[test]
fn concurrency_does_not_change_the_counts() {
    let one_at_a_time = crawl_site(1);
    assert_eq!(one_at_a_time[0], 121, "120 pages and a text");
    for concurrency in [2, 16, 1000] {
        assert_eq!(crawl_site(concurrency), one_at_a_time);
    }
}

#[test]
fn a_stop_waits_for_what_is_in_flight_and_stores_it() {
    for (concurrency, stop_after) in [(1, 1), (1, 70), (4, 7), (16, 60), (100, 10)] {
        let limit = NonZeroUsize::new(concurrency).unwrap();
        smol::block_on(async {
            let (site, requests) = count_requests(usize::MAX).await;
            let (store, database) = database(&format!("stop-{concurrency}-{stop_after}"));

            let stop = requests.reach(stop_after);
            let report = crawl(&site.url(), limit, store, stop).await.unwrap();

            // Everything that was requested was waited for, counted and stored.
            assert_eq!(requests.begun(), read(&report));
            assert_eq!(requests.answered(), read(&report));
            assert_eq!(count(&database, "pages"), read(&report));
            assert_eq!(count(&database, "links"), report.links);

            // The stop had not come yet when the last page was requested.
            assert!(read(&report) >= stop_after);
            assert!(read(&report) < stop_after + concurrency, "{} were read", read(&report));

            // The other addresses are known, if there were links to them.
            assert!(report.left > 0);
            assert!(read(&report) + report.left <= ALL);
        });
    }
}

#[test]
fn a_stop_before_the_first_page_leaves_it() {
    smol::block_on(async {
        let (site, requests) = count_requests(usize::MAX).await;
        let store = Store::open(Path::new(":memory:"), true).unwrap();
        let report = crawl(&site.url(), NonZeroUsize::MIN, store, async {}).await.unwrap();
        assert_eq!((requests.begun(), read(&report), report.left), (0, 0, 1));
        assert_eq!(report.why_nothing(), None);
    });
}

#[test]
fn an_error_of_the_database_stops_the_crawl_at_once() {
    const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(8).unwrap();
    const BATCH: usize = 50;

    smol::block_on(async {
        // Requests after those for the first batch take forever.
        let (site, requests) = count_requests(BATCH).await;
        let (store, database) = database("error");
        database
            .execute_batch(
                "CREATE TRIGGER full BEFORE INSERT ON links BEGIN SELECT RAISE(ABORT, 'full'); END",
            )
            .unwrap();

        let crawled = crawl(&site.url(), CONCURRENCY, store, future::pending::<()>()).await;
        assert_eq!(crawled.map(|report| read(&report)).unwrap_err().to_string(), "full");

        // None of these requests was waited for, and none came after them.
        assert_eq!(requests.answered(), BATCH);
        assert!(requests.begun() <= BATCH + CONCURRENCY.get(), "{} begun", requests.begun());
        assert_eq!(count(&database, "pages"), 0, "a batch is stored whole or not at all");
    });
}
