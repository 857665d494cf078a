use flowlet::prelude::*;

fn main() {
    let _ = pipe(7);
}

// says: a pipeline begins with an iterable (such as a `Vec<T>` or an iterator) or with a `Stream`
