use flowlet::prelude::*;

fn main() {
    let _ = pipe([1, 2]).try_map_concurrent(8, async |n: u32| Ok::<u32, String>(n));
}

// says: a `try_` stage takes a stream of `Result`s, not of `{integer}`
// says: make its items `Result`s with `.map(Ok)`, before the first `try_` stage
