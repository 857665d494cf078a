//! What is still to be crawled.

use std::collections::HashSet;

use async_channel::{Receiver, Sender};

use crate::page::Page;
use crate::url::Url;

/// The edge between what was crawled and what was not.
///
/// It feeds the queue that the crawl takes its addresses from, and ends it when nothing can come any
/// more. If the crawl is stopped, what is in the queue then, and what is found later, is left there.
/// Pages have to be given back before anything waits for a number of them, such as a batch:
/// the links that would fill it may be on the pages that are in it.
pub(crate) struct Frontier {
    /// Where the crawl began, the host of which is not left.
    start: Url,
    /// All that was ever found.
    seen: HashSet<Url>,
    /// How many of these have not come back as pages.
    outstanding: usize,
    queue: Sender<Url>,
}

impl Frontier {
    /// Begins at `start`. Gives the frontier and the queue it feeds.
    pub(crate) fn new(start: Url) -> (Self, Receiver<Url>) {
        let (queue, addresses) = async_channel::unbounded();
        let mut frontier =
            Self { start: start.clone(), seen: HashSet::new(), outstanding: 0, queue };
        frontier.add(&start);
        (frontier, addresses)
    }

    /// Takes note that `page` was read, and queues what it links to and was not found before.
    pub(crate) fn add_links_of(&mut self, page: &Page) {
        for link in &page.links {
            if link.is_on_site_of(&self.start) {
                self.add(link);
            }
        }
        self.outstanding -= 1;
        if self.outstanding == 0 {
            self.queue.close();
        }
    }

    /// How many addresses there are so far.
    pub(crate) fn seen(&self) -> usize {
        self.seen.len()
    }

    /// How many of them were not crawled yet, or, once a crawl was stopped, are left.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn add(&mut self, url: &Url) {
        if !self.seen.contains(url) {
            self.seen.insert(url.clone());
            self.outstanding += 1;
            // It fails only if the crawl was stopped. Then the address stays outstanding.
            let _ = self.queue.try_send(url.clone());
        }
    }
}
