use flowlet::prelude::*;

fn main() {
    let _ = pipe([1, 2]).flat_map_concurrent(8, |n: u32| n + 1);
}

// says: `u32` is neither an iterable nor a stream, nor a future of one
// says: `flat_map_concurrent` takes a function that returns an iterable
