use std::any::{Any, type_name};
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use super::slots::{self, Found, Owner};

/// A resource of which each thread makes its own when it first needs it: a connection, a client, a
/// buffer.
///
/// Calls that run on the same thread use the same resource one after another. So what is dear to
/// make is made once a thread, what must not be used from two threads need not be locked, and `R`
/// need not be `Send`. It goes well with [`in_pool`](crate::in_pool), and works on any thread.
///
/// `F` makes the resource. A `ThreadLocal` can be a `static`, where `F` is a `fn() -> R`, be
/// captured by a closure, or be shared in an [`Arc`].
///
/// # When resources are dropped
///
/// A resource never leaves its thread, so it is dropped there, once, and at the latest when the
/// thread ends. For a known point there are three ways:
///
/// - Shut down the [`ThreadPool`](crate::ThreadPool) whose threads made them, or drop it. The
///   threads of [`in_thread`](crate::in_thread) may live as long as the process, and a process that
///   exits drops nothing on threads that still run.
/// - Call [`close`](Self::close), on the thread.
/// - Drop the `ThreadLocal`. It takes this thread's resource with it. Other threads drop theirs when
///   they next use any `ThreadLocal`, or run a call of `in_thread` or `in_pool`, or end.
///
/// A thread that ends drops its resources in turn, the latest first, and can use no `ThreadLocal`
/// any more.
///
/// # Panics
///
/// A resource that is in use cannot be used again: inside [`with`](Self::with), in its own factory
/// and in its own `Drop`, the same `ThreadLocal` panics on the same thread. Others can be used there.
///
/// A panic in the `Drop` of a resource comes out of `close`, out of the drop of the `ThreadLocal`
/// on that thread, and out of the shutdown of a `ThreadPool`. Otherwise there is nobody to tell, and
/// only the panic hook learns of it.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "threads")]
/// # fn main() {
/// use flowlet::prelude::*;
/// use flowlet::{ThreadLocal, ThreadPool, in_pool};
///
/// struct Connection; // slow to open, and need not be `Send`
///
/// impl Connection {
///     fn open() -> Self {
///         Connection
///     }
///
///     fn length(&mut self, key: &str) -> usize {
///         key.len()
///     }
/// }
///
/// static CONNECTION: ThreadLocal<Connection> = ThreadLocal::new(Connection::open);
///
/// # futures_lite::future::block_on(async {
/// let pool = ThreadPool::new(4)?;
/// let length = in_pool(&pool, |key| CONNECTION.with(|connection| connection.length(key)));
///
/// let lengths: Vec<usize> = pipe(["a", "bc"]).map_concurrent(16, length).collect().await;
/// assert_eq!(lengths.iter().sum::<usize>(), 3);
///
/// pool.shutdown().await; // each thread has closed its connection
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// # }
/// # #[cfg(not(feature = "threads"))]
/// # fn main() {}
/// ```
pub struct ThreadLocal<R, F = fn() -> R> {
    factory: F,
    /// Made on first use.
    owner: OnceLock<Arc<Owner>>,
    /// Makes resources, holds none.
    resource: PhantomData<fn() -> R>,
}

impl<R, F> ThreadLocal<R, F> {
    /// Has each thread that needs a resource call `factory`, which returns it, or for
    /// [`try_with`](Self::try_with) a `Result` of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::ThreadLocal;
    /// use std::fs::File;
    ///
    /// let path = "Cargo.toml".to_owned();
    /// let file = ThreadLocal::new(move || File::open(&path));
    /// let length = file.try_with(|file| file.metadata().map(|data| data.len()))??;
    /// assert!(length > 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub const fn new(factory: F) -> Self {
        Self { factory, owner: OnceLock::new(), resource: PhantomData }
    }

    /// Drops this thread's resource, if it has one. The next use here makes another.
    ///
    /// Such as when a connection was lost. Other threads keep theirs.
    ///
    /// # Panics
    ///
    /// Panics if this thread is using the resource, and if its `Drop` panics; it is gone then.
    ///
    /// # Examples
    ///
    /// ```
    /// let counter = flowlet::ThreadLocal::new(|| 0);
    /// counter.with(|count| *count += 1);
    /// counter.close();
    /// assert_eq!(counter.with(|count| *count), 0);
    /// ```
    #[track_caller]
    pub fn close(&self) {
        slots::sweep();
        let Some(owner) = self.owner.get() else { return };
        match Lease::take(owner) {
            Ok(mut lease) => drop(lease.resource.take()), // it counts as in use meanwhile
            Err(Refusal::InUse) => Refusal::InUse.panic::<R>(),
            Err(Refusal::ThreadEnds) => {}
        }
    }

    #[track_caller]
    fn access<T, E>(
        &self,
        make: impl FnOnce() -> Result<R, E>,
        f: impl FnOnce(&mut R) -> T,
    ) -> Result<T, E>
    where
        R: 'static,
    {
        slots::sweep();
        let mut lease = match Lease::take(self.owner.get_or_init(Owner::new)) {
            Ok(lease) => lease,
            Err(refusal) => refusal.panic::<R>(),
        };
        let resource = match &mut lease.resource {
            Some(resource) => resource,
            none => none.insert(Box::new(make()?)),
        };
        Ok(f(resource.downcast_mut().expect("an owner has resources of one type")))
    }
}

impl<R: 'static, F: Fn() -> R> ThreadLocal<R, F> {
    /// Calls `f` with this thread's resource, which is made if there is none.
    ///
    /// # Panics
    ///
    /// Panics if this thread is using the resource already, and if the thread is about to end.
    ///
    /// A panic in the factory comes out and leaves the thread without a resource. One in `f` comes
    /// out and leaves the resource as it is, for the next use: [`close`](Self::close) it there if it
    /// cannot be trusted.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::ThreadLocal;
    ///
    /// let text = ThreadLocal::new(String::new);
    /// text.with(|text| text.push_str("made once"));
    /// text.with(|text| text.push_str(", used twice"));
    /// assert_eq!(text.with(|text| text.clone()), "made once, used twice");
    /// ```
    #[track_caller]
    pub fn with<T>(&self, f: impl FnOnce(&mut R) -> T) -> T {
        let Ok(output) = self.access(|| Ok::<R, Infallible>((self.factory)()), f);
        output
    }
}

impl<R: 'static, E, F: Fn() -> Result<R, E>> ThreadLocal<R, F> {
    /// Calls `f` with this thread's resource, which is made if there is none, and if it can be.
    ///
    /// # Errors
    ///
    /// The error of the factory. The thread is left without a resource, and the next use calls the
    /// factory again.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::ThreadLocal;
    /// use std::net::TcpStream;
    ///
    /// let server = ThreadLocal::new(|| TcpStream::connect("127.0.0.1:0")); // nobody is there
    /// assert!(server.try_with(|connection| connection.nodelay()).is_err());
    /// ```
    #[track_caller]
    pub fn try_with<T>(&self, f: impl FnOnce(&mut R) -> T) -> Result<T, E> {
        self.access(&self.factory, f)
    }
}

impl<R, F> Drop for ThreadLocal<R, F> {
    fn drop(&mut self) {
        let Some(owner) = self.owner.take() else { return };
        let found = slots::lend(&owner);
        slots::forget(&owner);
        owner.leave();
        drop(found);
    }
}

impl<R, F> fmt::Debug for ThreadLocal<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadLocal").finish_non_exhaustive()
    }
}

/// This thread's resource while it is in use, or the place for it. Given back when dropped.
struct Lease<'a> {
    owner: &'a Arc<Owner>,
    resource: Option<Box<dyn Any>>,
}

impl<'a> Lease<'a> {
    fn take(owner: &'a Arc<Owner>) -> Result<Self, Refusal> {
        match slots::lend(owner) {
            Found::Resource(resource) => Ok(Self { owner, resource: Some(resource) }),
            Found::Nothing => Ok(Self { owner, resource: None }),
            Found::Lent => Err(Refusal::InUse),
            Found::Ended => Err(Refusal::ThreadEnds),
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        match self.resource.take() {
            Some(resource) => slots::restore(self.owner, resource),
            None => slots::forget(self.owner),
        }
    }
}

/// Why a thread's resource cannot be had.
enum Refusal {
    InUse,
    ThreadEnds,
}

impl Refusal {
    #[track_caller]
    fn panic<R>(self) -> ! {
        let resource = type_name::<R>();
        match self {
            Self::InUse => panic!(
                "the `ThreadLocal` of `{resource}` is in use on this thread already, by a call of \
                 `with`, its factory, or the `Drop` of the resource"
            ),
            Self::ThreadEnds => {
                panic!("the `ThreadLocal` of `{resource}` cannot be used any more: its thread ends")
            }
        }
    }
}
