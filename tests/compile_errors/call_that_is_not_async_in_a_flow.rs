use flowlet::Flow;

fn main() {
    let _ = Flow::<u32>::identity().map_concurrent(8, |n| n + 1);
}

// says: `u32` is not a future: the function of a concurrent stage must be async
// says: the trait `CallFuture` is not implemented for `u32`
// says: write an `async fn(T) -> U`, or a closure `async |item| ..`
