use flowlet::Flow;

fn main() {
    let _ = Flow::<u32>::identity().map_concurrent(8, |n| n + 1);
}

// says: `u32` is not a future
// says: <impl Flow<T, U>>::map_concurrent
