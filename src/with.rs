/// Gives a function its state, cloned for each call.
///
/// A pipeline that is returned, stored, put into a response body or spawned as it is must own what its
/// functions use, and so must a function that goes to a thread or a task. An `async move` closure that owns
/// its state will not do, because its futures borrow from the closure. By hand it takes a clone outside of
/// an `async` block and a move into the block. This is short for that. It fits wherever a function of one
/// item does: stages, [`Flow`](crate::Flow)s, [`in_task`](crate::in_task), [`in_blocking`](crate::in_blocking)
/// and the others. (The predicate of a `filter_concurrent` borrows its item, which this cannot express:
/// there is `filter_map_concurrent`.)
///
/// The state should be cheap to clone: an [`Arc`](std::sync::Arc), a client that is a handle, a tuple of
/// such. `f` takes it by value. For a method with `&self` write a closure: `async |app: Arc<App>, id|
/// app.fetch(id).await`.
///
/// Where the function may borrow, as in a pipeline that is awaited where it is written, a plain `async
/// |item| app.fetch(item).await` is shorter.
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
/// /// The same with a closure, and with two things.
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
