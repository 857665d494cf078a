mod call;
mod child;
mod error;
mod frame;
mod function;
mod pool;
mod program;
mod serve;
mod span;
mod stderr;
mod workers;

pub use async_process::Command;

pub use self::call::{InProcess, in_process};
pub use self::error::Error;
pub use self::function::{AnyFunction, Function};
pub use self::pool::{Builder, ProcessPool};
pub use self::serve::worker;
