use std::any::type_name;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::sealed::Sealed;
use super::format::{Limits, Trouble, decode, take};
use super::frame::{Frame, Kind};

/// A function that can be called in worker processes, and the name it is found by there.
///
/// A process cannot be handed an address, so both sides go by the name. Make it a constant, and use
/// the constant in both places: in the list given to [`worker`](crate::worker), and with
/// [`in_process`](crate::in_process). Then name and types cannot disagree; should they, because the
/// worker is another program, it is an [error](crate::Error::NotRegistered).
///
/// The function takes one argument, which may be a tuple, and captures nothing. Both types must be
/// owned and go through [serde]; see [the crate](crate#what-crosses-over) for what that means.
///
/// # Examples
///
/// ```
/// use flowlet_process::Function;
///
/// fn resize((image, width): (Vec<u8>, u32)) -> Result<Vec<u8>, String> {
///     # let _ = width;
///     if image.is_empty() { Err("no image".to_owned()) } else { Ok(image) }
/// }
///
/// const RESIZE: Function<(Vec<u8>, u32), Result<Vec<u8>, String>> =
///     Function::new("resize", resize);
/// assert_eq!(RESIZE.name(), "resize");
/// ```
pub struct Function<T, U> {
    name: &'static str,
    f: fn(T) -> U,
}

impl<T, U> Function<T, U> {
    /// Gives a function a name.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_process::Function;
    ///
    /// const DOUBLE: Function<u64, u64> = Function::new("double", |n| 2 * n);
    /// ```
    pub const fn new(name: &'static str, f: fn(T) -> U) -> Self {
        Self { name, f }
    }

    /// Returns the name.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_process::Function;
    ///
    /// const DOUBLE: Function<u64, u64> = Function::new("double", |n| 2 * n);
    /// assert_eq!(DOUBLE.name(), "double");
    /// ```
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T, U> Clone for Function<T, U> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, U> Copy for Function<T, U> {}

impl<T, U> fmt::Debug for Function<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").field(&format_args!("{}", Signature::of(self))).finish()
    }
}

/// Any [`Function`], of whatever types: what [`worker`](crate::worker) takes a list of.
///
/// It cannot be implemented outside of this crate.
///
/// # Examples
///
/// ```
/// use flowlet_process::{AnyFunction, Function};
///
/// const DOUBLE: Function<u64, u64> = Function::new("double", |n| 2 * n);
/// const LENGTH: Function<String, usize> = Function::new("length", |text| text.len());
///
/// let functions: &[&dyn AnyFunction] = &[&DOUBLE, &LENGTH];
/// ```
pub trait AnyFunction: Sealed + Sync {}

impl<T: DeserializeOwned, U: Serialize> AnyFunction for Function<T, U> {}

impl fmt::Debug for dyn AnyFunction + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").field(&format_args!("{}", self.signature())).finish()
    }
}

/// The name of a function and of its types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    pub(super) name: &'a str,
    takes: &'a str,
    gives: &'a str,
}

impl<'a> Signature<'a> {
    pub(super) fn of<T, U>(function: &Function<T, U>) -> Signature<'static> {
        Signature { name: function.name, takes: type_name::<T>(), gives: type_name::<U>() }
    }

    pub(super) fn push_to(self, frame: &mut Frame) -> Result<(), Trouble> {
        frame.push(&(self.name, self.takes, self.gives), Limits::NONE)
    }

    /// Takes a signature off the front of a frame's body.
    pub(super) fn take_from(body: &mut &'a [u8]) -> Result<Self, Trouble> {
        let (name, takes, gives) = take(body)?;
        Ok(Self { name, takes, gives })
    }

    /// Looks for this function among those that are known, and says what is wrong if it is not
    /// there.
    pub(super) fn find(self, known: impl Iterator<Item = Self> + Clone) -> Result<usize, String> {
        let Some((index, found)) =
            known.clone().enumerate().find(|(_, known)| known.name == self.name)
        else {
            let known: Vec<String> = known.map(|known| format!("`{}`", known.name)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!(
                "the function `{}` was not given to `flowlet_process::worker`, which knows {known}",
                self.name,
            ));
        };
        if found == self {
            return Ok(index);
        }
        Err(format!("`{self}` is called, but `flowlet_process::worker` was given `{found}`"))
    }
}

impl fmt::Display for Signature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, takes, gives } = self;
        write!(f, "{name}: fn({takes}) -> {gives}")
    }
}

mod sealed {
    use super::*;

    pub trait Sealed {
        fn signature(&self) -> Signature<'static>;

        /// Calls the function, and makes the frame that answers.
        fn answer(&self, argument: &[u8], limits: Limits) -> Frame;
    }

    impl<T: DeserializeOwned, U: Serialize> Sealed for Function<T, U> {
        fn signature(&self) -> Signature<'static> {
            Signature::of(self)
        }

        fn answer(&self, argument: &[u8], limits: Limits) -> Frame {
            let argument = match decode(argument, limits) {
                Ok(argument) => argument,
                Err(why) => return Frame::with_body(Kind::Argument, why.of::<T>().as_bytes()),
            };
            let output = (self.f)(argument);
            let mut frame = Frame::new(Kind::Output);
            match frame.push(&output, limits) {
                Ok(()) => frame,
                Err(why) => Frame::with_body(Kind::Result, why.of::<U>().as_bytes()),
            }
        }
    }
}
