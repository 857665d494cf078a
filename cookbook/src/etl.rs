//! Rows from PostgreSQL through an HTTP service into PostgreSQL, in batches. Whatever fails, the program knows which
//! rows the database has.
//!
//! What to copy: the writes are the last step that can fail, and they are [`finishing`], so no error breaks one off.
//! Inserting a row twice does no harm, so a write whose outcome is unknown is repeated. A run reads only rows that are
//! not written yet, so each run continues where the last one ended.

use std::pin::pin;
use std::time::Duration;

use flowlet::{finishing, prelude::*};
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls, Row, error::Severity};

/// The tables.
pub const SCHEMA: &str = include_str!("etl.sql");

/// How many rows a query reads.
pub const PAGE: i64 = 500;

/// How many requests to the service run at once.
pub const REQUESTS: usize = 32;

/// How many rows an insert writes at most, and how long a row waits for others.
pub const BATCH: (usize, Duration) = (200, Duration::from_millis(500));

const READ: &str = "SELECT id, customer FROM orders \
    WHERE id > $1 AND NOT EXISTS (SELECT FROM labels WHERE labels.id = orders.id) \
    ORDER BY id LIMIT $2";
const WRITE: &str = "INSERT INTO labels SELECT * FROM unnest($1::bigint[], $2::text[]) \
    ON CONFLICT (id) DO NOTHING";

/// What a run has done.
#[derive(Debug, Default)]
pub struct Report {
    /// How many rows were written, all of which are in the database.
    pub written: usize,
    /// What went wrong. The first error ends the run; writes that had begun by then may fail as well.
    pub errors: Vec<Error>,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The orders after this one cannot be read.
    #[error("the orders after {0} cannot be read")]
    Read(i64, #[source] tokio_postgres::Error),

    /// The service failed for this order.
    #[error("order {0} has no label")]
    Label(i64, #[source] reqwest::Error),

    /// A batch of this many rows was refused; none of them is written.
    #[error("{0} rows were refused")]
    Refused(usize, #[source] tokio_postgres::Error),

    /// The connection was lost twice: a batch of this many rows is either written or not.
    #[error("{0} rows may or may not be written")]
    Unknown(usize, #[source] tokio_postgres::Error),
}

/// Two connections to the database, and the service.
#[derive(Debug)]
pub struct Etl {
    database: String,
    reader: Client,
    writer: Client,
    http: reqwest::Client,
    service: String,
}

impl Etl {
    /// Connects to a database such as `postgres://user@host/name`. `GET {service}/customers/{id}` returns a name.
    pub async fn connect(database: &str, service: &str) -> Result<Self, tokio_postgres::Error> {
        let (reader, writer) = (connect(database).await?, connect(database).await?);
        let (database, service) = (database.into(), service.into());
        Ok(Self { database, reader, writer, http: reqwest::Client::new(), service })
    }

    /// Writes a label for each order that has none, until all have one, something fails, or `stop` is ready.
    pub async fn run(&self, stop: impl Future) -> Report {
        let mut written = pin!(
            pipe([Ok(0)])
                .try_expand_concurrent(1, |after| self.read(after))
                .try_flat_map_concurrent(1, |page: Vec<Row>| page.into_iter().map(Ok))
                .take_until_stopped(stop)
                .try_map_concurrent(REQUESTS, |order| self.label(order))
                .try_batched_within(BATCH.0, BATCH.1)
                .sleep(sleep)
                .try_map_concurrent(finishing(4), |batch| self.write(batch))
        );
        let mut report = Report::default();
        // A loop, because `try_collect` keeps only the first error, and no count.
        while let Some(outcome) = written.next().await {
            match outcome {
                Ok(rows) => report.written += rows,
                Err(error) => report.errors.push(error),
            }
        }
        report
    }

    /// Reads a page, and where the next one begins.
    async fn read(&self, after: i64) -> Result<(Vec<Row>, Option<i64>), Error> {
        let page = self.reader.query(READ, &[&after, &PAGE]).await;
        let page = page.map_err(|source| Error::Read(after, source))?;
        let next = page.last().map(|row| row.get("id"));
        Ok((page, next))
    }

    /// Asks the service for the customer's name.
    async fn label(&self, order: Row) -> Result<(i64, String), Error> {
        let (id, customer): (i64, i64) = (order.get("id"), order.get("customer"));
        let request = self.http.get(format!("{}/customers/{customer}", self.service));
        let request = request.timeout(Duration::from_secs(60));
        let name = async { request.send().await?.error_for_status()?.text().await };
        Ok((id, name.await.map_err(|source| Error::Label(id, source))?))
    }

    /// Writes a batch. Resolves to its number of rows as soon as all of them are in the database.
    async fn write(&self, batch: Vec<(i64, String)>) -> Result<usize, Error> {
        let (ids, names): (Vec<i64>, Vec<String>) = batch.into_iter().unzip();
        let mut written = self.writer.execute(WRITE, &[&ids, &names]).await;
        if written.as_ref().is_err_and(is_lost) {
            // It may be committed or still running. A second insert waits for that, and writes what is missing.
            written = match connect(&self.database).await {
                Ok(client) => client.execute(WRITE, &[&ids, &names]).await,
                Err(error) => Err(error),
            };
        }
        match written {
            Ok(_) => Ok(ids.len()),
            Err(source) if is_lost(&source) => Err(Error::Unknown(ids.len(), source)),
            Err(source) => Err(Error::Refused(ids.len(), source)),
        }
    }
}

/// Tells whether the outcome is unknown. Only an error from the server itself means that nothing was written.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().and_then(|error| error.parsed_severity()) != Some(Severity::Error)
}

/// Connects to a database. The task ends when the client is dropped.
pub async fn connect(database: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
