use crate::{Executor, Tally};

/// One implementation of a workload.
#[expect(missing_debug_implementations, reason = "it holds a closure")]
pub struct Contender {
    /// Whose it is.
    pub name: &'static str,

    /// Runs so many items through.
    pub run: Box<dyn Fn(u64) -> Tally>,
}

impl Contender {
    /// Makes a contender of a function that gets the number of items.
    pub fn new<Fut>(
        name: &'static str,
        executor: Executor,
        f: impl Fn(u64) -> Fut + 'static,
    ) -> Self
    where
        Fut: Future<Output = Tally>,
    {
        Self { name, run: Box::new(move |items| executor.run(async { f(items).await })) }
    }
}

/// A workload at a number of calls in flight, and all who can do it, ours first.
#[expect(missing_debug_implementations, reason = "it holds closures")]
pub struct Row {
    /// What the calls do, or what is done with them.
    pub workload: String,

    /// How many calls at once, for each stage.
    pub in_flight: usize,

    /// How many items make a run long enough to be timed.
    pub items: u64,

    /// What so many items must come to.
    pub expected: fn(u64) -> Tally,

    /// Who runs it.
    pub contenders: Vec<Contender>,
}

impl Row {
    /// Runs a contender, and checks what comes out.
    ///
    /// # Panics
    ///
    /// Panics if that is wrong.
    pub fn run(&self, contender: &Contender, items: u64) {
        let (workload, name) = (&self.workload, contender.name);
        let tally = (contender.run)(items);
        assert_eq!(tally, (self.expected)(items), "{name} in {workload}: lost or made up");
    }
}
