//! Flows of one step, to be joined with `|`.
//!
//! `op::map(f)` is `Flow::identity().map(f)`, and so on: the methods of [`Flow`](crate::Flow) say what
//! each step does. `pipe(source) | flow` is `pipe(source).through(flow)`, and a [`Pipe`](crate::Pipe) again.
//!
//! ```
//! use flowlet::prelude::*;
//! use flowlet::{Flow, op};
//!
//! async fn find_links(page: String) -> Vec<String> {
//!     page.split(' ').map(str::to_owned).collect()
//! }
//! fn is_internal(link: &String) -> bool {
//!     link.starts_with('/')
//! }
//! fn normalize(link: String) -> String {
//!     link.trim_end_matches('/').to_owned()
//! }
//!
//! # futures_lite::future::block_on(async {
//! let pages = ["/about/ /team https://elsewhere.example".to_owned()];
//!
//! let links: Vec<String> = (pipe(pages.clone())
//!     | op::flat_map(find_links)
//!     | op::filter(is_internal)
//!     | op::map(normalize))
//! .collect()
//! .await;
//! assert_eq!(links, ["/about", "/team"]);
//!
//! // Without a source it is a flow to name, keep and use again.
//! let extract = op::flat_map(find_links) | op::filter(is_internal) | op::map(normalize);
//! let links: Vec<String> = (pipe(pages) | &extract).collect().await;
//! assert_eq!(links, ["/about", "/team"]);
//! # });
//! ```
//!
//! # Closures
//!
//! A closure says what it takes, as in `op::map(|page: Page| page.title)`: Rust looks into it
//! before it looks at what is on the other side of the `|`. The methods of [`Flow`](crate::Flow), as in
//! `Flow::<Page>::identity().map(|page| page.title)`, need no types.

pub use crate::stage::op::*;
