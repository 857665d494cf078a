use flowlet::op;

fn main() {
    let _ = op::flat_map(|n: u32| n + 1);
}

// says: `u32` is neither an iterable nor a stream, nor a future of one
// says: `flat_map_concurrent` takes a function that returns an iterable
