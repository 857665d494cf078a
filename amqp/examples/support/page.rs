//! Pages: how they are fetched, and what is read from their source.

use std::error::Error;
use std::time::Duration;

use async_io::Timer;
use async_net::TcpStream;
use futures_lite::future;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use smol_hyper::rt::FuturesIo;
use tl::{HTMLTag, Node, ParserOptions};
use url::{Position, Url};

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest page that is read, in bytes.
const LONGEST_PAGE: usize = 4 << 20;

/// A page, as it goes into the queue.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Page {
    pub(crate) url: Url,
    status: u16,
    pub(crate) title: Option<String>,
    /// Where it leads.
    links: Vec<Url>,
}

/// What a server answered.
pub(crate) struct Fetched {
    url: Url,
    status: StatusCode,
    source: String,
}

/// A failure, as the reason in the queue of dead letters.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Gets what is at `url`. What is not there, or not within ten seconds, is a failure.
pub(crate) async fn fetch(url: Url) -> Result<Fetched, Failure> {
    let late = async {
        Timer::after(PATIENCE).await;
        Err(format!("no answer within {} s", PATIENCE.as_secs()).into())
    };
    future::or(get(url), late).await
}

async fn get(url: Url) -> Result<Fetched, Failure> {
    if url.scheme() != "http" {
        return Err("only http:// is fetched".into());
    }
    let host = url.host_str().ok_or("no host")?;
    let port = url.port_or_known_default().ok_or("no port")?;
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let (mut sender, connection) = http1::handshake(FuturesIo::new(stream)).await?;
    let request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, "flowlet-amqp-example")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_PAGE).collect().await?.to_bytes();
        Ok::<_, Failure>((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // The connection only has to be kept going. If it fails, the exchange says so.
    let going = async {
        let _ = connection.await;
        future::pending().await
    };
    let (status, source) = future::or(exchange, going).await?;
    if status.is_client_error() || status.is_server_error() {
        return Err(status.to_string().into());
    }
    Ok(Fetched { url, status, source })
}

/// Finds the title of a page, and what it links to.
pub(crate) fn parse(fetched: Fetched) -> Page {
    let Fetched { url, status, source } = fetched;
    let (mut title, mut links) = (None, Vec::new());
    if let Ok(document) = tl::parse(&source, ParserOptions::new()) {
        for tag in document.nodes().iter().filter_map(Node::as_tag) {
            match &*tag.name().as_utf8_str() {
                "title" if title.is_none() => {
                    title = Some(tag.inner_text(document.parser()).trim().to_owned());
                }
                "a" => links.extend(href(tag).and_then(|href| url.join(&href).ok())),
                _ => {}
            }
        }
    }
    Page { status: status.as_u16(), title, links, url }
}

fn href(tag: &HTMLTag) -> Option<String> {
    Some(tag.attributes().get("href")??.as_utf8_str().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let source = "<title> A\n</title><a href='b'>b</a><a>none</a><a href=\"//c/d?e#f\">d</a>";
        let url: Url = "http://a/x/y".parse().unwrap();
        let fetched = Fetched { url, status: StatusCode::OK, source: source.to_owned() };
        let page = serde_json::to_value(parse(fetched)).unwrap();
        let expected = serde_json::json!({
            "url": "http://a/x/y",
            "status": 200,
            "title": "A",
            "links": ["http://a/x/b", "http://c/d?e#f"],
        });
        assert_eq!(page, expected);
    }
}
