use flowlet::prelude::*;

async fn is_even(n: &u32) -> bool {
    n % 2 == 0
}

async fn parity(n: u32) -> futures_lite::stream::Once<bool> {
    futures_lite::stream::once(is_even(&n).await)
}

fn main() {
    let mut stream = pipe([1, 2]).map(parity).then(|stream| stream).map_concurrent(2, async |n| n);
    drop(stream.next());
}

// says: cannot be unpinned
