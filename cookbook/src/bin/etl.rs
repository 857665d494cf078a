//! Labels each order of a database with the name of its customer, which a service knows.
//!
//! `cargo run -p cookbook --bin etl -- postgres://user@localhost/scratch`, with a database of your own. The program
//! creates two tables there, with 5,000 orders, and serves the names itself, slowly. Ctrl-C stops it gracefully; the
//! next run continues.

use std::env;
use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use cookbook::etl::{Etl, SCHEMA, connect};
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::time::sleep;

const ORDERS: &str =
    "INSERT INTO orders SELECT n, n % 100 FROM generate_series(1, 5000) n ON CONFLICT DO NOTHING";

/// Stands for the service.
async fn customer(Path(id): Path<u64>) -> String {
    sleep(Duration::from_millis(20)).await;
    format!("customer {id}")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = env::args().nth(1).ok_or("which database? postgres://user@host/name")?;
    let client = connect(&database).await?;
    client.batch_execute(SCHEMA).await?;
    client.batch_execute(ORDERS).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let service = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/customers/{id}", get(customer));
    tokio::spawn(async { axum::serve(listener, router).await });

    let report = Etl::connect(&database, &service).await?.run(ctrl_c()).await;
    println!("{} rows written", report.written);
    for error in &report.errors {
        eprintln!("{error}: {}", error.source().expect("each has one"));
    }
    report.errors.is_empty().then_some(()).ok_or_else(|| "the next run continues from here".into())
}
