//! Fetches pages and reads what they link to. Start as many as you like, on as many machines; Ctrl-C
//! stops one when what it has begun is done.

#[path = "support/arguments.rs"]
mod arguments;
#[path = "support/page.rs"]
mod page;

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use async_io::Timer;
use async_signal::{Signal, Signals};
use flowlet::Flow;
use flowlet_amqp::{Summary, Worker};
use futures_lite::{StreamExt, future};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use url::Url;

use arguments::Arguments;
use page::{Failure, Page, fetch, parse};

const USAGE: &str = "\
Fetches the pages whose addresses are in the queue `urls`, and puts their titles and
links into the queue `pages`.

Usage: worker --amqp URL [--concurrency N]

  --amqp URL        the broker, such as amqp://localhost, or amqp://user:password@host/vhost
  --concurrency N   how many pages at once (default: 32)

A page that cannot be had is tried three times, and moved to the queue `urls.dead`.
Once a second it prints what it has done, and a warning if it cannot reach the broker.
Ctrl-C stops the worker: what it has begun is finished. Exit codes: 0 after that; 1 if
the broker refuses; 2 for bad arguments.
";

fn main() -> ExitCode {
    let unknown = |what: &str| Err(format!("what is {what}?"));
    let arguments = Arguments::parse(env::args().skip(1), &[("--concurrency", 32, 1)], unknown)
        .and_then(|arguments| match arguments.number("--concurrency") {
            ..=65_535 => Ok(arguments),
            _ => Err("--concurrency must be at most 65,535".to_owned()),
        });
    // The crate says by `tracing` that it cannot reach the broker.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time();
    let warnings = Targets::new().with_target("flowlet_amqp", LevelFilter::WARN);
    tracing_subscriber::registry().with(lines).with(warnings).init();
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(problem) => return arguments::explain(&problem, USAGE),
    };
    match smol::block_on(work(&arguments)) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The same flow that one program would run on a stream of its own.
fn crawl() -> Flow<Url, Result<Page, Failure>> {
    Flow::identity().map_concurrent(1, fetch).map(|fetched| fetched.map(parse))
}

async fn work(arguments: &Arguments) -> Result<Summary, Box<dyn Error>> {
    let worker = Worker::builder(arguments.url.as_str(), "urls")
        .output("pages")
        .concurrency(arguments.number("--concurrency"))
        .build()?;
    // The second is what `kill`, systemd and Kubernetes send.
    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    let report = async {
        let mut last = String::new();
        loop {
            Timer::after(Duration::from_secs(1)).await;
            let health = worker.health().to_string();
            if health != last {
                println!("{health}");
            }
            last = health;
        }
    };
    Ok(future::or(worker.try_run(&crawl(), signals.next()), report).await?)
}
