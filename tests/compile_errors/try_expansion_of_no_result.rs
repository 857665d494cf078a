use flowlet::prelude::*;

fn main() {
    let _ = pipe([Ok::<u32, String>(1)]).try_flat_map_concurrent(8, |n| vec![n]);
}

// says: `Vec<u32>` cannot be opened by `try_flat_map_concurrent`
// says: use `try_map_concurrent`
