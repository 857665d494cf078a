use flowlet::prelude::*;
use std::io;
use std::num::ParseIntError;

async fn read(n: u32) -> Result<String, io::Error> {
    Ok(n.to_string())
}

async fn parse(text: String) -> Result<u32, ParseIntError> {
    text.parse()
}

fn main() {
    let _ = pipe(1..=3).map_concurrent(8, read).try_map_concurrent(8, parse);
}

// says: to be a future that resolves to `Result<_, Error>`, but it resolves to `Result<u32, ParseIntError>`
