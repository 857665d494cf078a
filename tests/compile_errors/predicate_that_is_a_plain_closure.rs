use flowlet::prelude::*;

async fn is_alive(n: &u32) -> bool {
    *n > 1
}

fn main() {
    let _ = pipe([1, 2]).filter_concurrent(8, |n| is_alive(n));
}

// says: implementation of `AsyncFn` is not general enough
