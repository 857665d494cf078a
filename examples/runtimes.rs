//! The quick start on several runtimes. The pipeline is the same for all of them, and needs none.

use flowlet::prelude::*;
use futures_lite::future;

async fn fetch(url: String) -> String {
    future::yield_now().await; // a request
    format!("page at {url} with links to /docs /blog /lost")
}

async fn find_links(page: String) -> Vec<String> {
    page.split(' ').filter(|word| word.starts_with('/')).map(String::from).collect()
}

async fn is_alive(link: &String) -> bool {
    link != "/lost"
}

async fn crawl() -> Vec<String> {
    let mut links: Vec<String> = pipe(["/home", "/about", "/team"].map(String::from))
        .map_concurrent(20, fetch)
        .flat_map_concurrent(8, find_links)
        .filter_concurrent(8, is_alive)
        .collect()
        .await;
    links.sort();
    links.dedup();
    links
}

fn main() {
    let tokio = tokio::runtime::Runtime::new().expect("tokio starts");
    let found = [
        ("block_on", future::block_on(crawl())),
        ("smol", smol::block_on(smol::spawn(crawl()))),
        (
            "tokio",
            tokio.block_on(async { tokio::spawn(crawl()).await.expect("it does not panic") }),
        ),
        ("async-std", async_std::task::block_on(async_std::task::spawn(crawl()))),
    ];
    for (runtime, links) in found {
        println!("{runtime:>9}: {}", links.join(" "));
        assert_eq!(links, ["/about", "/blog", "/docs", "/home", "/team"]);
    }
}
