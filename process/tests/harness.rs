//! Calls in worker processes under the ordinary harness, as the crate's documentation shows it.

use flowlet::prelude::*;
use flowlet_process::{Error, Function, ProcessPool, in_process, is_worker, worker};
use futures_lite::future::block_on;

const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
const NAME: Function<(), Option<String>> =
    Function::new("name", |()| std::thread::current().name().map(str::to_owned));

fn pool() -> ProcessPool {
    ProcessPool::builder().size(2).test_worker("tests::workers").build()
}

mod tests {
    use super::*;

    #[test]
    fn workers() {
        worker(&[&DOUBLE, &NAME]);
        assert!(!is_worker(), "a worker does not come back");
    }

    #[test]
    fn calls_run_in_workers() {
        let pool = pool();
        let doubled = pipe(0..100).map_concurrent(4, in_process(&pool, DOUBLE)).map(Result::unwrap);
        assert_eq!(block_on(doubled.fold(0, |sum, n| sum + n)), 9900);
        assert_eq!(pool.alive(), 2);
    }

    #[test]
    fn other_tests_are_not_run_in_workers() {
        let pool = pool();
        let name = block_on(in_process(&pool, NAME)(())).unwrap();
        assert_eq!(name.as_deref(), Some("flowlet-calls"));
    }

    #[test]
    fn a_wrong_name_is_an_error_that_says_so() {
        let pool = ProcessPool::builder().size(1).test_worker("tests::no_such_test").build();
        let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
        assert!(matches!(error, Error::NotAWorker { .. }), "{error}");
        assert!(error.to_string().contains("`Builder::test_worker`"), "{error}");
    }
}
