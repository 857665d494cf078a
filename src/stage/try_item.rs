/// An item of a stream of `Result`s, which is a [`Result`].
///
/// The `try_` stages ask for it, besides a stream of `Result`s, so that the compiler can say what to
/// write where a stream is none. The trait is sealed.
///
/// # Examples
///
/// ```
/// use flowlet::TryItem;
///
/// fn kind<I: TryItem<Error = String>>(_: &I) -> &'static str {
///     std::any::type_name::<I::Ok>()
/// }
///
/// assert_eq!(kind(&Ok::<u32, String>(1)), "u32");
/// ```
#[diagnostic::on_unimplemented(
    message = "a `try_` stage takes a stream of `Result`s, not of `{Self}`",
    label = "this stream does not yield `Result`s",
    note = "make its items `Result`s with `.map(Ok)`, before the first `try_` stage"
)]
pub trait TryItem: sealed::TryItem {
    /// What it is if all went well.
    type Ok;

    /// What it is otherwise.
    type Error;
}

#[diagnostic::do_not_recommend]
impl<T, E> TryItem for Result<T, E> {
    type Ok = T;
    type Error = E;
}

mod sealed {
    pub trait TryItem {}

    #[diagnostic::do_not_recommend]
    impl<T, E> TryItem for Result<T, E> {}
}
