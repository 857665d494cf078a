use std::any::Any;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::AnyFunction;
use super::format::{Limits, take};
use super::frame::{self, Frame, HELLO, Header, Kind, Received};
use super::function::Signature;
use super::life::{self, ARGUMENT};
use super::span::{CallSpan, Subscriber};

/// Exit code of a process that has the argument but no pool.
const NO_POOL: i32 = 2;

/// Where the system sets no limit.
const DEFAULT_STACK: usize = 8 * 1024 * 1024;

/// What this process can be asked for when it is a worker.
static REGISTERED: OnceLock<Vec<Signature<'static>>> = OnceLock::new();

/// Turns this process into a worker if a [`ProcessPool`](crate::ProcessPool) started it; otherwise does
/// nothing.
///
/// Call it first in `main`, with all functions that are called [`in_process`](crate::in_process). What
/// comes before it also happens in each worker, and a worker never gets past it. It runs one call after
/// the other, and exits with the pool.
///
/// # What a function finds there
///
/// - **Standard input** is empty. Standard output is that of the program that owns the pool, unless
///   [`Builder::command`](crate::Builder::command) says otherwise, and is flushed after each call.
///   Standard error is passed on to that of the program, or to [another
///   place](crate::Builder::stderr), and the end of it kept for [errors](crate::Error::Died).
/// - **Arguments** are not those of the program; there is one that marks the worker. Environment and
///   working directory are the program's. The environment has one more variable, `FLOWLET_PROCESS_OWNER`.
/// - **Nothing else is shared** with the program, nor with other workers. Statics live as long as
///   the worker, which goes from call to call. Whatever `main` sets up after `worker`, such as
///   logging, is not there: set it up before, if the workers are to have it, in
///   [workers only](crate::is_worker) if the program is not.
/// - **It runs on a thread of its own**, with as much stack as the main thread, and outside of any
///   runtime. What `main` set for its own thread alone is not there.
/// - **`SIGINT` and `SIGTERM`** are ignored, unless [`Builder::ignore_signals`](crate::Builder::ignore_signals)
///   says otherwise.
/// - **It can be killed at any time**, also in the middle of a call, with no destructors run: when
///   the call or the pool is dropped, or the program dies.
/// - **It may have a pool of its own.** That pool's workers are workers of the same kind.
///
/// # Spans
///
/// With the feature `tracing`, each call in a worker runs in a span `in_process`. It has the fields
/// `function`, with the name, and `caller`, with the id of the span in which the call was made. That is all
/// that comes along: neither that span's name and fields, nor who its parents are. And a worker has
/// no subscriber but the one that is set before `worker`, global or scoped: one that is set later, or that a
/// test sets for its thread, does not see what happens in a worker.
///
/// # Panics
///
/// Panics if two functions have the same name, or if it is called a second time. So it does in the
/// program itself, before there is any worker.
///
/// # Examples
///
/// ```
/// use flowlet_process::Function;
///
/// const DOUBLE: Function<u64, u64> = Function::new("double", |n| 2 * n);
///
/// fn main() {
///     flowlet_process::worker(&[&DOUBLE]);
///     // The program begins here.
/// }
/// ```
#[track_caller]
pub fn worker(functions: &[&dyn AnyFunction]) {
    let signatures: Vec<_> = functions.iter().map(|function| function.signature()).collect();
    for (index, signature) in signatures.iter().enumerate() {
        if let Some(other) = signatures[..index].iter().find(|other| other.name == signature.name) {
            panic!("two functions have the same name: `{other}` and `{signature}`");
        }
    }
    assert!(
        REGISTERED.set(signatures).is_ok(),
        "`flowlet_process::worker` is called a second time: give it all functions at once",
    );
    if life::is_worker() {
        process::exit(serve(functions));
    }
}

/// Says what keeps this process from having its functions called by workers, which run the same
/// program unless they are `foreign`.
pub(super) fn check(signature: Signature<'static>, foreign: bool) -> Result<(), String> {
    match REGISTERED.get() {
        // Each worker would start workers of its own, and so on.
        None if life::is_worker() => Err("this process was started as a worker, but did not \
             call `flowlet_process::worker`: call it first in `main`"
            .to_owned()),
        _ if foreign => Ok(()),
        None => Err(format!(
            "`flowlet_process::worker` was not called: call it first in `main`, with `{}`, or if this is \
             a test, use `Builder::test_worker`",
            signature.name,
        )),
        Some(known) => signature.find(known.iter().copied()).map(drop),
    }
}

/// Answers calls until the pool lets go. Returns the exit code.
fn serve(functions: &[&dyn AnyFunction]) -> i32 {
    let mut pool = match take_over_stdin() {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("`{ARGUMENT}` is for the workers of a process pool: {error}");
            return NO_POOL;
        }
    };
    life::bind_to_owner();
    let (busy, subscriber) = (AtomicBool::new(false), Subscriber::current());
    let (sender, calls) = mpsc::channel();
    thread::scope(|scope| {
        // Not here, where the program may have entered a runtime, which would forbid to enter another.
        let thread = thread::Builder::new().name("flowlet-calls".to_owned()).stack_size(stack());
        let answering = pool.try_clone().and_then(|pool| {
            let answer_all = || answer_all(functions, pool, calls, &busy);
            thread.spawn_scoped(scope, || subscriber.run(answer_all))
        });
        let answering = match answering {
            Ok(answering) => answering,
            Err(error) => {
                let why = format!("the worker could not start a thread: {error}");
                let _ =
                    pool.write_all(&Frame::with_body(Kind::Refusal, why.as_bytes()).into_bytes(0));
                return 1;
            }
        };
        // If this fails, the pool has gone, and that is what is read.
        let _ = pool.write_all(&Frame::with_body(Kind::Hello, HELLO).into_bytes(0));
        listen(pool, sender, &busy);
        if matches!(answering.join(), Ok(Ok(()))) { 0 } else { 1 }
    })
}

/// Takes the socket that the pool passed as standard input, and leaves an empty input there, so that
/// neither the functions nor the processes they start can come between.
fn take_over_stdin() -> io::Result<UnixStream> {
    let pool = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Only a socket has this.
    pool.peer_addr()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(pool)
}

/// Returns how much stack the system gives the main thread: so much has the one that runs the calls.
fn stack() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Stack).current;
    limit.and_then(|bytes| bytes.try_into().ok()).unwrap_or(DEFAULT_STACK)
}

/// Passes calls on, until the pool is gone. In the middle of a call that is the end of the process: the
/// call's output is for no one.
fn listen(mut pool: UnixStream, calls: Sender<Result<Received, Header>>, busy: &AtomicBool) {
    while let Ok(call) = frame::read(&mut pool) {
        if call.as_ref().is_ok_and(|call| call.kind != Kind::Call) {
            break;
        }
        busy.store(true, Ordering::SeqCst);
        if calls.send(call).is_err() {
            return;
        }
    }
    if busy.load(Ordering::SeqCst) {
        life::die();
    }
}

fn answer_all(
    functions: &[&dyn AnyFunction],
    mut pool: UnixStream,
    calls: Receiver<Result<Received, Header>>,
    busy: &AtomicBool,
) -> io::Result<()> {
    for call in calls {
        let (number, frame) = match call {
            Ok(Received { number, body, .. }) => {
                let answered = catch_unwind(AssertUnwindSafe(|| answer(functions, &body)));
                let frame = answered.unwrap_or_else(|payload| {
                    Frame::with_body(Kind::Panicked, message(&*payload).as_bytes())
                });
                (number, frame)
            }
            Err(Header { number, length, .. }) => {
                let why = format!("the worker has no memory for its {length} bytes");
                (number, Frame::with_body(Kind::Argument, why.as_bytes()))
            }
        };
        // What was printed must not be lost when the worker is killed.
        let _ = io::stdout().flush();
        // Before the answer is out: after that the pool may let go.
        busy.store(false, Ordering::SeqCst);
        pool.write_all(&frame.into_bytes(number))?;
    }
    Ok(())
}

fn answer(functions: &[&dyn AnyFunction], mut call: &[u8]) -> Frame {
    let known = functions.iter().map(|function| function.signature());
    let taken = Signature::take_from(&mut call)
        .and_then(|signature| Ok((signature, take::<(Option<u64>, usize, usize)>(&mut call)?)));
    let (signature, (caller, depth, bytes)) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            return Frame::with_body(Kind::Unknown, format!("no signature: {error}").as_bytes());
        }
    };
    match signature.find(known) {
        Ok(index) => {
            let answer = || functions[index].answer(call, Limits { depth, bytes });
            CallSpan::in_worker(signature.name, caller).run(answer)
        }
        Err(why) => Frame::with_body(Kind::Unknown, why.as_bytes()),
    }
}

/// Returns what a panic said.
pub(super) fn message(payload: &(dyn Any + Send)) -> &str {
    match payload.downcast_ref::<String>() {
        Some(message) => message,
        None => payload.downcast_ref::<&str>().unwrap_or(&"with a payload that is no text"),
    }
}
