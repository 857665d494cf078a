//! Jobs whose answers go to whoever asked: a worker that answers, and a program that asks.

#[path = "support/arguments.rs"]
mod arguments;

use std::env;
use std::error::Error;
use std::process::{self, ExitCode};
use std::time::Duration;

use async_signal::{Signal, Signals};
use flowlet::Flow;
use flowlet_amqp::{Message, Publisher, Queue, Worker};
use futures_lite::{StreamExt, future};

use arguments::Arguments;

const USAGE: &str = "\
Answers how many letters a text has, or asks.

Usage: ask --amqp URL [--concurrency N] [TEXT]...

With texts, it asks for each, and prints the answers as they come. Without any, it answers
until Ctrl-C, N questions at once (default: 16): start as many as you like.
";

fn main() -> ExitCode {
    let mut texts = Vec::new();
    let take = |text: &str| {
        texts.push(text.to_owned());
        Ok(())
    };
    let arguments = match Arguments::parse(env::args().skip(1), &[("--concurrency", 16, 1)], take) {
        Ok(arguments) => arguments,
        Err(problem) => return arguments::explain(&problem, USAGE),
    };
    let done = match texts.is_empty() {
        true => smol::block_on(answer(&arguments)),
        false => smol::block_on(ask(&arguments.url, &texts)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ask: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let flow = Flow::<String>::identity().map(|text| text.chars().count());
    let worker = Worker::builder(arguments.url.as_str(), "questions")
        .concurrency(arguments.number("--concurrency"))
        .reply()
        .build()?;
    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    println!("{}", worker.run(&flow, signals.next()).await?);
    Ok(())
}

async fn ask(url: &str, texts: &[String]) -> Result<(), Box<dyn Error>> {
    // A queue of our own, which goes away when nobody has used it for a while.
    let host = env::var("HOSTNAME").unwrap_or_default();
    let answers = format!("answers-{host}-{}", process::id());
    let queue = Queue::new(&answers).expires_after(Duration::from_secs(600));
    let worker = Worker::builder(url, queue).build()?;
    worker.declare().await?;

    let questions = Publisher::new(url)?.sender("questions");
    for (number, text) in texts.iter().enumerate() {
        let question = Message::new(text).reply_to(&answers).correlation_id(number.to_string());
        questions.send(question).await?;
    }
    questions.close().await;

    let mut answers = worker.deliveries::<usize>(future::pending::<()>());
    let mut left: Vec<Option<&String>> = texts.iter().map(Some).collect();
    while left.iter().any(Option::is_some) {
        let Some(answer) = answers.next().await else { break };
        let answer = answer?;
        // An answer can come twice, as its job can.
        let number = answer.correlation_id().and_then(|id| id.parse::<usize>().ok());
        if let Some(text) = number.and_then(|number| left.get_mut(number)?.take()) {
            println!("{text:?} has {} letters", answer.job());
        }
        answer.ack().await?;
    }
    answers.close().await;
    Ok(())
}
