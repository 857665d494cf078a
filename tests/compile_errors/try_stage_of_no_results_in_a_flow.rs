use flowlet::Flow;

fn main() {
    let _ = Flow::<u32>::identity().try_map_concurrent(8, async |n: u32| Ok::<u32, String>(n));
}

// says: no method named `try_map_concurrent` found for struct `Flow<u32>`
