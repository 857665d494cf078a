//! Errors that are no reason to stop: skip them, keep them as items, or stop only at some.

use flowlet::ordered;
use flowlet::prelude::*;

#[derive(Debug, PartialEq)]
struct NotFound(String);

#[derive(Debug, PartialEq)]
struct Offline;

async fn find(path: &str) -> Result<String, NotFound> {
    match path {
        "/lost" | "/gone" => Err(NotFound(path.to_owned())),
        _ => Ok(format!("page at {path}")),
    }
}

/// Two kinds of errors. Only the outer one is a reason to stop.
async fn fetch(path: &str) -> Result<Result<String, NotFound>, Offline> {
    if path == "/unplug" { Err(Offline) } else { Ok(find(path).await) }
}

/// To a `try_` stage, an `Ok(Err(..))` is an ordinary item.
async fn fetch_all(paths: [&str; 2]) -> Result<Vec<Result<String, NotFound>>, Offline> {
    pipe(paths).map(Ok).try_map_concurrent(ordered(8), fetch).try_collect().await
}

fn main() {
    smol::block_on(async {
        let paths = ["/home", "/lost", "/team", "/gone"];

        // Skip them, but log them.
        let pages: Vec<String> = pipe(paths)
            .filter_map_concurrent(ordered(8), async |path| {
                find(path).await.inspect_err(|error| println!("skipped: {error:?}")).ok()
            })
            .collect()
            .await;
        assert_eq!(pages, ["page at /home", "page at /team"]);

        // Keep them: to stages other than `try_` stages, a `Result` is an ordinary item.
        let broken = pipe(paths).map_concurrent(8, find).filter(Result::is_err).count().await;
        assert_eq!(broken, 2);

        // Stop only at some.
        let answers = fetch_all(["/home", "/lost"]).await;
        assert_eq!(answers, Ok(vec![find("/home").await, Err(NotFound("/lost".to_owned()))]));
        assert_eq!(fetch_all(["/lost", "/unplug"]).await, Err(Offline));
    });
}
