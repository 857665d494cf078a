use flowlet::Flow;

fn main() {
    let banned = vec![2];
    let _ = Flow::<u32>::identity()
        .filter_concurrent(8, async move |n: &u32| !banned.contains(n));
}

// says: to use a closure that captures, write a function of streams: `Flow::new(|stream| stream.filter_concurrent(limit, async |item| ..))`
