use flowlet::prelude::*;

fn main() {
    let (_sender, receiver) = tokio::sync::mpsc::channel::<u32>(1);
    let _ = pipe(receiver);
}

// says: is neither an iterable nor a stream
// says: ReceiverStream
// says: poll_fn
