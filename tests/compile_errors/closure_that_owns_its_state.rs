use flowlet::prelude::*;

async fn fetch(client: &str, n: u32) -> String {
    format!("{client} {n}")
}

fn pages(client: String) -> impl Stream<Item = String> {
    pipe(1..=3).map_concurrent(8, async move |n| fetch(&client, n).await)
}

fn main() {
    drop(pages(String::new()));
}

// says: async closure does not implement `FnMut` because it captures state from its environment
