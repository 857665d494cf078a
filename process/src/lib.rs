#![doc = include_str!("../README.md")]
#![allow(clippy::test_attr_in_doctest, reason = "some examples show how to test")]

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub use self::unix::{
    AnyFunction, Builder, Command, Error, Function, InProcess, ProcessPool, in_process, is_worker,
    worker,
};

// Alone, so that it is the one message that is shown.
#[cfg(not(unix))]
compile_error!(
    "flowlet-process is for Unix: elsewhere the way to a worker would have to be a network port, and \
     nothing would be certain about what is left behind. Put it in Cargo.toml under \
     `[target.'cfg(unix)'.dependencies]`"
);
