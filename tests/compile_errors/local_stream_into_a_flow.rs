use std::rc::Rc;

use flowlet::{Flow, prelude::*};

fn main() {
    let local = Rc::new(1);
    let numbers = pipe([1, 2]).map(move |n| n + *local);
    let _ = numbers.through(Flow::identity());
}

// says: `Rc<i32>` cannot be sent between threads safely
// says: required for `Flow<i32>` to implement `Through<
