//! One flow over two queues: fetch pages on many machines, and store what they say on one.

#[path = "support/arguments.rs"]
mod arguments;
#[path = "support/page.rs"]
mod page;

use std::env;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use async_signal::{Signal, Signals};
use flowlet::Flow;
use flowlet_amqp::Parts;
use futures_lite::StreamExt;

use arguments::Arguments;
use page::{Page, fetch, parse};

const USAGE: &str = "\
Fetches the pages whose addresses are in the queue `urls`, and stores their titles in the
file titles.txt. The queue `parsed-pages` is between the two.

Usage: parts --amqp URL [--concurrency N] fetch|store|all

  fetch   only fetches: start as many as you like, on as many machines
  store   only stores: start one
  all     does both, in one process

  --amqp URL        the broker, such as amqp://localhost, or amqp://user:password@host/vhost
  --concurrency N   how many pages to fetch at once (default: 64)

Ctrl-C stops it. The example `producer` puts addresses into the queue.
";

fn main() -> ExitCode {
    let mut part = None;
    let name = |text: &str| {
        part = Some(text.to_owned());
        Ok(())
    };
    let arguments = Arguments::parse(env::args().skip(1), &[("--concurrency", 64, 1)], name);
    let part = part.filter(|part| ["fetch", "store", "all"].contains(&part.as_str()));
    let (arguments, part) = match (arguments, part) {
        (Ok(arguments), Some(part)) => (arguments, part),
        (Err(problem), _) => return arguments::explain(&problem, USAGE),
        (_, None) => return arguments::explain("which part?", USAGE),
    };
    match smol::block_on(run(&arguments, &part)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("parts: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Adds a line to the file. A job that comes twice makes two: who minds keeps the addresses in a set.
fn store(page: Page) -> std::io::Result<()> {
    static FILE: Mutex<()> = Mutex::new(());
    let _one = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = OpenOptions::new().create(true).append(true).open("titles.txt")?;
    writeln!(file, "{}\t{}", page.url, page.title.as_deref().unwrap_or("no title"))?;
    file.sync_data()
}

async fn run(arguments: &Arguments, part: &str) -> Result<(), Box<dyn Error>> {
    let fetching = Flow::identity().map_concurrent(1, fetch).map(|page| page.map(parse));
    let storing = Flow::identity().map(store);
    let concurrency = arguments.number("--concurrency");
    let parts = Parts::take(arguments.url.as_str(), "urls")
        .try_part("fetch", fetching, move |worker| worker.concurrency(concurrency))
        .queue("parsed-pages")
        .try_part("store", storing, |worker| worker.concurrency(1).prefetch(16));

    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    let stop = async move { signals.next().await };
    match part {
        "all" => {
            let summaries = parts.run_all(stop).await?;
            parts.names().zip(summaries).for_each(|(name, summary)| println!("{name}: {summary}"));
        }
        part => println!("{part}: {}", parts.run(part, stop).await?),
    }
    Ok(())
}
