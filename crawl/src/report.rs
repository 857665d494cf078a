//! The results of the crawl.

use std::fmt;
use std::time::{Duration, Instant};

use comfy_table::{Cell, CellAlignment, Table, presets};
use flowlet::Monitor;

use crate::page::{Kind, Page};

/// The numbers of a crawl, displayed as a table, followed by a table of the stages.
pub(crate) struct Report {
    /// Addresses at which there is a document.
    pub(crate) pages: usize,
    /// Addresses that lead to another one.
    pub(crate) redirects: usize,
    /// Addresses at which there is nothing.
    pub(crate) broken: usize,
    /// Links in the database.
    pub(crate) links: usize,
    /// The most requests at once.
    pub(crate) peak: usize,
    /// Addresses that were found but not requested, because the crawl was stopped.
    pub(crate) left: usize,
    /// How long the crawl took.
    time: Duration,
    /// The total time of all requests.
    one_at_a_time: Duration,
    /// Why there was no page at the last address without one.
    trouble: String,
    began: Instant,
    /// Where the time went.
    monitor: Monitor,
}

impl Report {
    /// Starts the counters and the clock.
    pub(crate) fn new(monitor: &Monitor) -> Self {
        Self {
            pages: 0,
            redirects: 0,
            broken: 0,
            links: 0,
            peak: 0,
            left: 0,
            time: Duration::ZERO,
            one_at_a_time: Duration::ZERO,
            trouble: String::new(),
            began: Instant::now(),
            monitor: monitor.clone(),
        }
    }

    /// Records a page.
    pub(crate) fn count(&mut self, page: &Page) {
        self.one_at_a_time += page.time;
        match &page.kind {
            Kind::Document(_) => self.pages += 1,
            Kind::Redirect => {
                self.redirects += 1;
                let links: Vec<String> = page.links.iter().map(ToString::to_string).collect();
                self.trouble = format!("it redirects to {}", links.join(" "));
            }
            Kind::Broken(problem) => {
                self.broken += 1;
                self.trouble.clone_from(problem);
            }
        }
    }

    /// Stops counting, at `found` addresses.
    pub(crate) fn finish(mut self, links: usize, peak: usize, found: usize) -> Self {
        self.links = links;
        self.peak = peak;
        self.left = found - self.pages - self.redirects - self.broken;
        self.time = self.began.elapsed();
        self
    }

    /// Returns the reason if there was no page at all, and there are no more addresses to request.
    pub(crate) fn why_nothing(&self) -> Option<&str> {
        (self.pages == 0 && self.left == 0).then_some(&self.trouble)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        let left = (self.left > 0).then(|| ("found, not crawled", self.left.to_string()));
        let numbers = [
            ("pages", self.pages.to_string()),
            ("redirects", self.redirects.to_string()),
            ("broken links", self.broken.to_string()),
            ("links stored", self.links.to_string()),
            ("in flight at the peak", self.peak.to_string()),
            ("time", seconds(self.time)),
            ("time, one at a time", seconds(self.one_at_a_time)),
        ];
        for (name, value) in numbers.into_iter().chain(left) {
            table.add_row([Cell::new(name), Cell::new(value).set_alignment(CellAlignment::Right)]);
        }
        write!(f, "{table}\n\n{}", self.monitor)
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
