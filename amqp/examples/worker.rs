//! Counts the words of texts. Start as many as you like, on as many machines; Ctrl-C stops one when
//! what it has begun is done.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use async_signal::{Signal, Signals};
use flowlet::Flow;
use flowlet_amqp::{Summary, Worker};
use futures_lite::StreamExt;
use serde::Serialize;

#[path = "support/arguments.rs"]
mod arguments;

use arguments::Arguments;

const USAGE: &str = "\
Counts the words of the texts in the queue `texts`, into the queue `counts`.

Usage: worker --amqp URL [--concurrency N]

  --amqp URL        the broker, such as amqp://guest:guest@localhost:5672/%2f
  --concurrency N   how many texts at once (default: 32)

A text without words is moved to the queue `texts.dead`. Ctrl-C stops the worker: what
it has begun is finished. Exit codes: 0 after that; 1 if the broker refuses; 2 for bad
arguments.
";

#[derive(Serialize)]
struct Count {
    text: String,
    words: usize,
}

async fn count(text: String) -> Result<Count, &'static str> {
    match text.split_whitespace().count() {
        0 => Err("no words"),
        words => Ok(Count { text, words }),
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(env::args().skip(1), "--concurrency", 32) {
        Ok(arguments) if (1..=65_535).contains(&arguments.number) => arguments,
        Ok(_) => return arguments::explain("--concurrency must be from 1 to 65,535", USAGE),
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

async fn work(arguments: &Arguments) -> Result<Summary, Box<dyn Error>> {
    let flow = Flow::<String>::identity().map_concurrent(1, count);
    let worker = Worker::builder(arguments.url.as_str(), "texts")
        .output("counts")
        .concurrency(arguments.number)
        .build()?;
    // The second is what `kill`, systemd and Kubernetes send.
    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    Ok(worker.try_run(&flow, signals.next()).await?)
}
