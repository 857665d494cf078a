mod blocking;
mod call;
pub(crate) mod handle;
#[cfg(feature = "threads")]
mod lines;
mod local;
#[cfg(feature = "threads")]
mod pool;
pub(crate) mod queue;
#[cfg(feature = "threads")]
mod shared;
mod slots;
pub(crate) mod span;
mod task;
#[cfg(feature = "threads")]
mod thread;

pub use self::blocking::{BlockingJob, InBlocking, in_blocking};
pub use self::local::ThreadLocal;
#[cfg(feature = "threads")]
pub use self::pool::{InPool, ThreadPool, ThreadPoolBuilder, in_pool};
pub use self::task::{InTask, in_local_task, in_task};
#[cfg(feature = "threads")]
pub use self::thread::{InThread, in_thread};
