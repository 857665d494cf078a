use std::rc::Rc;

use flowlet::Flow;

fn main() {
    let factor = Rc::new(10);
    let _ = Flow::<u32>::identity().map(move |n| n * *factor);
}

// says: `Rc<u32>` cannot be sent between threads safely
// says: <impl Flow<T, U>>::map
