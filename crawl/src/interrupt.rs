//! Handles Ctrl-C: the first stops the crawl gracefully, the second stops it at once.

use std::io;

use async_signal::{Signal, Signals};
use event_listener::{Event, EventListener};
use futures_lite::{StreamExt, future};

/// Does `work`, which takes a future that is ready when Ctrl-C is pressed.
///
/// If it is pressed again, the work is dropped, and there is no result.
pub(crate) async fn interruptible<T>(
    work: impl AsyncFnOnce(EventListener) -> T,
) -> io::Result<Option<T>> {
    let mut signals = Signals::new([Signal::Int])?;
    let pressed = Event::new();
    let stop = pressed.listen(); // from here on, so that none is missed

    let listen = async {
        signals.try_next().await?;
        eprintln!("\nWaiting for the pages in flight. Ctrl-C again quits at once.");
        pressed.notify(usize::MAX);
        signals.try_next().await?;
        Ok(None)
    };
    future::or(async { Ok(Some(work(stop).await)) }, listen).await
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::{self, Command};
    use std::time::Duration;

    use async_io::Timer;

    use super::*;

    fn press_ctrl_c() {
        let kill = Command::new("kill").args(["-INT", &process::id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// One test, because a signal goes to the whole process.
    #[test]
    fn the_first_asks_and_the_second_drops() {
        let undisturbed = smol::block_on(interruptible(async |_stop| 1));
        assert_eq!(undisturbed.unwrap(), Some(1));

        let asked = smol::block_on(interruptible(async |stop| {
            press_ctrl_c();
            stop.await;
            2
        }));
        assert_eq!(asked.unwrap(), Some(2));

        let dropped = smol::block_on(interruptible(async |stop| {
            press_ctrl_c();
            stop.await;
            press_ctrl_c();
            Timer::after(Duration::from_secs(60)).await; // is dropped before that
        }));
        assert_eq!(dropped.unwrap(), None);
    }
}
