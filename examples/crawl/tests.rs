//! The crawler and the site together.

use std::num::NonZeroUsize;
use std::path::Path;

use crate::crawl;
use crate::site::Site;
use crate::store::Store;

/// Crawls the site in a hurry. Gives the counts of pages, redirects, broken links and links.
fn crawl_site(concurrency: usize) -> [usize; 4] {
    let concurrency = NonZeroUsize::new(concurrency).unwrap();
    smol::block_on(async {
        let site = Site::start(50).await.unwrap();
        let store = Store::open(Path::new(":memory:"), true).unwrap();
        let report = crawl(&site.url(), concurrency, store).await.unwrap();
        assert!(report.peak <= concurrency.get(), "{} in flight", report.peak);
        [report.pages, report.redirects, report.broken, report.links]
    })
}

#[test]
fn concurrency_does_not_change_the_counts() {
    let one_at_a_time = crawl_site(1);
    assert_eq!(one_at_a_time[0], 121, "120 pages and a text");
    for concurrency in [2, 16, 1000] {
        assert_eq!(crawl_site(concurrency), one_at_a_time);
    }
}
