mod blocking;
mod call;
pub(crate) mod handle;
mod local;
mod pool;
#[cfg(all(feature = "process", unix))]
pub mod process;
mod slots;
pub(crate) mod span;
mod task;
mod thread;

pub use self::blocking::{BlockingJob, InBlocking, in_blocking};
pub use self::local::ThreadLocal;
pub use self::pool::{InPool, ThreadPool, ThreadPoolBuilder, in_pool};
pub use self::task::{InTask, in_local_task, in_task};
pub use self::thread::{InThread, in_thread};

#[cfg(all(feature = "process", not(unix)))]
compile_error!(
    "flowlet's feature `process` is for Unix: elsewhere the way to a worker would have to be a \
     network port, and nothing would be certain about what is left behind"
);
