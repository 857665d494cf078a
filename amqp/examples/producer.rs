//! Puts jobs into a queue, as fast as the broker takes them.

use std::env;
use std::process::ExitCode;

use flowlet::prelude::*;
use flowlet_amqp::{Error, Publisher};

#[path = "support/arguments.rs"]
mod arguments;

use arguments::Arguments;

const USAGE: &str = "\
Puts texts into the queue `texts`, for the example `worker` to count their words.

Usage: producer --amqp URL [--jobs N]

  --amqp URL   the broker, such as amqp://guest:guest@localhost:5672/%2f
  --jobs N     how many texts (default: 1000)
";

fn main() -> ExitCode {
    let arguments = match Arguments::parse(env::args().skip(1), "--jobs", 1000) {
        Ok(arguments) => arguments,
        Err(problem) => return arguments::explain(&problem, USAGE),
    };
    match smol::block_on(produce(&arguments)) {
        Ok(published) => {
            println!("{published} texts are in the queue");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("producer: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn produce(arguments: &Arguments) -> Result<u64, Error> {
    let publisher = Publisher::new(arguments.url.as_str())?;
    let texts =
        (0..arguments.number).map(|n| format!("text {n} has {}words", "more ".repeat(n % 7)));
    // The id says which text it is, so that one that is put twice can be told.
    let publish = publisher.publish_with_id(100, "texts", |text: &String| {
        text.split(' ').take(2).collect::<Vec<_>>().join("-")
    });
    pipe(texts).through(publish).await
}
