//! The server with real sockets, whose clients stop reading or leave.

use std::convert::Infallible;
use std::future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use cookbook::sse::{App, router};
use flowlet::{Semaphore, prelude::*};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::timeout;

/// Less than there are clients that stop reading.
const PERMITS: usize = 3;

/// Much more than the buffers of sockets hold. Only who reads gets to the end of it.
const ENDLESS: u32 = u32::MAX;

/// As large as a few of them fill a socket's buffers.
const PAGE: usize = 1 << 20;

/// A backend, which counts its calls.
#[derive(Clone)]
struct Backend {
    permits: Semaphore,
    begun: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
}

/// A call that runs.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Backend {
    fn new() -> Self {
        Self { permits: Semaphore::new(PERMITS), begun: Arc::default(), running: Arc::default() }
    }

    /// An app that asks this backend, which answers only the pages before `answered`.
    fn app(&self, answered: u32) -> App {
        let (begun, running) = (self.begun.clone(), self.running.clone());
        App::new(&self.permits, move |page| {
            begun.fetch_add(1, SeqCst);
            running.fetch_add(1, SeqCst);
            let running = Running(running.clone());
            async move {
                let _running = running;
                if page >= answered {
                    future::pending::<()>().await;
                }
                yield_now().await;
                "x".repeat(PAGE)
            }
        })
    }

    /// Waits until all permits are in use.
    async fn is_busy(&self) {
        while self.permits.in_use() < PERMITS {
            yield_now().await;
        }
    }

    /// Waits until no permit is in use: a request for all of them is not overtaken.
    async fn is_free(&self) {
        drop(self.permits.acquire_many(PERMITS).await);
    }

    /// Waits until nothing has begun for so many turns of all tasks and sockets.
    async fn is_at_rest(&self) {
        let mut before = None;
        while before != Some(self.begun.load(SeqCst)) {
            before = Some(self.begun.load(SeqCst));
            for _ in 0..1000 {
                yield_now().await;
            }
        }
    }
}

/// Waits until the server's own task is the only one: no connection is left, and no pipeline.
async fn all_have_left() {
    while Handle::current().metrics().num_alive_tasks() > 1 {
        yield_now().await;
    }
}

/// Fails rather than hangs.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

/// Serves on a port of its own for as long as the test runs.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

/// Asks for pages, and reads the first bytes of the response.
async fn ask(server: SocketAddr, pages: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(server).await.unwrap();
    let request =
        format!("GET /pages/{pages} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    client
}

/// Clients that stop reading, more than there are permits.
async fn stalled(server: SocketAddr) -> Vec<TcpStream> {
    let mut clients = vec![];
    for _ in 0..=PERMITS {
        clients.push(ask(server, ENDLESS).await);
    }
    clients
}

/// A client that reads to the end. Returns how many events there were.
async fn served(server: SocketAddr, pages: u32) -> usize {
    let mut response = String::new();
    ask(server, pages).await.read_to_string(&mut response).await.unwrap();
    assert!(response.contains("content-type: text/event-stream"));
    response.matches("data: x").count()
}

#[tokio::test]
async fn clients_that_stop_reading_are_in_nobodys_way() {
    let backend = Backend::new();
    let server = serve(router(backend.app(ENDLESS))).await;
    let clients = soon("clients", stalled(server)).await;
    soon("full sockets", backend.is_at_rest()).await;
    soon("permits", backend.is_free()).await;
    assert_eq!(backend.running.load(SeqCst), 0);
    assert_eq!(soon("the pages of another", served(server, 10)).await, 10);

    // They have had a few pages each, and not more than are read.
    let begun = backend.begun.load(SeqCst);
    soon("rest", backend.is_at_rest()).await;
    assert_eq!(backend.begun.load(SeqCst), begun);

    drop(clients);
    soon("the end of tasks", all_have_left()).await;
}

/// What the server's `prefetch` is for.
#[tokio::test]
async fn without_a_task_nobody_else_is_served() {
    let backend = Backend::new();
    let app = backend.app(ENDLESS);
    let pages = async move |Path(count)| {
        let events = app.pages(count).map(|page| Ok::<_, Infallible>(Event::default().data(page)));
        Sse::new(events)
    };
    let server = serve(Router::new().route("/pages/{count}", get(pages))).await;
    let clients = soon("clients", stalled(server)).await;
    soon("calls", backend.is_busy()).await;
    soon("full sockets", backend.is_at_rest()).await;
    assert_eq!(backend.running.load(SeqCst), PERMITS);
    let mut other = pin!(served(server, 10));
    tokio::select! {
        _ = &mut other => panic!("served"),
        () = backend.is_at_rest() => {}
    }
    drop(clients);
    assert_eq!(soon("the pages of another", other).await, 10);
}

#[tokio::test]
async fn the_calls_of_a_client_that_leaves_are_dropped() {
    let backend = Backend::new();
    let server = serve(router(backend.app(0))).await;
    let clients = soon("clients", stalled(server)).await;
    soon("calls", backend.is_busy()).await;
    assert_eq!(backend.running.load(SeqCst), PERMITS);

    drop(clients);
    soon("permits", backend.is_free()).await;
    assert_eq!(backend.running.load(SeqCst), 0);
    soon("the end of tasks", all_have_left()).await;
}
