/// An item of a stream of `Result`s, which is a [`Result`].
///
/// The `try_` stages require it, in addition to a stream of `Result`s, so that the compiler can explain what to write
/// if a stream yields something else. The trait is sealed.
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
    /// The type of the value.
    type Ok;

    /// The type of the error.
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
