use flowlet::prelude::*;
use futures_lite::stream;

fn main() {
    let numbers = pipe([1, 2]).map(Ok::<u32, String>);
    let _ = numbers.try_flat_map_concurrent(8, async |n: u32| Ok(stream::once(n)));
}

// says: cannot be opened by `try_flat_map_concurrent`
// says: add `.map(Ok)` to a stream that cannot fail
