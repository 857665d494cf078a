//! Puts addresses of pages into a queue, for the example `worker` to fetch.

#[path = "support/arguments.rs"]
mod arguments;
#[path = "support/site.rs"]
mod site;

use std::env;
use std::error::Error;
use std::process::ExitCode;

use async_signal::{Signal, Signals};
use flowlet::prelude::*;
use flowlet_amqp::Publisher;
use url::Url;

use arguments::Arguments;
use site::Site;

const USAGE: &str = "\
Puts addresses of web pages into the queue `urls`, for the example `worker` to fetch.

Usage: producer --amqp URL [--pages N] [http://ADDRESS]...

  --amqp URL   the broker, such as amqp://localhost, or amqp://user:password@host/vhost
  --pages N    if no addresses are given: how many pages the site has that this
               program serves itself, on this machine, until Ctrl-C
               (default: 1000)
";

fn main() -> ExitCode {
    let mut urls = Vec::new();
    let read = |text: &str| {
        let url: Url = text.parse().map_err(|error| format!("{text}: {error}"))?;
        if url.scheme() != "http" {
            return Err(format!("{text} is not http://"));
        }
        urls.push(url);
        Ok(())
    };
    let arguments = match Arguments::parse(env::args().skip(1), &[("--pages", 1000, 1)], read) {
        Ok(arguments) => arguments,
        Err(problem) => return arguments::explain(&problem, USAGE),
    };
    match smol::block_on(produce(&arguments, urls)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("producer: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn produce(arguments: &Arguments, mut urls: Vec<Url>) -> Result<(), Box<dyn Error>> {
    let site = match urls.is_empty() {
        true => Some(Site::start(arguments.number("--pages")).await?),
        false => None,
    };
    if let Some(site) = &site {
        urls.extend(site.pages());
    }
    let publisher = Publisher::new(arguments.url.as_str())?;
    // The id says which page it is, so that one that is asked for twice can be told.
    let publish = publisher.publish_with_id(100, "urls", Url::to_string);
    let published = pipe(urls).through(publish).await?;
    println!("{published} addresses are in the queue");
    if let Some(site) = site {
        println!("serving the pages at {} until Ctrl-C", site.url());
        Signals::new([Signal::Int, Signal::Term])?.next().await;
    }
    Ok(())
}
