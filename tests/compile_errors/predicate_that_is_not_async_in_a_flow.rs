use flowlet::Flow;

fn main() {
    let _ = Flow::<u32>::identity().filter_concurrent(8, |n: &u32| *n > 1);
}

// says: not an `async fn(&u32) -> bool`
