mod blocking;
mod call;
pub(crate) mod handle;
mod local;
mod pool;
pub(crate) mod queue;
mod slots;
pub(crate) mod span;
mod task;
mod thread;

pub use self::blocking::{BlockingJob, InBlocking, in_blocking};
pub use self::local::ThreadLocal;
pub use self::pool::{InPool, ThreadPool, ThreadPoolBuilder, in_pool};
pub use self::task::{InTask, in_local_task, in_task};
pub use self::thread::{InThread, in_thread};
