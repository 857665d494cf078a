use std::sync::Arc;

use flowlet::prelude::*;
use flowlet::with;

struct Client;

impl Client {
    async fn get(&self, n: u32) -> u32 {
        n
    }
}

fn main() {
    let _ = pipe(1..=3).map_concurrent(8, with(Arc::new(Client), Client::get));
}

// says: type mismatch in function arguments
