//! Which jobs run beside others, and how many of those that may be deadly.
//!
//! A worker that dies gives back all jobs that it had, and each counts that against its delivery
//! limit: the one that killed it and those that were beside it. If they were all run together again,
//! they would die together. So a job that came back often is a suspect. Suspects run beside all other
//! jobs, but only some at once: half as many as jobs may, and with each further time that one came back
//! half of that, down to one. They start in any order, those that came back least often first, so that
//! about half of the innocent are done before the deadly one starts, each time.
//!
//! Nobody waits for a suspect for ever. Its turn, in which others wait for it, ends with the job or
//! after a second, and with each further time that it came back after four times that.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_io::Timer;
use flowlet::prelude::*;
use futures_lite::{Stream, future, stream};

/// The longest turn of a suspect.
const LONGEST_TURN: Duration = Duration::from_secs(600);

/// A job that can say how often it came back for reasons that may be its own.
pub(super) trait CameBack {
    fn times(&self) -> u64;
}

/// How jobs take turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How many run at once.
    pub(super) limit: usize,
    /// How often a suspect came back; `None` if there are none.
    pub(super) isolate_after: Option<u64>,
    /// The turn of one that came back just as often.
    pub(super) turn: Duration,
}

impl Rules {
    pub(super) fn new(limit: usize, isolate_after: Option<u64>) -> Self {
        Self { limit, isolate_after, turn: Duration::from_secs(1) }
    }

    /// How much more often it came back than is usual; `None` if it is no suspect.
    fn level(&self, job: &impl CameBack) -> Option<u32> {
        let above = job.times().checked_sub(self.isolate_after?)?;
        Some(above.try_into().unwrap_or(u32::MAX))
    }

    /// How many suspects may be in their turn beside one of this level, itself included.
    fn bound(&self, level: u32) -> usize {
        self.limit.checked_shr(level.saturating_add(1)).unwrap_or(0).max(1)
    }

    fn turn(&self, level: u32) -> Duration {
        let times = 4_u32.saturating_pow(level);
        self.turn.saturating_mul(times).min(LONGEST_TURN)
    }
}

/// Runs `f` on all jobs, up to the limit at once, until the first error or the end of the jobs; then
/// those that have not begun are given back.
pub(super) async fn run<J, S, F, Fut, G, Back, E>(
    jobs: S,
    rules: Rules,
    f: F,
    give_back: G,
) -> Result<(), E>
where
    J: CameBack,
    S: Stream<Item = Result<J, E>>,
    F: Fn(J) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    G: Fn(J) -> Back,
    Back: Future<Output = ()>,
{
    let turns = Mutex::new(Turns::default());
    let (back, to_give_back) = async_channel::unbounded();
    let mut jobs = pin!(jobs);
    let mut waiting =
        Waiting { rules, turns: &turns, suspects: Vec::new(), passed: 0, timer: None };
    let next = stream::poll_fn(move |cx| {
        let next = waiting.poll_next(jobs.as_mut(), cx);
        if let Poll::Ready(None) = next {
            for suspect in waiting.suspects.drain(..) {
                // There is room, and who takes it is there until this is closed.
                drop(back.try_send(suspect));
            }
            back.close();
        }
        next
    });
    let run = next.try_map_concurrent(rules.limit, async |(job, turn)| {
        let _turn: Option<Turn<'_>> = turn;
        f(job).await
    });
    // All at once, as each may have to wait for the broker.
    let give_back = async {
        to_give_back.map_concurrent(usize::MAX, give_back).drain().await;
        Ok(())
    };
    future::try_zip(run.try_drain(), give_back).await.map(drop)
}

/// Suspects whose turn has not come.
struct Waiting<'a, J> {
    rules: Rules,
    turns: &'a Mutex<Turns>,
    suspects: Vec<J>,
    /// How many others have started since a suspect last did.
    passed: usize,
    /// When the next turn is over.
    timer: Option<Timer>,
}

/// The suspects in their turn, and who waits for the end of one.
#[derive(Default)]
struct Turns {
    now: Vec<InTurn>,
    waker: Option<Waker>,
}

/// A suspect in its turn.
struct InTurn {
    /// When it began, which tells it from others.
    began: Instant,
    ends: Instant,
    bound: usize,
}

impl<'a, J: CameBack> Waiting<'a, J> {
    #[expect(clippy::type_complexity, reason = "it is said once")]
    fn poll_next<E>(
        &mut self,
        mut jobs: Pin<&mut impl Stream<Item = Result<J, E>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(J, Option<Turn<'a>>), E>>> {
        loop {
            // They give way to others, but not for ever.
            if self.passed >= self.rules.limit {
                if let Some(job) = self.suspect() {
                    return Poll::Ready(Some(Ok(job)));
                }
            }
            match jobs.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(job))) if self.rules.level(&job).is_some() => {
                    self.suspects.push(job);
                }
                Poll::Ready(Some(job)) => {
                    self.passed += usize::from(!self.suspects.is_empty());
                    return Poll::Ready(Some(job.map(|job| (job, None))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    if let Some(job) = self.suspect() {
                        return Poll::Ready(Some(Ok(job)));
                    }
                    if self.suspects.is_empty() {
                        return Poll::Pending;
                    }
                    let mut turns = locked(self.turns);
                    turns.waker = Some(cx.waker().clone());
                    let ends = turns.now.iter().map(|turn| turn.ends).min();
                    drop(turns);
                    // The last ended just now.
                    let Some(ends) = ends else { continue };
                    let timer = self.timer.get_or_insert_with(|| Timer::at(ends));
                    timer.set_at(ends);
                    if Pin::new(timer).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// The suspect that may start now, if one may: of those that came back least often, which have
    /// less to answer for, any.
    fn suspect(&mut self) -> Option<(J, Option<Turn<'a>>)> {
        let least = self.suspects.iter().map(CameBack::times).min()?;
        let of_these: Vec<usize> = (0..self.suspects.len())
            .filter(|index| self.suspects[*index].times() == least)
            .collect();
        let index = of_these[fastrand::usize(..of_these.len())];
        let level = self.rules.level(&self.suspects[index])?;
        let began = Instant::now();
        let turns = &mut locked(self.turns).now;
        turns.retain(|turn| turn.ends > began);
        let bound = self.rules.bound(level);
        let least_bound = turns.iter().map(|turn| turn.bound).fold(bound, usize::min);
        if turns.len() >= least_bound {
            return None;
        }
        // Two may begin at once, as far as the clock can tell.
        let last = turns.iter().map(|turn| turn.began).max();
        let began = last.map_or(began, |last| began.max(last + Duration::from_nanos(1)));
        turns.push(InTurn { began, ends: began + self.rules.turn(level), bound });
        self.passed = 0;
        Some((self.suspects.swap_remove(index), Some(Turn { turns: self.turns, began })))
    }
}

/// A suspect's turn, which ends when it is dropped, if not before.
struct Turn<'a> {
    turns: &'a Mutex<Turns>,
    began: Instant,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut turns = locked(self.turns);
        turns.now.retain(|turn| turn.began != self.began);
        let waker = turns.waker.take();
        drop(turns);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn locked(turns: &Mutex<Turns>) -> MutexGuard<'_, Turns> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;

    use futures_lite::future::{block_on, or, pending, yield_now};

    use super::*;

    #[derive(Clone, Copy)]
    struct Job {
        id: usize,
        times: u64,
    }

    impl CameBack for Job {
        fn times(&self) -> u64 {
            self.times
        }
    }

    fn jobs(times: impl IntoIterator<Item = u64>) -> Vec<Job> {
        times.into_iter().enumerate().map(|(id, times)| Job { id, times }).collect()
    }

    /// A queue that has these jobs, and no others for now.
    fn queue(jobs: Vec<Job>) -> impl Stream<Item = Result<Job, &'static str>> {
        stream::iter(jobs).map(Ok).chain(stream::pending())
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn rules(limit: usize, turn: Duration) -> Rules {
        Rules { limit, isolate_after: Some(2), turn }
    }

    /// Runs until so many jobs are done.
    fn run_until<F: AsyncFn(Job)>(count: usize, times: &[u64], rules: Rules, work: F) {
        let done = Cell::new(0);
        let work = async |job| {
            work(job).await;
            done.set(done.get() + 1);
            Ok(())
        };
        let all_done = async {
            while done.get() < count {
                yield_now().await;
            }
            Ok(())
        };
        let jobs = queue(jobs(times.iter().copied()));
        block_on(or(run(jobs, rules, work, async |_| ()), all_done)).unwrap();
    }

    #[test]
    fn suspects_run_beside_others_but_only_some_at_once() {
        let times = [0, 1, 2, 0, 0, 2, 2, 2, 2, 0, 3, 5, 0, 3, 0, 0, 1, 99];
        let now = RefCell::new(Vec::<Job>::new());
        let (peak, beside) = (Cell::new(0), Cell::new(0));
        run_until(times.len(), &times, rules(8, HOUR), async |job| {
            now.borrow_mut().push(job);
            for _ in 0..3 {
                yield_now().await;
                let now = now.borrow();
                peak.set(peak.get().max(now.len()));
                let suspects: Vec<u64> =
                    now.iter().map(|job| job.times).filter(|times| *times >= 2).collect();
                if let Some(times) = suspects.iter().max() {
                    beside.set(beside.get().max(now.len() - suspects.len()));
                    let bound = [4, 2].get(*times as usize - 2).copied().unwrap_or(1);
                    assert!(suspects.len() <= bound, "{suspects:?}");
                }
            }
            now.borrow_mut().retain(|other| other.id != job.id);
        });
        assert_eq!(peak.get(), 8);
        assert!(beside.get() > 0);
    }

    #[test]
    fn one_that_never_ends_holds_up_nobody() {
        let times = [2, 2, 2, 5, 0, 0, 0, 9, 0, 0];
        let turn = Duration::from_millis(1);
        run_until(times.len() - 1, &times, rules(4, turn), async |job| {
            if job.id == 0 {
                pending::<()>().await;
            }
        });
        // Nor do others wait, however long its turn is.
        let times = [9, 0, 0, 0, 1, 0];
        run_until(times.len() - 1, &times, rules(2, HOUR), async |job| {
            if job.times == 9 {
                pending::<()>().await;
            }
        });
    }

    #[test]
    fn those_with_less_to_answer_for_are_first() {
        let done = RefCell::new(Vec::new());
        run_until(7, &[4, 3, 0, 2, 9, 0, 5], rules(2, HOUR), async |job| {
            done.borrow_mut().push(job.times);
        });
        assert_eq!(done.into_inner(), [0, 0, 2, 3, 4, 5, 9]);
    }

    #[test]
    fn suspects_come_to_their_turn_beside_others_without_end() {
        let is_done = Cell::new(false);
        let others = stream::repeat_with(|| Ok::<_, &str>(Job { id: 1, times: 0 }));
        let jobs = stream::iter(jobs([7])).map(Ok).chain(others);
        let work = async |job: Job| {
            yield_now().await;
            is_done.set(is_done.get() || job.times == 7);
            if is_done.get() { Err("done") } else { Ok(()) }
        };
        assert_eq!(block_on(run(jobs, rules(4, HOUR), work, async |_| ())), Err("done"));
    }

    #[test]
    fn there_are_no_suspects_if_none_is_wanted() {
        let running = Cell::new(0);
        let rules = Rules { limit: 4, isolate_after: None, turn: HOUR };
        run_until(4, &[9, 9, 9, 9], rules, async |_| {
            running.set(running.get() + 1);
            while running.get() < 4 {
                yield_now().await;
            }
        });
    }

    #[test]
    fn what_has_not_begun_at_the_end_is_given_back_at_once() {
        // The first of them ends the queue, as someone who says stop does, and waits for the others.
        let is_over = Cell::new(false);
        let mut left = jobs([9, 9, 9]).into_iter();
        let queue = stream::poll_fn(|cx| match left.next() {
            Some(job) => Poll::Ready(Some(Ok::<_, &str>(job))),
            None if is_over.get() => Poll::Ready(None),
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        });
        let (done, back) = (RefCell::new(Vec::new()), RefCell::new(BTreeSet::new()));
        let work = async |job: Job| {
            is_over.set(true);
            while back.borrow().len() < 2 {
                yield_now().await;
            }
            done.borrow_mut().push(job.id);
            Ok(())
        };
        let give_back = async |job: Job| _ = back.borrow_mut().insert(job.id);
        block_on(run(queue, rules(4, HOUR), work, give_back)).unwrap();
        let done = done.into_inner();
        assert_eq!(done.len(), 1);
        assert!(!back.borrow().contains(&done[0]));
    }

    #[test]
    fn the_first_error_ends_it() {
        for times in [[0, 0], [2, 0], [0, 2]] {
            let work = async |job: Job| if job.id == 1 { Err("one") } else { Ok(()) };
            let ended = block_on(run(queue(jobs(times)), rules(2, HOUR), work, async |_| ()));
            assert_eq!(ended, Err("one"));
        }
        let broken = stream::iter([Err::<Job, _>("broken")]);
        let work = async |_| pending().await;
        assert_eq!(block_on(run(broken, rules(2, HOUR), work, async |_| ())), Err("broken"));
    }
}
