//! What does not go over, what is not registered, and what is no worker.

use std::env;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{self as system, Child, ExitStatus, Stdio};
use std::time::Duration;

use flowlet_process::{Command, Error, Function, ProcessPool, in_process};
use futures_lite::future::block_on;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[path = "support/panicked.rs"]
mod panicked;
#[path = "support/program.rs"]
mod program;
#[path = "support/role.rs"]
mod role;

use panicked::message_of;

const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
const ECHO: Function<String, String> = Function::new("echo", |text| text);
const FLAT: Function<Flat, ()> = Function::new("flat", |_| ());
const UNTAGGED: Function<Untagged, ()> = Function::new("untagged", |_| ());
const SKIPS: Function<Skips, u32> = Function::new("skips", |skips| skips.last);
const GIVE_FLAT: Function<(), Flat> = Function::new("give flat", |()| Flat::default());
const GIVE_UNTAGGED: Function<(), Untagged> =
    Function::new("give untagged", |()| Untagged::Text("text".to_owned()));
const TAKE_ROGUE: Function<Rogue, Rogue> = Function::new("take rogue", |rogue| rogue);

fn main() {
    // Those that must not become workers.
    let role = role::role();
    match role.as_deref() {
        Some("forgetful") => return forgetful(),
        Some("forgetful worker") => return forgetful_worker(),
        Some("fake") => return fake(),
        _ => {}
    }
    flowlet_process::worker(&[
        &DOUBLE,
        &ECHO,
        &FLAT,
        &UNTAGGED,
        &SKIPS,
        &GIVE_FLAT,
        &GIVE_UNTAGGED,
        &TAKE_ROGUE,
    ]);
    program::run(tests![
        it_takes_all_functions_at_once,
        functions_must_be_registered,
        a_program_must_call_worker,
        what_does_not_encode_is_an_error,
        what_panics_on_the_way,
        a_program_that_cannot_be_started,
        a_program_that_ends_is_no_worker,
        a_program_that_does_not_become_a_worker_is_ended,
        a_worker_that_forgot_to_be_one_starts_no_others,
        a_worker_of_another_version_is_refused,
        greetings_that_are_none,
        workers_that_end_as_soon_as_they_are_there,
        answers_that_are_none,
        answers_that_break_off,
        answers_that_are_too_long,
        answers_that_are_too_deep,
        answers_that_come_too_early,
        answers_to_another_call,
        answers_that_do_not_decode,
        a_worker_that_closes_its_socket_is_ended,
        a_message_that_is_no_text,
        a_worker_answers_whatever_it_is_asked,
        a_worker_ends_with_a_pool_that_breaks_off,
        a_worker_without_a_pool_says_so,
    ]);
}

const OTHER_DOUBLE: Function<i64, i64> = Function::new("double", |n| 2 * n);
const UNKNOWN: Function<u32, u32> = Function::new("unknown", |n| n);

fn pool() -> ProcessPool {
    ProcessPool::builder().size(1).build()
}

fn it_takes_all_functions_at_once() {
    let again = || flowlet_process::worker(&[&UNKNOWN]);
    assert!(message_of(again).contains("called a second time"));
    let said = message_of(|| flowlet_process::worker(&[&DOUBLE, &ECHO, &OTHER_DOUBLE]));
    assert!(said.starts_with("two functions have the same name: `double: fn(u32) -> u32`"));
}

fn functions_must_be_registered() {
    let pool = pool();
    let said = message_of(|| drop(in_process(&pool, UNKNOWN)));
    assert!(said.starts_with("the function `unknown` was not given"), "{said}");
    assert!(said.contains("`double`, `echo`, "), "{said}");

    let said = message_of(|| drop(in_process(&pool, OTHER_DOUBLE)));
    assert!(said.contains("double: fn(i64) -> i64"), "{said}");
    assert!(said.contains("double: fn(u32) -> u32"), "{said}");

    // What another program knows is not known before it is asked.
    let this = || Command::new(env::current_exe().unwrap());
    let pool = ProcessPool::builder().size(1).command(this).build();
    let error = block_on(in_process(&pool, UNKNOWN)(1)).unwrap_err();
    assert!(matches!(&error, Error::NotRegistered(said) if said.contains("`unknown`")), "{error}");
    let error = block_on(in_process(&pool, OTHER_DOUBLE)(1)).unwrap_err();
    assert!(matches!(&error, Error::NotRegistered(said) if said.contains("i64")), "{error}");
    assert_eq!(block_on(in_process(&pool, DOUBLE)(1)).unwrap(), 2);
}

/// A program that does not call `worker`.
fn forgetful() {
    let pool = pool();
    drop(in_process(&pool, DOUBLE));
}

fn a_program_must_call_worker() {
    let output = role::act("forgetful", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`flowlet_process::worker` was not called"), "{said}");
    assert!(said.contains("with `double`"), "{said}");
}

#[derive(Default, Debug, Serialize, Deserialize)]
struct Flat {
    #[serde(flatten)]
    inner: Skips,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u32),
    Text(String),
}

#[derive(Default, Debug, Serialize, Deserialize)]
struct Skips {
    first: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    middle: Option<u32>,
    last: u32,
}

fn what_does_not_encode_is_an_error() {
    let pool = pool();
    let error = block_on(in_process(&pool, FLAT)(Flat::default())).unwrap_err();
    assert!(matches!(&error, Error::Argument(why) if why.contains("flatten")), "{error}");
    // It never came to a worker.
    assert_eq!(pool.alive(), 0);

    // It encodes, but in the worker it does not decode.
    let error = block_on(in_process(&pool, UNTAGGED)(Untagged::Number(1))).unwrap_err();
    assert!(matches!(&error, Error::Argument(why) if why.contains("untagged")), "{error}");
    let error = block_on(in_process(&pool, SKIPS)(Skips { last: 7, ..Skips::default() }));
    assert!(matches!(&error, Err(Error::Argument(_))), "{error:?}");
    let all = Skips { first: 1, middle: Some(2), last: 3 };
    assert_eq!(block_on(in_process(&pool, SKIPS)(all)).unwrap(), 3);

    let error = block_on(in_process(&pool, GIVE_FLAT)(())).unwrap_err();
    assert!(matches!(&error, Error::Output(why) if why.contains("flatten")), "{error}");
    let error = block_on(in_process(&pool, GIVE_UNTAGGED)(())).unwrap_err();
    assert!(matches!(&error, Error::Output(why) if why.contains("untagged")), "{error}");
}

/// Panics when it is encoded or decoded, where it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rogue {
    Never,
    WhenEncoded,
    WhenDecodedByWorker,
    WhenDecodedByPool,
    WhenEncodedByWorker,
}

impl Rogue {
    const ALL: [Self; 5] = [
        Self::Never,
        Self::WhenEncoded,
        Self::WhenDecodedByWorker,
        Self::WhenDecodedByPool,
        Self::WhenEncodedByWorker,
    ];
}

fn is_worker() -> bool {
    env::args().any(|argument| argument == MARK)
}

impl Serialize for Rogue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fatal = if is_worker() { Self::WhenEncodedByWorker } else { Self::WhenEncoded };
        assert!(*self != fatal, "rogue");
        (*self as u8).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rogue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rogue = Self::ALL[usize::from(u8::deserialize(deserializer)?)];
        let fatal = if is_worker() { Self::WhenDecodedByWorker } else { Self::WhenDecodedByPool };
        assert!(rogue != fatal, "rogue");
        Ok(rogue)
    }
}

fn what_panics_on_the_way() {
    let pool = pool();
    let call = in_process(&pool, TAKE_ROGUE);
    for rogue in Rogue::ALL {
        let ended = catch_unwind(AssertUnwindSafe(|| block_on(call(rogue))));
        match rogue {
            Rogue::Never => assert_eq!(ended.unwrap().unwrap(), rogue),
            Rogue::WhenDecodedByWorker | Rogue::WhenEncodedByWorker => {
                assert!(matches!(ended, Ok(Err(Error::Panicked(said))) if said == "rogue"));
            }
            Rogue::WhenEncoded | Rogue::WhenDecodedByPool => assert!(ended.is_err()),
        }
        assert_eq!(block_on(call(Rogue::Never)).unwrap(), Rogue::Never);
        assert_eq!(pool.alive(), 1);
    }
}

fn a_program_that_cannot_be_started() {
    let missing = || Command::new("/nowhere/to/be/found");
    let pool = ProcessPool::builder().size(2).command(missing).build();
    for _ in 0..3 {
        let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
        let Error::Start(why) = &error else { panic!("{error}") };
        assert_eq!(why.kind(), std::io::ErrorKind::NotFound);
    }
    assert_eq!(pool.alive(), 0);

    let pool = ProcessPool::builder().size(1).command(|| panic!("no command")).build();
    let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
    let Error::Start(why) = &error else { panic!("{error}") };
    assert!(why.to_string().ends_with("panicked: no command"));
}

fn a_program_that_ends_is_no_worker() {
    let shell = || {
        let mut command = Command::new("sh");
        command.arg("-c").arg("echo I am a shell >&2; exit 7");
        command
    };
    let pool = ProcessPool::builder().size(1).command(shell).build();
    let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
    let Error::NotAWorker { status, stderr, .. } = &error else { panic!("{error}") };
    assert_eq!(status.unwrap().code(), Some(7));
    assert_eq!(stderr, "I am a shell\n");
    assert!(error.to_string().contains("`flowlet_process::worker`"), "{error}");
}

fn a_program_that_does_not_become_a_worker_is_ended() {
    let sleep = || {
        let mut command = Command::new("sh");
        command.arg("-c").arg("exec sleep 1000");
        command
    };
    let limit = Duration::from_millis(1);
    let pool = ProcessPool::builder().size(1).command(sleep).start_limit(limit).build();
    for _ in 0..3 {
        let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
        assert!(matches!(error, Error::NotAWorker { status: None, .. }), "{error}");
        assert!(error.to_string().contains("was given 1ms"), "{error}");
    }
}

/// A program that would have workers run itself, which did not call `worker`, and so on.
fn forgetful_worker() {
    let this = || Command::new(env::current_exe().unwrap());
    let pool = ProcessPool::builder().command(this).build();
    let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
    println!("{error}");
}

fn a_worker_that_forgot_to_be_one_starts_no_others() {
    let output = role::act("forgetful worker", &[]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("(exit status: 101)"), "{said}");
    assert!(said.contains("was started as a worker, but did not call"), "{said}");
    // It is said once, and passed on: there was one such process.
    let passed_on = String::from_utf8(output.stderr).unwrap();
    assert_eq!(passed_on.matches("did not call").count(), 1, "{passed_on}");
}

/// The argument that marks a worker.
const MARK: &str = "--flowlet-process-worker";

const HELLO: &[u8] = b"flowlet worker, protocol 2";

/// A frame that belongs to the first call.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    frame_of(0, kind, body)
}

fn frame_of(call: u64, kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &call.to_le_bytes()[..], &(body.len() as u64).to_le_bytes(), body].concat()
}

fn read_frame(mut stream: impl Read) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 17];
    stream.read_exact(&mut header).ok()?;
    let mut body = vec![0; u64::from_le_bytes(header[9..].try_into().unwrap()) as usize];
    stream.read_exact(&mut body).ok()?;
    Some((header[0], body))
}

/// A process that does to its pool what it is told: write bytes, `r`ead a frame, and so on.
fn fake() {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut stream = UnixStream::from(stdin);
    let script = env::var("SCRIPT").unwrap();
    for line in script.lines() {
        match line.split_at(1) {
            ("w", bytes) => {
                let bytes = bytes.as_bytes().chunks(2).map(|digits| {
                    u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
                });
                // The pool may have had enough.
                let _ = stream.write_all(&bytes.collect::<Vec<_>>());
            }
            ("m", megabytes) => {
                let bytes = vec![0; megabytes.parse::<usize>().unwrap() * 1_000_000];
                let _ = stream.write_all(&frame(3, &bytes));
            }
            ("f", path) => stream.write_all(&std::fs::read(path).unwrap()).unwrap(),
            ("r", _) => drop(read_frame(&stream)),
            ("s", _) => stream.shutdown(std::net::Shutdown::Both).unwrap(),
            ("x", code) => system::exit(code.parse().unwrap()),
            _ => panic!("no such step: {line}"),
        }
    }
    loop {
        std::thread::park();
    }
}

fn write(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("w{digits}\n")
}

/// Makes a pool of workers that greet, and then follow the script.
fn pool_of_fakes(script: &str) -> ProcessPool {
    pool_of_strangers(&(write(&frame(1, HELLO)) + script))
}

fn pool_of_strangers(script: &str) -> ProcessPool {
    let script = script.to_owned();
    let fake = move || {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env("ROLE", "fake").env("SCRIPT", &script);
        command
    };
    ProcessPool::builder().size(1).command(fake).build()
}

#[track_caller]
fn assert_protocol(error: Error, says: &str) {
    assert!(matches!(&error, Error::Protocol(said) if said.contains(says)), "{error}");
}

fn a_worker_of_another_version_is_refused() {
    let pool = pool_of_strangers(&write(&frame(1, b"flowlet worker, protocol 0")));
    for _ in 0..2 {
        let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
        assert_protocol(error, "another version of flowlet-process");
    }
}

fn greetings_that_are_none() {
    let huge = [&[1; 9][..], &u64::MAX.to_le_bytes()].concat();
    let starts: [&[u8]; 5] =
        [&frame(3, HELLO), &frame(1, b""), &frame(0, HELLO), &huge, b"GET / HTTP/1.1\r\n\r\n"];
    for start in starts {
        let pool = pool_of_strangers(&write(start));
        let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
        assert_protocol(error, "");
    }
}

fn workers_that_end_as_soon_as_they_are_there() {
    // Each is started for a call, and that is the one that fails.
    let pool = pool_of_fakes("x9\n");
    for _ in 0..20 {
        let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
        let Error::Died { status, .. } = &error else { panic!("{error}") };
        assert_eq!(status.unwrap().code(), Some(9));
    }
}

fn answers_that_are_none() {
    let starts: [&[u8]; 5] =
        [&frame(1, HELLO), &frame(2, b""), &frame(0, b""), &frame(8, b""), &[0xff; 100]];
    for start in starts {
        let pool = pool_of_fakes(&("r\n".to_owned() + &write(start)));
        for _ in 0..2 {
            let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
            assert_protocol(error, "it answered with");
        }
    }
}

fn answers_that_break_off() {
    // As long as is allowed: no memory is taken for what has not come.
    for length in [100, 1u64 << 30] {
        let start = [&[3][..], &[0; 8], &length.to_le_bytes(), &[0; 50]].concat();
        for cut in [start.len(), 17, 5] {
            let pool = pool_of_fakes(&format!("r\n{}x9\n", write(&start[..cut])));
            let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
            let Error::Died { status, .. } = &error else { panic!("{error}") };
            assert_eq!(status.unwrap().code(), Some(9));
        }
    }
}

fn answers_that_are_too_long() {
    // It is not waited for the rest, and the worker is not trusted any more.
    for length in [(1 << 30) + 1, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
        let start = [&[3][..], &[0; 8], &length.to_le_bytes(), &[0; 50]].concat();
        let pool = pool_of_fakes(&format!("r\n{}", write(&start)));
        for _ in 0..2 {
            let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
            let Error::Output(why) = &error else { panic!("{error}") };
            assert!(
                why.contains(&format!("{length} bytes")) && why.contains("byte_limit"),
                "{why}"
            );
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Nested(Option<Box<Nested>>);

fn answers_that_are_too_deep() {
    const NEST: Function<u32, Nested> = Function::new("nest", |_| Nested(None));
    // A worker of ours would not send it, and the program does not count on that.
    let deep = [&[1; 1_000_000][..], &[0]].concat();
    let path = env::temp_dir().join(format!("flowlet-deep-{}", system::id()));
    std::fs::write(&path, frame(3, &deep)).unwrap();
    let pool = pool_of_fakes(&format!("r\nf{}\n", path.display()));
    let error = block_on(in_process(&pool, NEST)(1)).unwrap_err();
    std::fs::remove_file(path).unwrap();
    assert!(matches!(&error, Error::Output(why) if why.contains("deeper than")), "{error}");
}

fn answers_that_come_too_early() {
    // Both sides have more to write than fits between them, and one does not read.
    let pool = pool_of_fakes("m10\n");
    let error = block_on(in_process(&pool, ECHO)("x".repeat(10_000_000))).unwrap_err();
    assert_protocol(error, "has not read");
}

fn answers_to_another_call() {
    // The second answer comes before there is a second call, or is for the first.
    for call in [0, 2] {
        let two = write(&frame(3, &[2])) + &write(&frame_of(call, 3, &[4]));
        let pool = pool_of_fakes(&("r\n".to_owned() + &two));
        let double = in_process(&pool, DOUBLE);
        assert_eq!(block_on(double(1)).unwrap(), 2);
        assert_protocol(block_on(double(1)).unwrap_err(), "has not read");
    }
}

fn answers_that_do_not_decode() {
    for (output, says) in [(&b""[..], "`u32`"), (&[0xff; 20], "`u32`"), (&[1, 2], "left over")] {
        // The same worker goes on.
        let answers = [0, 1, 2].map(|call| "r\n".to_owned() + &write(&frame_of(call, 3, output)));
        let pool = pool_of_fakes(&answers.concat());
        for _ in 0..3 {
            let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
            assert!(matches!(&error, Error::Output(why) if why.contains(says)), "{error}");
            assert_eq!(pool.alive(), 1);
        }
    }
}

fn a_worker_that_closes_its_socket_is_ended() {
    let pool = pool_of_fakes("r\ns\n");
    let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
    let Error::Died { status, .. } = &error else { panic!("{error}") };
    assert_eq!(status.unwrap().signal(), Some(9));
}

fn a_message_that_is_no_text() {
    let pool = pool_of_fakes(&("r\n".to_owned() + &write(&frame(4, b"a\xffb"))));
    let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
    assert!(matches!(&error, Error::Panicked(said) if said == "a\u{fffd}b"), "{error}");
}

/// A worker whose pool is the test.
struct Alone {
    child: Child,
    stream: UnixStream,
}

impl Alone {
    fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = system::Command::new(env::current_exe().unwrap());
        let child = command.arg(MARK).stdin(OwnedFd::from(theirs)).spawn().unwrap();
        assert_eq!(read_frame(&ours), Some((1, HELLO.to_vec())));
        Self { child, stream: ours }
    }

    fn ask(&mut self, bytes: &[u8]) -> (u8, String) {
        self.stream.write_all(bytes).unwrap();
        let (kind, body) = read_frame(&self.stream).unwrap();
        (kind, String::from_utf8_lossy(&body).into_owned())
    }

    fn end(self) -> ExitStatus {
        let Self { mut child, stream } = self;
        drop(stream);
        child.wait().unwrap()
    }
}

/// A call as it goes over.
fn call(signature: [&str; 3], argument: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for text in signature {
        body.push(text.len() as u8);
        body.extend_from_slice(text.as_bytes());
    }
    // Between them the span it was made in, none, and the limits of depth and of bytes, 10 each.
    frame(2, &[&body[..], &[0, 10, 10], argument].concat())
}

fn a_worker_answers_whatever_it_is_asked() {
    let mut worker = Alone::new();
    let double = ["double", "u32", "u32"];
    assert_eq!(worker.ask(&call(double, &[4])), (3, "\u{8}".to_owned()));

    // Arguments: none, no number, too much.
    for (argument, says) in [(&b""[..], "`u32`"), (&[0xff; 20], "`u32`"), (&[1, 2], "left over")] {
        let (kind, text) = worker.ask(&call(double, argument));
        assert!(kind == 6 && text.contains(says), "{kind}: {text}");
    }
    // A text that is much longer than what follows.
    let echo = ["echo", "alloc::string::String", "alloc::string::String"];
    let (kind, text) = worker.ask(&call(echo, &[0xff, 0xff, 0xff, 0xff, 0x0f, b'x']));
    assert!(kind == 6 && text.contains("String"), "{kind}: {text}");

    for signature in [["treble", "u32", "u32"], ["double", "u8", "u32"], ["double", "u32", ""]] {
        let (kind, text) = worker.ask(&call(signature, &[1]));
        assert!(kind == 5 && text.contains(signature[0]), "{kind}: {text}");
    }
    for body in [&b""[..], &[0xff; 30], &[6, b'd']] {
        let (kind, text) = worker.ask(&frame(2, body));
        assert!(kind == 5 && text.contains("no signature"), "{kind}: {text}");
    }

    // And still it does what it is for.
    assert_eq!(worker.ask(&call(double, &[5])), (3, "\n".to_owned()));
    assert!(worker.end().success());
}

fn a_worker_ends_with_a_pool_that_breaks_off() {
    let whole = call(["double", "u32", "u32"], &[4]);
    let huge = [&[2; 9][..], &u64::MAX.to_le_bytes(), &[0; 50]].concat();
    for start in [&b""[..], &whole[..5], &whole[..17], &whole[..25], &huge] {
        let mut worker = Alone::new();
        worker.stream.write_all(start).unwrap();
        assert!(worker.end().success());
    }
    // What is no call is its end too, though the pool is still there.
    for start in [&frame(3, b"")[..], &frame(9, b""), &[0xff; 20]] {
        let mut worker = Alone::new();
        worker.stream.write_all(start).unwrap();
        worker.child.wait().unwrap();
    }
}

fn a_worker_without_a_pool_says_so() {
    let mut command = system::Command::new(env::current_exe().unwrap());
    let output = command.arg(MARK).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`--flowlet-process-worker` is for the workers"), "{said}");
}
