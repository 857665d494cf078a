//! Collects all errors, not only the first: runs everything, then reports everything that went wrong.

use flowlet::ordered;
use flowlet::prelude::*;

#[derive(Debug, PartialEq)]
struct User {
    name: String,
    age: u8,
}

async fn check(line: &str) -> Result<User, String> {
    let (name, age) = line.split_once(',').ok_or_else(|| format!("{line}: no comma"))?;
    let age = age.parse().map_err(|error| format!("{line}: {error}"))?;
    Ok(User { name: name.to_owned(), age })
}

/// Separates values from errors, and runs the pipeline to its end.
async fn partition<T, E>(results: impl Stream<Item = Result<T, E>>) -> (Vec<T>, Vec<E>) {
    results
        .fold((Vec::new(), Vec::new()), |(mut good, mut bad), result| {
            match result {
                Ok(item) => good.push(item),
                Err(error) => bad.push(error),
            }
            (good, bad)
        })
        .await
}

/// Checks a file: returns all of its users, or everything that is wrong with it.
async fn import(file: &str) -> Result<Vec<User>, Vec<String>> {
    // In the order of the lines. `map_concurrent`, because a `try_` stage would stop.
    let (users, errors) = partition(pipe(file.lines()).map_concurrent(ordered(8), check)).await;
    if errors.is_empty() { Ok(users) } else { Err(errors) }
}

fn main() {
    smol::block_on(async {
        let users = import("Ada,36\nAlan,41").await.expect("the file is correct");
        assert_eq!(users[1], User { name: "Alan".to_owned(), age: 41 });

        let errors = import("Ada,36\nAlan\nGrace,85\nKurt,?\n").await.expect_err("two lines are");
        println!("{}", errors.join("\n"));
        assert_eq!(errors, ["Alan: no comma", "Kurt,?: invalid digit found in string"]);
    });
}
