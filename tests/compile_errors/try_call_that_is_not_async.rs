use flowlet::prelude::*;

fn main() {
    let numbers = pipe([Ok::<_, String>(1), Ok(2)]);
    let _ = numbers.try_map_concurrent(8, |n: u32| Ok(n + 1));
}

// says: is not a future: the function of a concurrent stage must be async
// says: write an `async fn(T) -> U`, or a closure `async |item| ..`
