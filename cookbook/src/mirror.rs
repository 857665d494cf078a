//! Downloads a list of URLs into a folder, with a limit per host. What fails is tried again, and what was broken off
//! is resumed.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use flowlet::{Concurrency, Dropped, prelude::*};
use indicatif::ProgressBar;
use reqwest::header::{self, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Client, StatusCode, Url};
use url::Position;

/// Downloads files into a folder.
#[derive(Debug)]
pub struct Mirror {
    /// Sends the requests.
    pub client: Client,

    /// Where the files are stored.
    pub folder: PathBuf,

    /// How many downloads run at once.
    pub total: usize,

    /// How many of them from one host. Another port is another host.
    pub per_host: usize,

    /// Counts files.
    pub progress: ProgressBar,
}

/// What became of the URLs.
#[derive(Debug, Default)]
pub struct Report {
    /// How many files are complete.
    pub done: usize,

    /// What could not be downloaded.
    pub failed: Vec<(Url, Failure)>,

    /// What was in flight at a stop.
    pub stopped: Option<Dropped>,
}

/// Why a file is not complete.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Mirror {
    /// Downloads files that are missing. When `stop` is ready, downloads are dropped; the next run resumes them.
    pub async fn run(&self, mut urls: Vec<Url>, stop: impl Future) -> Report {
        let (mut report, mut stopped, mut files) = (Report::default(), None, HashSet::new());
        urls.retain(|url| files.insert(self.path(url, ""))); // each file once
        self.progress.set_length(files.len() as u64);

        // The list is in memory anyway, so any number of URLs may wait for their host.
        let limit = Concurrency::new(self.total).window(usize::MAX);
        pipe(urls)
            .map_concurrent_by_key(limit, Url::origin, async |url| (self.download(&url).await, url))
            .per_key(self.per_host)
            .take_until_stopped(stop)
            .on_stop(|dropped| stopped = Some(dropped))
            .map(|(downloaded, url)| match downloaded {
                Ok(()) => report.done += 1,
                Err(failure) => report.failed.push((url, failure)),
            })
            .inspect(|()| self.progress.inc(1))
            .drain()
            .await;
        Report { stopped, ..report }
    }

    /// Downloads a file. While it waits to try again it keeps its place, so a host in trouble is asked less.
    async fn download(&self, url: &Url) -> Result<(), Failure> {
        let [file, part, version] = ["", PART, VERSION].map(|ending| self.path(url, ending));
        if fs::exists(&file)? {
            return Ok(());
        }
        let backoff = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_jitter()
            .with_max_times(5);
        (|| self.resume(url)).retry(backoff).when(is_transient).await?;
        fs::rename(part, file)?;
        Ok(fs::remove_file(version)?)
    }

    /// Downloads the rest of a file, or all of it if the server has another version by now.
    async fn resume(&self, url: &Url) -> Result<(), Failure> {
        let [part, version] = [PART, VERSION].map(|ending| self.path(url, ending));
        let mut request = self.client.get(url.clone());
        // The last byte once more, as it is an error to ask for nothing.
        let start = fs::metadata(&part).map_or(0, |part| part.len().saturating_sub(1));
        let known = fs::read(&version).ok().filter(|known| !known.is_empty());
        if let (Some(known), 1..) = (known, start) {
            request = request.header(RANGE, format!("bytes={start}-")).header(IF_RANGE, known);
        }

        let mut response = request.send().await?.error_for_status()?;
        let is_rest = match response.status() {
            StatusCode::PARTIAL_CONTENT if is_from(start, response.headers()) => true,
            StatusCode::OK => false,
            status => return Err(format!("unexpected status {status}").into()),
        };
        let mut file = OpenOptions::new().create(true).truncate(!is_rest).write(true).open(part)?;
        if is_rest {
            file.seek(SeekFrom::Start(start))?;
        } else {
            fs::write(version, version_of(response.headers()))?; // what was there is gone by now
        }
        while let Some(bytes) = response.chunk().await? {
            // Not tokio's file, whose writes go on when a download is dropped. This only copies.
            file.write_all(&bytes)?;
        }
        Ok(())
    }

    /// Where the file of a URL is stored, with an ending if it is not complete.
    fn path(&self, url: &Url, ending: &str) -> PathBuf {
        let name = &url[Position::BeforeHost..Position::AfterQuery];
        self.folder.join(name.replace('%', "%25").replace('/', "%2F") + ending)
    }
}

/// Tells whether it may help to try again.
fn is_transient(failure: &Failure) -> bool {
    failure.downcast_ref::<reqwest::Error>().is_some_and(|error| match error.status() {
        Some(status) => status.is_server_error() || [408, 429].contains(&status.as_u16()),
        None => !error.is_builder(),
    })
}

// In names of files there are digits after each `%`.
const PART: &str = "%.part";
const VERSION: &str = "%.version";

fn is_from(start: u64, headers: &HeaderMap) -> bool {
    let range = headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {start}-")))
}

/// What tells one version of a file from another, if the server says. Weak tags do not.
fn version_of(headers: &HeaderMap) -> &[u8] {
    let tag = headers.get(header::ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
    tag.or(headers.get(header::LAST_MODIFIED)).map_or(b"", HeaderValue::as_bytes)
}
