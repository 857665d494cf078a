//! Which jobs run beside others, and which alone.
//!
//! A worker that dies gives back all jobs that it had, and each counts that against its delivery
//! limit: the one that killed it and those that were beside it. If they were all run together again,
//! they would die together. So a job that has come back several times is suspect, and runs alone:
//! if it kills the worker, what was done before is acked.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use flowlet::prelude::*;
use futures_lite::{Stream, future};

/// How often a job must have come back to be suspect.
const SUSPECT_FROM: u64 = 2;

/// A job that can say how often it came back.
pub(super) trait CameBack {
    fn times(&self) -> u64;
}

/// Runs `f` on all jobs, up to `limit` at once, and each suspect alone. Ends at the first error.
pub(super) async fn run<J, S, F, Fut, E>(jobs: S, limit: usize, f: F) -> Result<(), E>
where
    J: CameBack,
    S: Stream<Item = Result<J, E>>,
    F: Fn(J) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let mut jobs = pin!(jobs);
    let mut suspects: Vec<J> = Vec::new();
    loop {
        let mut is_over = false;
        // Until a suspect comes.
        let trusted = futures_lite::stream::poll_fn(|cx| {
            if !suspects.is_empty() || is_over {
                return Poll::Ready(None);
            }
            match jobs.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(job))) if job.times() >= SUSPECT_FROM => {
                    suspects.push(job);
                    Poll::Ready(None)
                }
                Poll::Ready(None) => {
                    is_over = true;
                    Poll::Ready(None)
                }
                other => other,
            }
        });
        trusted.try_map_concurrent(limit, &f).try_drain().await?;
        while !suspects.is_empty() && !is_over {
            // What else is there goes first, except for suspects, so that little is left when one
            // of them kills the worker.
            let mut usual = Vec::new();
            while !is_over && usual.len() + suspects.len() < 2 * limit {
                match future::poll_once(jobs.next()).await {
                    Some(Some(Ok(job))) if job.times() >= SUSPECT_FROM => suspects.push(job),
                    Some(Some(job)) => usual.push(job?),
                    Some(None) => is_over = true,
                    None => break,
                }
            }
            if is_over {
                break;
            }
            pipe(usual).map(Ok).try_map_concurrent(limit, &f).try_drain().await?;
            f(suspects.remove(next(&suspects))).await?;
        }
        if is_over {
            // To stop is not to wait for jobs that have not begun: they go back.
            return Ok(());
        }
    }
}

/// The suspect whose turn it is: of those that came back least often, which have less to answer for,
/// the first, or the next time the last, so that one that kills is in nobody's way both times, or
/// from then on any.
fn next<J: CameBack>(suspects: &[J]) -> usize {
    let least = suspects.iter().map(CameBack::times).min().unwrap_or(0);
    let of_these: Vec<usize> =
        (0..suspects.len()).filter(|index| suspects[*index].times() == least).collect();
    match least {
        SUSPECT_FROM => of_these[0],
        times if times == SUSPECT_FROM + 1 => of_these[of_these.len() - 1],
        _ => of_these[fastrand::usize(..of_these.len())],
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use futures_lite::future::{block_on, or, pending, yield_now};
    use futures_lite::stream;

    use super::*;

    #[derive(Clone, Copy)]
    struct Job {
        id: u32,
        times: u64,
    }

    impl CameBack for Job {
        fn times(&self) -> u64 {
            self.times
        }
    }

    fn jobs(times: impl IntoIterator<Item = u64>) -> Vec<Job> {
        (0..).zip(times).map(|(id, times)| Job { id, times }).collect()
    }

    /// A queue that has these jobs, and no others for now.
    fn queue(jobs: Vec<Job>) -> impl Stream<Item = Result<Job, &'static str>> {
        stream::iter(jobs).map(Ok).chain(stream::pending())
    }

    #[test]
    fn suspects_run_alone_and_all_others_up_to_the_limit() {
        let times = [0, 1, 0, 0, 0, 2, 0, 0, 3, 5, 0, 7, 0, 0, 0, 1];
        let (now, peak) = (Cell::new(0), Cell::new(0));
        let done = RefCell::new(Vec::new());
        let work = async |job: Job| {
            now.set(now.get() + 1);
            peak.set(peak.get().max(now.get()));
            for _ in 0..3 {
                yield_now().await;
                assert!(job.times < SUSPECT_FROM || now.get() == 1, "{} is not alone", job.id);
            }
            now.set(now.get() - 1);
            done.borrow_mut().push(job.id);
            Ok::<_, &str>(())
        };
        let all_done = async {
            while done.borrow().len() < times.len() {
                yield_now().await;
            }
            Ok(())
        };
        block_on(or(run(queue(jobs(times)), 3, work), all_done)).unwrap();
        let mut ids = done.into_inner();
        ids.sort();
        assert!((0..times.len() as u32).eq(ids));
        assert_eq!(peak.get(), 3);
    }

    #[test]
    fn others_go_before_a_suspect() {
        let done = RefCell::new(Vec::new());
        let work = async |job: Job| {
            done.borrow_mut().push(job.id);
            Ok::<_, &str>(())
        };
        let all_done = async {
            while done.borrow().len() < 5 {
                yield_now().await;
            }
            Ok(())
        };
        block_on(or(run(queue(jobs([0, 2, 0, 3, 1])), 4, work), all_done)).unwrap();
        assert_eq!(done.into_inner(), [0, 2, 4, 1, 3]);
    }

    #[test]
    fn what_has_not_begun_at_the_end_does_not_begin() {
        // The first of them ends the queue, as someone who says stop does.
        let is_over = Cell::new(false);
        let mut left = jobs([2, 2, 2]).into_iter();
        let queue = stream::poll_fn(|_| match left.next() {
            Some(job) => Poll::Ready(Some(Ok::<_, &str>(job))),
            None if is_over.get() => Poll::Ready(None),
            None => Poll::Pending,
        });
        let done = RefCell::new(Vec::new());
        let work = async |job: Job| {
            is_over.set(true);
            done.borrow_mut().push(job.id);
            Ok(())
        };
        block_on(run(queue, 4, work)).unwrap();
        assert_eq!(done.into_inner(), [0]);
    }

    #[test]
    fn the_first_error_ends_it() {
        for times in [[0, 0], [2, 0], [0, 2]] {
            let work = async |job: Job| if job.id == 1 { Err("one") } else { Ok(()) };
            assert_eq!(block_on(run(queue(jobs(times)), 2, work)), Err("one"));
        }
        let broken = stream::iter([Err::<Job, _>("broken")]);
        assert_eq!(block_on(run(broken, 2, async |_| pending().await)), Err("broken"));
    }

    #[test]
    fn those_with_less_to_answer_for_are_first() {
        assert_eq!(next(&jobs([4, 2, 3, 2])), 1);
        assert_eq!(next(&jobs([4, 3, 3, 5])), 2);
        assert_eq!(next(&jobs([5, 4, 6])), 1);
    }
}
