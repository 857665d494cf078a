mod call;
mod discard;
pub(crate) mod handle;
mod local;
mod pool;
mod slots;
mod task;
mod thread;

pub use self::local::ThreadLocal;
pub use self::pool::{InPool, ThreadPool, ThreadPoolBuilder, in_pool};
pub use self::task::{InTask, in_local_task, in_task};
pub use self::thread::{InThread, in_thread};
