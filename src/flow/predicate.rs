use std::future::Future;

/// What [`Flow::filter_concurrent`](crate::Flow::filter_concurrent),
/// [`Flow::inspect_concurrent`](crate::Flow::inspect_concurrent) and their `try_` forms take: a function
/// whose future borrows the item and is `Send`.
///
/// It is there for every `async fn(&T) -> Output`, for asynchronous closures that capture nothing,
/// and for closures whose futures own what they need. An asynchronous closure that captures gives
/// futures that borrow it, of which Rust has no way yet to say that they are `Send`. It goes into a
/// [`Flow::new`](crate::Flow::new), where the compiler sees what they are:
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
/// The trait is sealed: what it is to be implemented for has to be a function.
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
    message = "`{Self}` cannot be called with items that a `Flow` lends",
    label = "not an `async fn(&{T}) -> {Output}` whose futures are `Send`",
    note = "a `Flow` takes an `async fn(&{T}) -> {Output}`, or an asynchronous closure that captures \
            nothing",
    note = "a closure that captures goes into a function of streams: \
            `Flow::new(|stream| stream.filter_concurrent(limit, async |item| ..))`"
)]
pub trait FlowPredicate<'a, T: 'a, Output>:
    Fn(&'a T) -> Self::Call + Send + Sync + 'static
{
    /// The future of a call.
    type Call: Future<Output = Output> + Send + 'a;
}

// So that the message above is given, and not what a future is.
#[diagnostic::do_not_recommend]
impl<'a, T, Output, P, Fut> FlowPredicate<'a, T, Output> for P
where
    T: 'a,
    P: Fn(&'a T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Output> + Send + 'a,
{
    type Call = Fut;
}
