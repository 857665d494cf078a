use flowlet::prelude::*;
use flowlet::stage::Driven;
use futures_lite::stream::Boxed;

struct Reader {
    rows: Driven<Boxed<u32>>,
    offset: u32,
}

impl Reader {
    async fn store(&self, n: u32) -> u32 {
        n + self.offset
    }

    async fn run(&mut self) {
        while let Some(n) = self.rows.next().await {
            self.rows.alongside(self.store(n)).await;
        }
    }
}

fn main() {
    let rows = pipe([1]).boxed().driven();
    drop(Reader { rows, offset: 1 }.run());
}

// says: cannot borrow `self.rows` as mutable because it is also borrowed as immutable
