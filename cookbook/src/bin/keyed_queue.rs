//! Handles the messages of a queue, in order within each key.
//!
//! `cargo run -p cookbook --bin keyed_queue -- postgres://user@localhost/scratch`, with a database of your own. The
//! program creates a table there, with 2,000 messages of 50 keys. While it runs, `curl 127.0.0.1:3001/numbers` shows
//! what it does, and `curl -X PUT -d 8 127.0.0.1:3001/limit` changes how many messages it handles at once. Ctrl-C stops
//! it gracefully; a second Ctrl-C does not wait.

use std::env;
use std::error::Error;
use std::time::Duration;

use cookbook::etl::connect;
use cookbook::keyed_queue::{Controls, Message, Queue, SCHEMA, router};
use flowlet::{Monitor, Semaphore};
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::time::{sleep, timeout};

/// How long messages that were begun may take after a stop.
const GRACE_PERIOD: Duration = Duration::from_secs(30);

/// Every second message has the same key.
const MESSAGES: &str = "INSERT INTO messages (key, body) \
    SELECT CASE n % 2 WHEN 0 THEN 'hot' ELSE 'key ' || n % 49 END, 'message ' || n FROM generate_series(1, 2000) n \
    WHERE NOT EXISTS (SELECT FROM messages)";

/// Stands for the work.
async fn handle(message: Message) -> Result<(), String> {
    sleep(Duration::from_millis(20)).await;
    if message.id % 500 == 0 { Err(format!("{} makes no sense", message.body)) } else { Ok(()) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = env::args().nth(1).ok_or("which database? postgres://user@host/name")?;
    let client = connect(&database).await?;
    client.batch_execute(SCHEMA).await?;
    client.batch_execute(MESSAGES).await?;

    let controls = Controls { limit: Semaphore::new(4), monitor: Monitor::new() };
    let listener = TcpListener::bind("127.0.0.1:3001").await?;
    let queue = Queue::connect(&database).await?;
    let deadline = async {
        let _ = ctrl_c().await;
        let _ = timeout(GRACE_PERIOD, ctrl_c()).await;
    };
    let consumed = queue.consume(&controls, ctrl_c(), deadline, handle);
    tokio::select! {
        served = axum::serve(listener, router(controls.clone())) => served?,
        summary = consumed => println!("{:?}\n{}", summary?, controls.monitor),
    }
    Ok(())
}
