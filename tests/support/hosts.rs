//! Executors to spawn on.

use std::future::{self, Future};
use std::sync::Once;
use std::thread;

use futures_lite::future::Boxed;

/// An executor with threads of its own, or the one of the test's thread.
pub(crate) trait Host: 'static {
    /// Has a task run, from wherever.
    fn spawn(task: Boxed<()>);

    /// Runs the test itself.
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        futures_lite::future::block_on(future)
    }
}

pub(crate) struct Smol;

impl Host for Smol {
    fn spawn(task: Boxed<()>) {
        smol::spawn(task).detach();
    }
}

pub(crate) struct AsyncStd;

impl Host for AsyncStd {
    fn spawn(task: Boxed<()>) {
        async_std::task::spawn(task);
    }
}

pub(crate) struct TokioCurrentThread;

impl Host for TokioCurrentThread {
    fn spawn(task: Boxed<()>) {
        tokio::spawn(task);
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }
}

pub(crate) struct TokioMultiThread;

impl Host for TokioMultiThread {
    fn spawn(task: Boxed<()>) {
        tokio::spawn(task);
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).build().unwrap().block_on(future)
    }
}

/// A bare executor on two threads.
pub(crate) struct TwoThreads;

static EXECUTOR: async_executor::Executor<'static> = async_executor::Executor::new();

impl Host for TwoThreads {
    fn spawn(task: Boxed<()>) {
        static BEGIN: Once = Once::new();
        BEGIN.call_once(|| {
            for _ in 0..2 {
                thread::spawn(|| {
                    futures_lite::future::block_on(EXECUTOR.run(future::pending::<()>()));
                });
            }
        });
        EXECUTOR.spawn(task).detach();
    }
}

/// Makes tests of functions that are generic over the host.
macro_rules! on_every_host {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn on_smol() {
                super::$name::<$crate::support::hosts::Smol>();
            }

            #[test]
            fn on_async_std() {
                super::$name::<$crate::support::hosts::AsyncStd>();
            }

            #[test]
            fn on_tokio_current_thread() {
                super::$name::<$crate::support::hosts::TokioCurrentThread>();
            }

            #[test]
            fn on_tokio_multi_thread() {
                super::$name::<$crate::support::hosts::TokioMultiThread>();
            }

            #[test]
            fn on_two_threads() {
                super::$name::<$crate::support::hosts::TwoThreads>();
            }
        }
    )+};
}

pub(crate) use on_every_host;
