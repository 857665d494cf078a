use std::pin::pin;

use futures_lite::{Stream, StreamExt};

/// What came out of a run: enough to see that nothing was lost or made up.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many outputs.
    pub count: u64,

    /// Their sum.
    pub sum: u64,
}

impl Tally {
    /// What the outputs `0..n` come to.
    pub fn of_numbers(n: u64) -> Self {
        Self { count: n, sum: n * n.saturating_sub(1) / 2 }
    }

    /// Counts an output in.
    #[inline]
    pub fn add(&mut self, output: u64) {
        self.count += 1;
        self.sum += output;
    }

    /// Counts some outputs in.
    #[inline]
    pub fn add_all(&mut self, outputs: impl IntoIterator<Item = u64>) {
        outputs.into_iter().for_each(|output| self.add(output));
    }

    /// Counts in the next of the outputs `0, 1, 2, …`.
    ///
    /// # Panics
    ///
    /// Panics if it is another one.
    #[inline]
    pub fn add_in_order(&mut self, output: u64) {
        assert_eq!(output, self.count, "out of order");
        self.add(output);
    }
}

/// Consumes a stream of the numbers from 0, and checks that they come in that order.
pub async fn tally_in_order(stream: impl Stream<Item = u64>) -> Tally {
    let mut stream = pin!(stream);
    let mut tally = Tally::default();
    while let Some(output) = stream.next().await {
        tally.add_in_order(output);
    }
    tally
}

/// Consumes a stream.
pub async fn tally(stream: impl Stream<Item = u64>) -> Tally {
    let mut stream = pin!(stream);
    let mut tally = Tally::default();
    while let Some(output) = stream.next().await {
        tally.add(output);
    }
    tally
}
