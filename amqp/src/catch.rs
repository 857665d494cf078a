//! Panics as values.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use flowlet::panics::{discard, text};
use futures_lite::future::Boxed;

/// Runs a future to its end or to its panic, whose message it yields, unless `end` is ready before. Whatever
/// it holds is dropped by then, and a panic of that counts as well.
pub(crate) async fn catch<T, E>(
    future: Boxed<T>,
    end: impl Future<Output = E>,
) -> Result<Result<T, String>, E> {
    let mut future = Some(future);
    let mut end = pin!(end);
    let output = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let future: &mut Boxed<T> = future.as_mut().expect("it is polled until it is ready");
            Pin::new(future).poll(cx)
        }));
        match polled {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(Ok(output))),
            Ok(Poll::Pending) => end.as_mut().poll(cx).map(Err),
            Err(panic) => Poll::Ready(Ok(Err(panic))),
        }
    });
    let output = output.await;
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
    match output {
        Ok(Ok(output)) => Ok(dropped.map(|()| output).map_err(message_of)),
        Ok(Err(panic)) => {
            discard(dropped);
            Ok(Err(message_of(panic)))
        }
        Err(end) => {
            discard(dropped);
            Err(end)
        }
    }
}

/// Calls a function, and yields the message of its panic.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message_of)
}

fn message_of(panic: Box<dyn Any + Send>) -> String {
    let message = text(&*panic).unwrap_or("no text").to_owned();
    // The payload is someone else's, and may panic itself.
    discard(panic);
    message
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use futures_lite::FutureExt;
    use futures_lite::future::{block_on, pending, yield_now};

    use super::catch;

    struct PanicsInDrop(&'static str);

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("{} dropped", self.0);
        }
    }

    #[test]
    fn what_comes_of_it() {
        let run = |n: u32| {
            let future = async move {
                yield_now().await;
                match n {
                    0 => panic!("a text"),
                    1 => panic!("number {n}"),
                    2 => panic_any(n),
                    3 => panic_any(PanicsInDrop("payload")),
                    _ => n,
                }
            };
            block_on(catch(future.boxed(), pending::<()>())).unwrap()
        };
        for (n, message) in [(0, "a text"), (1, "number 1"), (2, "no text"), (3, "no text")] {
            assert_eq!(run(n), Err(message.to_owned()));
        }
        assert_eq!(run(4), Ok(4));
    }

    #[test]
    fn a_panic_in_drop_counts() {
        struct Ready(#[allow(dead_code)] PanicsInDrop);
        impl Future for Ready {
            type Output = ();
            fn poll(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<()> {
                std::task::Poll::Ready(())
            }
        }
        let caught = block_on(catch(Ready(PanicsInDrop("future")).boxed(), pending::<()>()));
        assert_eq!(caught, Ok(Err("future dropped".to_owned())));
    }

    #[test]
    fn what_takes_too_long_is_dropped() {
        let panics = PanicsInDrop("held");
        let future = async move {
            let _held = panics;
            pending::<()>().await;
        };
        assert_eq!(block_on(catch(future.boxed(), async { "over" })), Err("over"));
    }
}
