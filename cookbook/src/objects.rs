//! Processes the objects of one store into another. One limit bounds how many objects are in flight, and how many
//! bytes.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use flowlet::{ResultStreamExt, ThreadPool, finishing, in_pool, prelude::*};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

/// What went wrong with an object, or with the list of them.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where objects come from and go to, and how many at once.
#[derive(Clone, Debug)]
pub struct Job {
    /// The store to read. All of its objects are processed.
    pub from: Arc<dyn ObjectStore>,

    /// The store to write, under the same names.
    pub to: Arc<dyn ObjectStore>,

    /// How many objects are in flight at once, from the request for one until it is put.
    pub objects: usize,

    /// How many bytes these have in total, as they are read. A larger object is in flight alone.
    pub bytes: usize,

    /// How many objects are processed at once.
    pub threads: usize,
}

/// What became of the objects.
#[derive(Debug, Default)]
pub struct Report {
    /// How many are in the other store.
    pub put: usize,

    /// The error that ended the job, and those of objects that were in flight then.
    pub errors: Vec<Error>,

    /// Whether it was stopped before all were listed.
    pub stopped: bool,
}

impl Job {
    /// Processes all objects, or stops when `stop` is ready or something fails. Objects that are in flight then are
    /// still put.
    ///
    /// # Panics
    ///
    /// Panics if a limit is 0.
    ///
    /// # Errors
    ///
    /// The system's, if it cannot start the threads.
    pub async fn run<F>(&self, stop: impl Future, process: F) -> io::Result<Report>
    where
        F: Fn(Bytes) -> Result<Vec<u8>, Error> + Send + Sync + 'static,
    {
        let pool = ThreadPool::builder(self.threads).name("process").build()?;
        let process = in_pool(&pool, process);
        let mut stopped = false;
        let report = self
            .from
            .list(None) // page by page, as there is room
            .take_until_stopped(stop)
            .on_stop(|_| stopped = true)
            .err_into::<Error>()
            .try_map_concurrent(finishing(self.bytes), async |object| {
                let name = &object.location;
                let bytes = self.from.get(name).await?.bytes().await?;
                let processed = process(bytes).await.map_err(|error| format!("{name}: {error}"))?;
                self.to.put(name, processed.into()).await?;
                Ok(())
            })
            .weighed_by(|object| self.weight(object))
            // Not `try_fold`, which would know only of the first error.
            .fold(Report::default(), |mut report, outcome| {
                match outcome {
                    Ok(()) => report.put += 1,
                    Err(error) => report.errors.push(error),
                }
                report
            })
            .await;
        pool.shutdown().await;
        Ok(Report { stopped, ..report })
    }

    /// What an object counts against the limit on bytes: at least its share, so that no more than `objects` run.
    fn weight(&self, object: &ObjectMeta) -> usize {
        let size = usize::try_from(object.size).unwrap_or(usize::MAX);
        size.max(self.bytes.div_ceil(self.objects))
    }
}
