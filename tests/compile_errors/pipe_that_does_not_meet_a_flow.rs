use flowlet::{op, pipe};

fn main() {
    let _ = pipe([1, 2]) | op::filter(|text: &String| text.is_empty());
}

// says: `Flow<String>` does not take this stream
// says: `through` takes a `Flow<T, U>` or `&Flow<T, U>` where the stream yields `T`
