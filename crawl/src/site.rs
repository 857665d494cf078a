//! A small web site on this machine, to crawl.

use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use async_io::Timer;
use async_net::{TcpListener, TcpStream};
use flowlet::prelude::*;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use smol::Task;
use smol_hyper::rt::FuturesIo;

use crate::url::Url;

/// How many pages there are, numbered from 0, which is the front page.
const PAGES: usize = 120;

/// The slow page.
const SLOW_PAGE: &str = "/page/5";

/// A web site that is served until this is dropped.
pub(crate) struct Site {
    url: Url,
    _server: Task<()>,
}

impl Site {
    /// Serves the site on a free port, with its pages `speed` times as fast as usual.
    pub(crate) async fn start(speed: u32) -> io::Result<Self> {
        Self::serve(move |path, host| async move {
            Timer::after(latency(&path) / speed).await;
            answer(&path, &host)
        })
        .await
    }

    /// Serves on a free port what `answer` returns for a path and a host name.
    ///
    /// The server is a pipeline too: any number of connections are served at once.
    pub(crate) async fn serve<A, Fut>(answer: A) -> io::Result<Self>
    where
        A: Fn(String, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let url = Url::parse(&url).expect("a socket's address makes a URL");
        let server = smol::spawn(async move {
            let serve = |connection| serve(connection, &answer);
            pipe(listener.incoming()).map_concurrent(usize::MAX, serve).drain().await;
        });
        Ok(Self { url, _server: server })
    }

    /// The front page.
    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }
}

/// Serves a connection. Only its other end is interested in its errors.
async fn serve<Fut>(connection: io::Result<TcpStream>, answer: impl Fn(String, String) -> Fut)
where
    Fut: Future<Output = Response<Full<Bytes>>>,
{
    let Ok(stream) = connection else { return };
    let service = service_fn(|request: Request<Incoming>| {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let answer =
            answer(request.uri().path().to_owned(), host.unwrap_or("localhost").to_owned());
        async { Ok::<_, Infallible>(answer.await) }
    });
    let _ = http1::Builder::new().serve_connection(FuturesIo::new(stream), service).await;
}

/// How long an answer takes: always the same for the same path.
fn latency(path: &str) -> Duration {
    if path == SLOW_PAGE {
        return Duration::from_millis(700);
    }
    let hash = path.bytes().fold(7, |hash: u64, byte| hash * 31 % 1009 + u64::from(byte));
    Duration::from_millis(20 + hash % 61)
}

/// Returns what is at a path of the site, which the client calls `host`.
pub(crate) fn answer(path: &str, host: &str) -> Response<Full<Bytes>> {
    let number = match path {
        "/" => Some(0),
        _ => path.strip_prefix("/page/").and_then(|number| number.parse().ok()),
    };
    let (status, header, body) = match number {
        Some(number) if number < PAGES => {
            (StatusCode::OK, (CONTENT_TYPE, "text/html; charset=utf-8"), page(number, host))
        }
        _ if path == "/old" => (StatusCode::MOVED_PERMANENTLY, (LOCATION, "page/7"), String::new()),
        _ if path == "/notes.txt" => {
            let text = "This is no page: <a href=\"/nowhere\">this</a> is no link.\n";
            (StatusCode::OK, (CONTENT_TYPE, "text/plain"), text.to_owned())
        }
        _ => (StatusCode::NOT_FOUND, (CONTENT_TYPE, "text/plain"), "not found\n".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header.0, header.1.parse().expect("a header in ASCII"));
    response
}

/// Returns the source of a page, with links of all kinds, some of them broken.
fn page(number: usize, host: &str) -> String {
    let mut html = format!("<!doctype html>\n<title>Page {number}</title>\n<ul>\n");
    for (nth, target) in targets(number).into_iter().enumerate() {
        // The front page is in a different folder from the others.
        let folder = if number == 0 { "page/" } else { "" };
        let link = match (target, (number + nth) % 6) {
            (0, _) => "/".to_owned(),
            (_, 0) => format!("/page/{target}"),
            (_, 1) => format!("http://{host}/page/{target}"),
            (_, 2) => format!("{folder}{target}"),
            (_, 3) => format!("./../page/{target}"),
            (_, 4) => format!("/page/{target}#part"),
            (_, _) => format!("//{host}/page/{target}"),
        };
        let _ = writeln!(html, "<li><a href=\"{link}\">Page {target}</a>");
    }
    for (every, link) in [
        (8, format!("/gone/{number}")),
        (12, "/gone/for-good".to_owned()),
        (15, "https://example.org/?from=here&amp;to=there".to_owned()),
        (20, "mailto:nobody@example.org".to_owned()),
        (30, "/old".to_owned()),
        (40, "/notes.txt".to_owned()),
    ] {
        if number % every == every / 2 {
            let _ = writeln!(html, "<li><a href=\"{link}\">Something else</a>");
        }
    }
    html + "</ul>\n"
}

/// Returns the numbers of the pages that a page links to: two children in a tree, so that all can be reached, and
/// others from all over the site, some twice.
fn targets(number: usize) -> Vec<usize> {
    let children = [2 * number + 1, 2 * number + 2].into_iter().filter(|child| *child < PAGES);
    let others = [7 * number + 3, 11 * number + 5, 13 * number + 8, number + 1, 7 * number + 3];
    children.chain(others.map(|other| other % PAGES)).collect()
}
