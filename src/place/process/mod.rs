//! Calls in worker processes, for what threads cannot give: isolation, limits, and an end that does
//! not ask.
//!
//! A [`ProcessPool`] keeps workers, which are processes that run the same program; [`in_process`]
//! makes a [`Function`] one that a stage can call in them; and [`worker`], at the top of `main`, is
//! where a worker parts from the program.
//!
//! ```
//! use flowlet::prelude::*;
//! use flowlet::{ProcessPool, in_process, process};
//!
//! fn thumbnail(image: Vec<u8>) -> Vec<u8> {
//!     // Calls a C library which has its days.
//!     assert!(!image.is_empty());
//!     image
//! }
//!
//! const THUMBNAIL: process::Function<Vec<u8>, Vec<u8>> =
//!     process::Function::new("thumbnail", thumbnail);
//!
//! fn main() {
//!     process::worker(&[&THUMBNAIL]);
//!
//!     let pool = ProcessPool::new();
//!     let images = [vec![1, 2], vec![], vec![3]];
//!     let thumbnails = pipe(images).map_concurrent(8, in_process(&pool, THUMBNAIL));
//!     let failed = futures_lite::future::block_on(thumbnails.filter(Result::is_err).count());
//!     assert_eq!(failed, 1);
//! }
//! ```
//!
//! # When to use it
//!
//! - **Isolation**: what crashes, aborts, overflows its stack, corrupts memory or calls `exit` ends
//!   its worker and nothing else. The call gives an [`Error`] with the exit code or signal and the
//!   last that the worker wrote to its standard error.
//! - **Limits**: memory, processor time, open files, privileges, a sandbox. Each is set by the
//!   [command](Builder::command) that starts a worker; there is an example for memory.
//! - **An end**: a thread that runs cannot be ended from outside, a process can. When a call is
//!   dropped, say because a time-out came first, its worker is killed.
//! - **State that there can be only one of in a process**: a library with global variables, a locale,
//!   a working directory.
//!
//! For anything else take [`in_thread`](crate::in_thread): threads use all cores as well, share
//! memory, start in microseconds and take any closure, whereas here arguments and outputs are copied
//! several times. On a machine with two cores, a call that does nothing took 15 to 75 µs, the first
//! of a worker, which starts it, 1.5 ms, and 100 MB of text 0.2 s each way; a job of 40 calls took
//! 898 ms with one worker and 452 ms with two, the same as with threads. So a call should be worth a
//! millisecond or more.
//!
//! # What crosses over
//!
//! Arguments and outputs are written by [serde] in the format of [postcard], which is compact and
//! does not describe itself. Types that count on a format like JSON do not go over, and give an
//! [`Error::Argument`] or [`Error::Output`]: the attributes `untagged` and `flatten`, and
//! `serde_json::Value`. Send them as text. A field that is left out by `skip_serializing_if` is
//! missed when it is read, in most cases with an error, but not for certain: do without it here.
//!
//! A frame of the protocol says how long it is, and nothing is taken at its word: a worker that
//! writes anything else is killed, and memory is made as bytes come.
//!
//! # How it is done
//!
//! The pool and a worker talk over a pair of sockets, one of which is the worker's standard input
//! until [`worker`] takes it away. No one else has an end of it: so a worker learns at once when the
//! program is gone, and what functions print or read is of no concern to it. Workers are started with
//! the program's environment, directory and rights, and `--flowlet-process-worker` as the only
//! argument. This is for Unix; elsewhere the feature does not compile.
//!
//! [serde]: https://docs.rs/serde
//! [postcard]: https://docs.rs/postcard

mod call;
mod child;
mod error;
mod frame;
mod function;
mod pool;
mod program;
mod serve;
mod stderr;
mod workers;

pub use async_process::Command;

pub use self::call::{InProcess, in_process};
pub use self::error::Error;
pub use self::function::{AnyFunction, Function};
pub use self::pool::{Builder, ProcessPool};
pub use self::serve::worker;
