use flowlet::prelude::*;

async fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

fn main() {
    let _ = pipe(["1"]).map(Ok).try_map_concurrent(8, async |text| Ok(parse(text).await?));
}

// says: type annotations needed
