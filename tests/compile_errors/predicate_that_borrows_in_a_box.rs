use flowlet::prelude::*;

struct App;

impl App {
    async fn is_alive(&self, id: &u32) -> bool {
        *id > 1
    }

    async fn run(&self) -> usize {
        pipe(1..=3).filter_concurrent(8, async |id| self.is_alive(id).await).boxed().count().await
    }
}

fn main() {
    let _ = App.run();
}

// says: borrowed data escapes outside of method
