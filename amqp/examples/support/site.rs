//! A small web site on this machine, to be fetched.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use async_io::Timer;
use async_net::{TcpListener, TcpStream};
use flowlet::prelude::*;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use smol::Task;
use smol_hyper::rt::FuturesIo;
use url::Url;

/// How long a page takes.
const LATENCY: Duration = Duration::from_millis(30);

/// A site that is served until this is dropped. Of every 50 pages one is not there.
pub(crate) struct Site {
    front: Url,
    pages: usize,
    _server: Task<()>,
}

impl Site {
    /// Serves so many pages on a free port.
    pub(crate) async fn start(pages: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let front = format!("http://{}/", listener.local_addr()?);
        let front = front.parse().expect("a socket's address makes a URL");
        let _server = smol::spawn(async move {
            pipe(listener.incoming()).map_concurrent(usize::MAX, serve).drain().await;
        });
        Ok(Self { front, pages, _server })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.front
    }

    /// The addresses of all pages.
    pub(crate) fn pages(&self) -> impl Iterator<Item = Url> {
        (0..self.pages)
            .map(|number| self.front.join(&format!("page/{number}")).expect("a path makes a URL"))
    }
}

/// Serves one connection. What goes wrong with it is of interest to its other end only.
async fn serve(connection: io::Result<TcpStream>) {
    let Ok(stream) = connection else { return };
    let service = service_fn(|request: Request<Incoming>| async move {
        Timer::after(LATENCY).await;
        Ok::<_, Infallible>(answer(request.uri().path()))
    });
    let _ = http1::Builder::new().serve_connection(FuturesIo::new(stream), service).await;
}

fn answer(path: &str) -> Response<Full<Bytes>> {
    let number = path.strip_prefix("/page/").and_then(|number| number.parse::<u64>().ok());
    let (status, body) = match number {
        Some(number) if number % 50 != 49 => (
            StatusCode::OK,
            format!(
                "<!doctype html>\n<title>Page {number}</title>\n<a href=\"{}\">next</a>\n\
                 <a href=\"/\">home</a>\n",
                number + 1
            ),
        ),
        _ => (StatusCode::NOT_FOUND, "<title>Not found</title>\n".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let html = "text/html; charset=utf-8".parse().expect("a header in ASCII");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}
