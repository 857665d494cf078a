//! Whatever fails, rows are counted as written if and only if the database has them.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use cookbook::etl::{BATCH, Error, Etl, PAGE, REQUESTS, Report, SCHEMA, connect};
use flowlet::Semaphore;
use tokio::sync::watch;

use crate::proxy::forgetful;
use crate::server::Database;
use crate::{serve, soon, until};

/// More than two pages of them.
const ORDERS: i64 = 1234;

/// A database with orders, each of a customer with the same number.
async fn orders() -> Database {
    let database = Database::new(SCHEMA).await;
    database
        .execute(&format!("INSERT INTO orders SELECT n, n FROM generate_series(1, {ORDERS}) n"))
        .await;
    database
}

/// Starts a service that answers as `answer` does. Returns its URL.
async fn service<F, Fut>(answer: F) -> String
where
    F: Fn(i64) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), StatusCode>> + Send + 'static,
{
    let customer =
        async move |Path(id): Path<i64>| answer(id).await.map(|()| format!("customer {id}"));
    serve(Router::new().route("/customers/{id}", get(customer))).await
}

/// Runs until the end.
async fn run(database: &str, service: &str) -> Report {
    let etl = Etl::connect(database, service).await.unwrap();
    soon("the end of the run", etl.run(pending::<()>())).await
}

/// Counts the rows of the database when nothing runs any more. All of them have the right name.
async fn stored(database: &Database) -> usize {
    database.is_at_rest().await;
    let right =
        "SELECT count(*) FROM labels JOIN orders USING (id) WHERE name = 'customer ' || customer";
    let all = database.number("SELECT count(*) FROM labels").await;
    assert_eq!(database.number(right).await, all);
    all.try_into().unwrap()
}

#[tokio::test]
async fn a_batch_is_written_when_it_is_full_or_has_waited_long_enough() {
    let database = orders().await;
    database
        .execute(
            "CREATE TABLE batches (rows bigint);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO batches SELECT count(*) FROM written; RETURN NULL; END';
             CREATE TRIGGER note AFTER INSERT ON labels REFERENCING NEW TABLE AS written
                 FOR EACH STATEMENT EXECUTE FUNCTION note()",
        )
        .await;
    // The service answers for the last order when all others are written.
    let (all_others, gate) = watch::channel(false);
    let service = service(move |id| {
        let mut gate = gate.clone();
        async move {
            if id == ORDERS {
                gate.wait_for(|is_open| *is_open).await.unwrap();
            }
            Ok(())
        }
    })
    .await;
    let config = database.config.clone();
    let run = tokio::spawn(async move { run(&config, &service).await });
    let count = "SELECT count(*) FROM labels";
    until("all others", async || database.number(count).await == ORDERS - 1).await;
    all_others.send(true).unwrap();

    let report = run.await.unwrap();
    assert_eq!((report.written, report.errors.len()), (ORDERS as usize, 0));
    assert_eq!(stored(&database).await, report.written);
    assert!(database.number("SELECT max(rows) FROM batches").await <= BATCH.0 as i64);
}

#[tokio::test]
async fn a_write_in_flight_is_counted_when_the_service_fails() {
    let database = orders().await;
    // The service knows the customers before the 250th, fails for that one when the gate opens, and hangs for the rest.
    let requests = Semaphore::new(usize::MAX);
    let (failure, gate) = watch::channel(false);
    let service = service({
        let requests = requests.clone();
        move |id| {
            let (mut gate, requests) = (gate.clone(), requests.clone());
            async move {
                let _running = requests.acquire().await;
                match id {
                    250 => gate.wait_for(|is_open| *is_open).await.unwrap(),
                    251.. => pending().await,
                    _ => return Ok(()),
                };
                Err(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    })
    .await;
    // Writes wait for this lock.
    let other = connect(&database.config).await.unwrap();
    other.batch_execute("BEGIN; LOCK TABLE labels IN SHARE MODE").await.unwrap();
    let config = database.config.clone();
    let run = tokio::spawn(async move { run(&config, &service).await });
    until("a write", async || database.sessions("wait_event_type = 'Lock'").await > 0).await;
    until("requests", async || requests.in_use() == REQUESTS).await;
    failure.send(true).unwrap();
    until("their end", async || requests.in_use() == 0).await;
    other.batch_execute("COMMIT").await.unwrap();

    let report = run.await.unwrap();
    assert!(matches!(report.errors[..], [Error::Label(250, _)]), "{:?}", report.errors);
    assert!(report.written > 0);
    assert_eq!(stored(&database).await, report.written);
}

#[tokio::test]
async fn refused_rows_are_not_counted_and_the_others_are() {
    let database = orders().await;
    database.execute("ALTER TABLE labels ADD CONSTRAINT unlucky CHECK (id <> 713)").await;
    let service = service(async |_| Ok(())).await;
    let first = run(&database.config, &service).await;
    assert!(matches!(first.errors[..], [Error::Refused(1.., _)]), "{:?}", first.errors);
    assert_eq!(stored(&database).await, first.written);

    // The next run does the rest.
    database.execute("ALTER TABLE labels DROP CONSTRAINT unlucky").await;
    let second = run(&database.config, &service).await;
    assert_eq!((first.written + second.written, second.errors.len()), (ORDERS as usize, 0));
    assert_eq!(stored(&database).await, ORDERS as usize);
}

#[tokio::test]
async fn a_commit_whose_confirmation_is_lost_is_counted() {
    let database = orders().await;
    let service = service(async |_| Ok(())).await;
    let report = run(&forgetful(&database, 1).await, &service).await;
    assert_eq!((report.written, report.errors.len()), (ORDERS as usize, 0), "{report:?}");
    assert_eq!(stored(&database).await, report.written);
}

#[tokio::test]
async fn a_commit_that_cannot_be_confirmed_is_reported_as_unknown() {
    let database = orders().await;
    let service = service(async |_| Ok(())).await;
    let report = run(&forgetful(&database, usize::MAX).await, &service).await;
    let unknown = report.errors.iter().map(|error| match error {
        Error::Unknown(rows, _) => *rows,
        error => panic!("{error}"),
    });
    assert_eq!(report.written, 0);
    assert_eq!(stored(&database).await, unknown.sum());
}

#[tokio::test]
async fn written_rows_are_counted_when_a_read_fails() {
    let database = orders().await;
    // The service answers for half of the first page, and for the rest when the reader has lost its connection.
    let (lost, gate) = watch::channel(false);
    let service = service(move |id| {
        let mut gate = gate.clone();
        async move {
            if id > PAGE / 2 {
                gate.wait_for(|is_open| *is_open).await.unwrap();
            }
            Ok(())
        }
    })
    .await;
    let config = database.config.clone();
    let run = tokio::spawn(async move { run(&config, &service).await });
    let reads = "query LIKE 'SELECT id, customer%'";
    until("a write", async || database.number("SELECT count(*) FROM labels").await > 0).await;
    until("a page", async || database.sessions(&format!("{reads} AND state = 'idle'")).await == 1)
        .await;
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {reads}
        AND datname = current_database() AND pid <> pg_backend_pid()"
    );
    assert_eq!(database.number(&end).await, 1);
    until("the end of the reader", async || database.sessions(reads).await == 0).await;
    lost.send(true).unwrap();

    let report = run.await.unwrap();
    assert!(matches!(report.errors[..], [Error::Read(500.., _)]), "{:?}", report.errors);
    assert!(report.written < ORDERS as usize);
    assert_eq!(stored(&database).await, report.written);
}

#[tokio::test]
async fn a_stop_writes_what_was_read_and_the_next_run_does_the_rest() {
    let database = orders().await;
    let asked = Arc::new(AtomicI64::new(0));
    let (halfway, gate) = watch::channel(0);
    let service = service({
        let asked = asked.clone();
        move |_| {
            halfway.send_replace(asked.fetch_add(1, SeqCst) + 1);
            async { Ok(()) }
        }
    })
    .await;
    let stop = {
        let mut gate = gate.clone();
        async move { gate.wait_for(|asked| *asked > ORDERS / 2).await.map(|_| ()) }
    };
    let (config, url) = (database.config.clone(), service.clone());
    let first =
        tokio::spawn(async move { Etl::connect(&config, &url).await.unwrap().run(stop).await });
    let first = soon("the stop", first).await.unwrap();
    assert_eq!(first.errors.len(), 0);
    assert_eq!(first.written as i64, asked.load(SeqCst));
    assert!(first.written < ORDERS as usize);
    assert_eq!(stored(&database).await, first.written);

    let second = run(&database.config, &service).await;
    assert_eq!((first.written + second.written, second.errors.len()), (ORDERS as usize, 0));
    assert_eq!(stored(&database).await, ORDERS as usize);
    assert_eq!(asked.load(SeqCst), ORDERS, "each was asked for once");
}
