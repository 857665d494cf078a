use std::future::Future;

/// The functions that [`Flow::filter_concurrent`](crate::Flow::filter_concurrent),
/// [`Flow::inspect_concurrent`](crate::Flow::inspect_concurrent) and their `try_` forms take. Their futures borrow
/// the item and are `Send`.
///
/// It is implemented for every `async fn(&T) -> Output`, for async closures that capture nothing, and for closures
/// whose futures own what they need. An async closure that captures something returns futures that borrow it. Rust
/// has no way yet to say that these are `Send`. Use such a closure in [`Flow::new`](crate::Flow::new), where the
/// compiler sees the concrete type:
///
/// ```
/// use flowlet::Flow;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let banned = std::sync::Arc::new([2, 3]);
/// let allowed = Flow::<u32>::new(move |numbers| {
///     let banned = banned.clone();
///     numbers.filter_concurrent(8, async move |n: &u32| !banned.contains(n))
/// });
///
/// let numbers: Vec<u32> = pipe(1..=4).through(&allowed).collect().await;
/// assert_eq!(numbers, [1, 4]);
/// # });
/// ```
///
/// The trait is sealed: only functions can implement it.
///
/// # Examples
///
/// A function of your own that takes what `filter_concurrent` takes:
///
/// ```
/// use flowlet::{Flow, FlowPredicate};
///
/// fn politely(allowed: impl for<'a> FlowPredicate<'a, String, bool>) -> Flow<String> {
///     Flow::identity().filter_concurrent(2, allowed)
/// }
///
/// async fn is_allowed(link: &String) -> bool {
///     !link.contains("private")
/// }
/// assert_eq!(format!("{:?}", politely(is_allowed)), "Flow [filter_concurrent(2)]");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used in a `Flow` as a function that borrows its item",
    label = "not an `async fn(&{T}) -> {Output}` whose futures are `Send`",
    note = "a `Flow` takes an `async fn(&{T}) -> {Output}`, or an `async` closure that captures nothing",
    note = "to use a closure that captures, write a function of streams: \
            `Flow::new(|stream| stream.filter_concurrent(limit, async |item| ..))`"
)]
pub trait FlowPredicate<'a, T: 'a, Output>:
    Fn(&'a T) -> Self::Call + Send + Sync + 'static
{
    /// The future of a call.
    type Call: Future<Output = Output> + Send + 'a;
}

// So that the compiler shows the message above, and not that something is no future.
#[diagnostic::do_not_recommend]
impl<'a, T, Output, P, Fut> FlowPredicate<'a, T, Output> for P
where
    T: 'a,
    P: Fn(&'a T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Output> + Send + 'a,
{
    type Call = Fut;
}
