use flowlet::prelude::*;

async fn is_alive(banned: &[u32], n: &u32) -> bool {
    !banned.contains(n)
}

fn main() {
    let (list, banned) = (vec![1], vec![2]);
    drop(tokio::spawn(async move {
        pipe(&list).filter_concurrent(8, async |n| is_alive(&banned, n).await).drain().await;
    }));
}

// says: implementation of `AsyncFnMut` is not general enough
