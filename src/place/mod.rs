mod thread;

pub use self::thread::{InThread, in_thread};
