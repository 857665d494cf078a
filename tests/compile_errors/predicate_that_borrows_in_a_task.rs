use flowlet::prelude::*;

async fn is_alive(banned: &[u32], n: &u32) -> bool {
    !banned.contains(n)
}

fn main() {
    let banned = vec![2];
    drop(tokio::spawn(async move {
        pipe(1..=3).filter_concurrent(8, async |n| is_alive(&banned, n).await).drain().await;
    }));
}

// says: implementation of `Send` is not general enough
