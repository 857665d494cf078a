use flowlet::prelude::*;

fn main() {
    let _ = pipe([1, 2]).try_map_concurrent(8, async |n: u32| Ok::<u32, String>(n));
}

// says: Item = Result<_, _>`
// says: which is required by
// says: flowlet::TryFlowExt<_, _>
