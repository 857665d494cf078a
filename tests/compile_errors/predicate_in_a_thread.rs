use flowlet::in_thread;
use flowlet::prelude::*;

fn main() {
    let _ = pipe([1, 2]).filter_concurrent(8, in_thread(|n: u32| n > 1));
}

// says: AsyncFn
