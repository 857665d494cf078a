use flowlet::prelude::*;
use futures_util::TryStreamExt;

fn main() {
    let results = pipe([Ok(1), Err("two")]).map_err(str::len);
    let _ = results.try_collect::<Vec<u32>>();
}

// says: multiple applicable items in scope
