/// Returns a function that calls `f` with a clone of `state` and its argument.
///
/// A pipeline must own what its functions use if it is returned, stored, used as a response body or spawned as it is.
/// So must a function that runs in a thread or a task. An `async move` closure that owns its state will not do, because
/// its futures borrow from the closure. Without `with` you would clone the state outside an `async` block, and move it
/// in. Use `with` wherever a function of one item is expected: in stages, [`Flow`](crate::Flow)s,
/// [`in_task`](crate::in_task), [`in_blocking`](crate::in_blocking) and so on. (The predicate of a `filter_concurrent`
/// borrows its item, which `with` cannot express. Use `filter_map_concurrent` instead.)
///
/// The state should be cheap to clone: an [`Arc`](std::sync::Arc), a client that is a handle, or a tuple of these. `f`
/// takes it by value. For a method with `&self`, write a closure: `async |app: Arc<App>, id| app.fetch(id).await`.
///
/// Where the function may borrow, as in a pipeline that is awaited where it is written, a plain
/// `async |item| app.fetch(item).await` is shorter.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::with;
/// use std::sync::Arc;
///
/// struct App {
///     host: String,
/// }
///
/// impl App {
///     async fn fetch(self: Arc<Self>, id: u32) -> String {
///         format!("{}/{id}", self.host)
///     }
/// }
///
/// /// Returns a stream that owns what it uses.
/// fn pages(app: Arc<App>) -> impl Stream<Item = String> + Send + 'static {
///     pipe(1..=3).map_concurrent(8, with(app, App::fetch))
/// }
///
/// /// The same with a closure, and with two values.
/// fn counted(app: Arc<App>, prefix: Arc<str>) -> impl Stream<Item = usize> + Send + 'static {
///     pipe(1..=3).map_concurrent(
///         8,
///         with((app, prefix), async |(app, prefix): (Arc<App>, Arc<str>), id| {
///             prefix.len() + app.fetch(id).await.len()
///         }),
///     )
/// }
///
/// # futures_lite::future::block_on(async {
/// let app = Arc::new(App { host: "example.com".to_owned() });
/// assert_eq!(pages(app.clone()).count().await, 3);
/// assert_eq!(counted(app, "http://".into()).collect::<Vec<_>>().await, [20, 20, 20]);
/// # });
/// ```
pub fn with<S, F, T, R>(state: S, f: F) -> impl Fn(T) -> R + Clone
where
    S: Clone,
    F: Fn(S, T) -> R + Clone,
{
    move |item| f(state.clone(), item)
}
