use flowlet::{Flow, op};

fn main() {
    let lengths: Flow<&str, usize> = op::map(str::len);
    let _ = lengths.then(op::filter(|text: &String| text.is_empty()));
}

// says: expected `Flow<usize, _>`, found `Flow<String>`
