use std::future::Future;

/// What the function of a concurrent stage returns: any [`Future`].
///
/// It is implemented for all futures and for nothing else. The stages require it instead of `Future`, so that the
/// compiler can explain what to write if a function is not asynchronous.
///
/// # Examples
///
/// ```
/// use flowlet::CallFuture;
/// use flowlet::prelude::*;
///
/// /// A stage of our own, for any function that the stages of flowlet take.
/// fn four_at_once<S: Stream, Fut: CallFuture>(
///     items: S,
///     f: impl FnMut(S::Item) -> Fut,
/// ) -> impl Stream<Item = Fut::Output> {
///     items.map_concurrent(4, f)
/// }
///
/// # futures_lite::future::block_on(async {
/// let doubled: Vec<u32> = four_at_once(pipe([1, 2]), async |n| 2 * n).collect().await;
/// assert_eq!(doubled, [2, 4]);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a future: the function of a concurrent stage must be async",
    label = "this function returns `{Self}`, not a future",
    note = "write an `async fn(T) -> U`, or a closure `async |item| ..`; wrap a function that blocks in \
            `in_thread(f)`, `in_pool(&pool, f)` or `in_blocking(tokio::task::spawn_blocking, f)`; for a \
            quick function use the stream's own `map` or `filter_map`"
)]
pub trait CallFuture: Future {}

#[diagnostic::do_not_recommend]
impl<Fut: Future + ?Sized> CallFuture for Fut {}
