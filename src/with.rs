/// Gives a function its state, which is cloned for each call.
///
/// A stage, a [`Flow`](crate::Flow) or a task often has to own what its function uses. An `async move`
/// closure that owns it will not do, as its futures would borrow from the closure; by hand it takes a
/// clone outside of an `async` block and a move into it. This is short for that. The state is
/// cloned when the function is called, so it should be cheap to clone: an [`Arc`](std::sync::Arc), a
/// client that is a handle, a tuple of such.
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
