//! Crawls a web site, and stores its pages and links in an SQLite file.
//!
//! `cargo run --release -p crawl` starts a small site of its own and crawls it.
//! `cargo run --release -p crawl -- --help` lists the options.
//!
//! [`crawl`] is the whole pipeline. Each kind of work has a limit of its own: the network, the processor and the
//! database. A stage that cannot keep up slows down the stages upstream of it.

mod arguments;
mod fetch;
mod interrupt;
mod page;
mod progress;
mod report;
mod site;
mod store;
#[cfg(test)]
mod tests;
mod url;

use std::collections::HashSet;
use std::env;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread;

use flowlet::prelude::*;
use flowlet::{Monitor, frontier, in_thread};

use crate::arguments::{Arguments, Command, USAGE};
use crate::fetch::{Gauge, fetch};
use crate::interrupt::interruptible;
use crate::page::Page;
use crate::progress::Progress;
use crate::report::Report;
use crate::site::Site;
use crate::store::Store;
use crate::url::Url;

/// Crawls the site of `start`, with up to `concurrency` requests at once, until `stop` is ready.
///
/// Then no more pages are requested, and those in flight are stored. A broken link is a result, and is counted. Only
/// the database can fail, and that ends the crawl at once.
async fn crawl(
    start: &Url,
    concurrency: NonZeroUsize,
    store: Store,
    stop: impl Future,
) -> rusqlite::Result<Report> {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let gauge = Gauge::default();
    let progress = Progress::new();
    let monitor = Monitor::new();
    let mut report = Report::new(&monitor);
    let mut seen = HashSet::from([start.clone()]);

    let stored: Vec<usize> = frontier([start.clone()])
        .take_until_stopped(stop) // what is in flight is finished
        .monitored(monitor.point("urls"))
        .map_concurrent(monitor.stage("fetch", concurrency), async |(url, entry)| {
            (fetch(url, &gauge).await, entry) // network
        })
        .map_concurrent(
            monitor.stage("read", cores),
            in_thread(|(fetched, entry)| (Page::read(fetched), entry)), // processor
        )
        .map(|(page, entry)| {
            let on_site = page.links.iter().filter(|link| link.is_on_site_of(start));
            let new = on_site.filter(|link| seen.insert((*link).clone()));
            entry.expand(new.cloned()); // they are fetched next; the crawl ends when there are none
            report.count(&page);
            progress.show(seen.len(), gauge.now());
            page
        })
        .batched(50)
        .monitored(monitor.point("batches"))
        .map(Ok) // so far nothing can fail
        .try_map_concurrent(
            monitor.stage("store", 1),
            in_thread(move |pages| store.insert(pages)), // an error ends everything
        )
        .try_collect()
        .await?;

    Ok(report.finish(stored.iter().sum(), gauge.peak(), seen.len()))
}

async fn run(arguments: Arguments, stop: impl Future) -> Result<(), String> {
    let (start, _site) = match arguments.url {
        Some(url) => (url, None),
        None => {
            let site = Site::start(1).await.map_err(|error| format!("its own site: {error}"))?;
            (site.url(), Some(site)) // served until it is dropped
        }
    };
    let (database, afresh) = match arguments.database {
        Some(file) => (file, false),
        None => (env::temp_dir().join("flowlet-crawl.sqlite"), true),
    };
    let database_failed = |error| format!("database {}: {error}", database.display());

    let store = Store::open(&database, afresh).map_err(database_failed)?;
    let report =
        crawl(&start, arguments.concurrency, store, stop).await.map_err(database_failed)?;
    if let Some(trouble) = report.why_nothing() {
        return Err(format!("no page at {start}: {trouble}"));
    }
    print(&format!("{report}\n\nPages and links are in {}\n", database.display()))
}

/// Prints to stdout. The reader may stop early, as `head` does: that is not an error.
fn print(text: &str) -> Result<(), String> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("stdout: {error}")),
        _ => Ok(()),
    }
}

/// The exit code that shells expect from a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let done = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => print(USAGE),
        Ok(Command::Crawl(arguments)) => {
            match smol::block_on(interruptible(|stop| run(arguments, stop))) {
                Ok(Some(done)) => done,
                Ok(None) => return ExitCode::from(INTERRUPTED),
                Err(error) => Err(format!("Ctrl-C: {error}")),
            }
        }
        Err(mistake) => {
            eprintln!("crawl: {mistake}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("crawl: {failure}");
            ExitCode::FAILURE
        }
    }
}
