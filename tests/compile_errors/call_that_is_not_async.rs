use flowlet::prelude::*;

fn main() {
    let _ = pipe([1, 2]).map_concurrent(8, |n: u32| n + 1);
}

// says: `u32` is not a future
// says: required by a bound in `flowlet::FlowExt::map_concurrent`
