mod builder;
mod call;
mod error;
mod format;
mod frame;
mod function;
mod life;
mod pool;
mod process;
mod program;
mod serve;
mod settings;
mod span;
mod starts;
mod stderr;
mod threads;
mod watch;
mod worker;
mod workers;

pub use std::process::Command;

pub use self::builder::Builder;
pub use self::call::{InProcess, in_process};
pub use self::error::Error;
pub use self::function::{AnyFunction, Function};
pub use self::life::is_worker;
pub use self::pool::ProcessPool;
pub use self::serve::worker;
