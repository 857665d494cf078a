//! Flows of one step, to be joined with `|`.
//!
//! `op::map(f)` is `Flow::identity().map(f)`, and so on. The methods of [`Flow`](crate::Flow) document what each
//! step does. `pipe(source) | flow` is the same as `pipe(source).through(flow)`, but returns a [`Pipe`](crate::Pipe).
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
//! // Without a source it is a flow to name, store and reuse.
//! let extract = op::flat_map(find_links) | op::filter(is_internal) | op::map(normalize);
//! let links: Vec<String> = (pipe(pages) | &extract).collect().await;
//! assert_eq!(links, ["/about", "/team"]);
//! # });
//! ```
//!
//! # Closures
//!
//! A closure needs a type for its argument, as in `op::map(|page: Page| page.title)`: Rust checks the closure before
//! it looks at the other side of the `|`. The methods of [`Flow`](crate::Flow) need no types:
//! `Flow::<Page>::identity().map(|page| page.title)`.

pub use crate::stage::op::*;
