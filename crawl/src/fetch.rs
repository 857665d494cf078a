//! Fetches pages over http.

use std::cell::Cell;
use std::error::Error;
use std::time::{Duration, Instant};

use async_io::Timer;
use async_net::TcpStream;
use futures_lite::future;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response};
use smol_hyper::rt::FuturesIo;

use crate::url::Url;

/// The timeout for a page. After that its link counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many bytes of a page are read. Later links are not found.
const LONGEST_PAGE: usize = 4 << 20;

/// The outcome of a request.
pub(crate) struct Fetched {
    pub(crate) url: Url,
    pub(crate) answer: Answer,
    /// How long it took.
    pub(crate) time: Duration,
}

/// What a server answers to a request.
pub(crate) enum Answer {
    /// A page, with its source.
    Html(String),
    /// Something that has no links, or none that the crawler follows: an image, a text.
    Other,
    /// The page is elsewhere: the link to it.
    Moved(String),
    /// There is no such page, or no answer: the reason.
    Broken(String),
}

/// Fetches what is at `url`.
///
/// Redirects are not followed here. The crawler treats them as links, so each page is requested once, and a circle of
/// redirects ends.
pub(crate) async fn fetch(url: Url, gauge: &Gauge) -> Fetched {
    let _running = gauge.enter();
    let began = Instant::now();
    let late = async {
        Timer::after(PATIENCE).await;
        Err(format!("no answer within {} s", PATIENCE.as_secs()).into())
    };
    let answer = future::or(get(&url), late).await;
    let answer = answer.unwrap_or_else(|error| Answer::Broken(error.to_string()));
    Fetched { url, answer, time: began.elapsed() }
}

async fn get(url: &Url) -> Result<Answer, Box<dyn Error>> {
    let stream = TcpStream::connect((url.host(), url.port())).await?;
    let (mut sender, connection) = http1::handshake(FuturesIo::new(stream)).await?;
    let request = Request::get(url.path_and_query())
        .header(HOST, url.authority())
        .header(USER_AGENT, "flowlet-crawl-example")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        read(response).await
    };
    // The connection only has to be kept running. If it fails, the exchange reports it.
    let going = async {
        let _ = connection.await;
        future::pending().await
    };
    future::or(exchange, going).await
}

async fn read(response: Response<Incoming>) -> Result<Answer, Box<dyn Error>> {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if status.is_redirection() {
        if let Some(location) = header(LOCATION) {
            return Ok(Answer::Moved(location.to_owned()));
        }
    }
    if !status.is_success() {
        return Ok(Answer::Broken(status.to_string()));
    }
    let media_type = header(CONTENT_TYPE).and_then(|value| value.split(';').next());
    let media_type = media_type.unwrap_or("").trim().to_ascii_lowercase();
    if !matches!(&*media_type, "text/html" | "application/xhtml+xml") {
        return Ok(Answer::Other);
    }

    let mut body = response.into_body();
    let mut source = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            source.extend_from_slice(&data);
        }
        if source.len() > LONGEST_PAGE {
            source.truncate(LONGEST_PAGE);
            break;
        }
    }
    Ok(Answer::Html(String::from_utf8_lossy(&source).into_owned()))
}

/// Counts what is running.
#[derive(Default)]
pub(crate) struct Gauge {
    now: Cell<usize>,
    peak: Cell<usize>,
}

impl Gauge {
    /// Counts one more, until the guard is dropped.
    fn enter(&self) -> Running<'_> {
        self.now.set(self.now.get() + 1);
        self.peak.set(self.peak.get().max(self.now.get()));
        Running(self)
    }

    /// Returns how many are running now.
    pub(crate) fn now(&self) -> usize {
        self.now.get()
    }

    /// Returns the most that ever ran at once.
    pub(crate) fn peak(&self) -> usize {
        self.peak.get()
    }
}

/// Something that is running, for a [`Gauge`].
struct Running<'a>(&'a Gauge);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.now.set(self.0.now.get() - 1);
    }
}
