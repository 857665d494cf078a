//! Server-sent events: each request runs a pipeline, and all requests share what the backend allows.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use flowlet::{Semaphore, prelude::*};
use futures_lite::future::{Boxed, FutureExt};

/// How many events may wait for a client, besides those that the stage keeps.
const AHEAD: usize = 4;

/// What all requests share.
#[derive(Clone)]
pub struct App {
    /// How many calls the backend allows, over all requests.
    permits: Semaphore,

    /// Asks the backend for a page.
    fetch: Arc<dyn Fn(u32) -> Boxed<String> + Send + Sync>,
}

impl App {
    /// Makes an app that calls `fetch` for each page, with a permit.
    pub fn new<F, Fut>(permits: &Semaphore, fetch: F) -> Self
    where
        F: Fn(u32) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = String> + Send + 'static,
    {
        Self { permits: permits.clone(), fetch: Arc::new(move |page| fetch(page).boxed()) }
    }

    /// Returns the pages as they come.
    pub fn pages(self, count: u32) -> impl Stream<Item = String> + Send + 'static {
        pipe(0..count).map_concurrent(&self.permits, move |page| (self.fetch)(page))
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("permits", &self.permits).finish_non_exhaustive()
    }
}

/// Serves `GET /pages/{count}`.
pub fn router(app: App) -> Router {
    Router::new().route("/pages/{count}", get(pages)).with_state(app)
}

/// Streams so many pages.
///
/// While a client does not read, hyper does not poll the body. Without `prefetch` the calls that run would stand
/// still then, and keep permits that all other requests wait for. In a task of their own they end. A few events
/// wait for the client, and nothing more is asked for until it reads on.
///
/// When the client leaves, hyper drops the body, which cancels the task and drops its calls.
async fn pages(
    State(app): State<App>,
    Path(count): Path<u32>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events =
        app.pages(count).map(|page| Ok(Event::default().data(page))).prefetch(AHEAD, tokio::spawn); // last, so that it polls all there is
    // Comments in between, as a client that has vanished is noticed by writing to it.
    Sse::new(events).keep_alive(KeepAlive::default())
}
