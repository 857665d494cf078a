use flowlet::prelude::*;

fn main() {
    let _ = pipe([1, 2]).map_concurrent("8", async |n: u32| n);
}

// says: the trait `From<&str>` is not implemented for `Concurrency`
// says: `Concurrency` implements `From<usize>`
