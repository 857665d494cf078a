pub(crate) mod handle;
mod task;
mod thread;

pub use self::task::{InTask, in_local_task, in_task};
pub use self::thread::{InThread, in_thread};
