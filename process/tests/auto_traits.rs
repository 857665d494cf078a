//! What is `Send`, `Sync` and `Unpin`, and that everything is `Debug` whatever the types of a function are.
//!
//! The traits are decided by the compiler. Nothing of what the `traits!` lines make is ever run.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use flowlet_process::{AnyFunction, Builder, Error, Function, InProcess, ProcessPool, in_process};

/// `Send` and `Sync`.
type Yes = u8;
/// `Send`, not `Sync`.
type NoSync = Cell<u8>;
/// Neither.
type No = Rc<u8>;

/// A value of any type, in code that is compiled and never run.
fn some<T>() -> T {
    unreachable!()
}

/// A marker for the second of two implementations, which makes a call ambiguous.
struct Ambiguous;

macro_rules! ambiguous_if {
    ($($name:ident: $bound:ident),*) => { $(
        trait $name<Which> {
            fn not(&self) {}
        }
        impl<T: ?Sized> $name<()> for T {}
        impl<T: ?Sized + $bound> $name<Ambiguous> for T {}
    )* };
}

ambiguous_if!(NotSend: Send, NotSync: Sync);

/// Has the compiler check what the type of a value is, and is not.
macro_rules! traits {
    ($value:expr => $($traits:tt)*) => {
        let _ = || {
            let value = $value;
            traits!(@ value $($traits)*);
        };
    };
    (@ $value:ident) => { let _value = $value; };
    (@ $value:ident !Send $($rest:tt)*) => { NotSend::not(&$value); traits!(@ $value $($rest)*); };
    (@ $value:ident !Sync $($rest:tt)*) => { NotSync::not(&$value); traits!(@ $value $($rest)*); };
    (@ $value:ident $bound:ident $($rest:tt)*) => {
        {
            fn is<T: $bound>(_: &T) {}
            is(&$value);
        }
        traits!(@ $value $($rest)*);
    };
}

const DOUBLE: Function<u8, u8> = Function::new("double", |n| 2 * n);

#[test]
fn they_fit_everywhere() {
    traits!(some::<ProcessPool>() => Send Sync Unpin);
    traits!(some::<Builder>() => Send Unpin);
    traits!(some::<Function<No, NoSync>>() => Send Sync Unpin UnwindSafe RefUnwindSafe);
    traits!(some::<Error>() => Send Sync Unpin);
    // Only the argument is kept, until it is encoded.
    traits!(some::<InProcess<Yes, No>>() => Send Sync Unpin);
    traits!(some::<InProcess<No, Yes>>() => !Send !Sync);
    traits!(some::<InProcess<NoSync, Yes>>() => Send !Sync);
    traits!(some::<InProcess<PhantomPinned, PhantomPinned>>() => Unpin);
}

#[test]
fn they_can_be_shown() {
    let pool = ProcessPool::builder().size(2).command(|| unreachable!()).build();
    let double = in_process(&pool, DOUBLE);
    traits!(&double => Send Sync Unpin);
    // It borrows nothing, the pool included.
    fn is_owned<T: Clone + 'static>(_: &T) {}
    is_owned(&double);
    assert_eq!(format!("{:?}", double(1)), "InProcess(Waiting)");
    assert_eq!(format!("{pool:?}"), "ProcessPool { size: 2, alive: 0, idle: 0, waiting: 0 }");
    let builder = ProcessPool::builder().size(2);
    assert_eq!(format!("{builder:?}"), "Builder { size: 2, start_limit: 60s, .. }");
    assert_eq!(format!("{DOUBLE:?}"), "Function(double: fn(u8) -> u8)");
    let any: &dyn AnyFunction = &DOUBLE;
    assert_eq!(format!("{any:?}"), "Function(double: fn(u8) -> u8)");
}
