use flowlet::{Flow, op};

fn main() {
    let lengths: Flow<&str, usize> = op::map(str::len);
    let _ = lengths | op::filter(|text: &String| text.is_empty());
}

// says: `Flow<String>` does not take `usize`, which the flow before the `|` yields
