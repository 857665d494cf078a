/// A function of a number, of which each call gives back a number: what workloads call on their items.
pub trait Callable: Fn(u64) -> <Self as Callable>::Call + Copy + Send + Sync + 'static {
    /// A call of it.
    type Call: Future<Output = u64> + Send + 'static;
}

impl<F, Fut> Callable for F
where
    F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    type Call = Fut;
}
