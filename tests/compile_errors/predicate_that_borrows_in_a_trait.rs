use flowlet::prelude::*;

trait Run {
    fn run(&self) -> impl Future<Output = usize> + Send;
}

struct App(Vec<u32>);

impl App {
    async fn is_alive(&self, n: &u32) -> bool {
        !self.0.contains(n)
    }
}

impl Run for App {
    async fn run(&self) -> usize {
        pipe(1..=3).filter_concurrent(8, async |n| self.is_alive(n).await).count().await
    }
}

fn main() {
    drop(App(vec![]).run());
}

// says: does not fulfill the required lifetime
