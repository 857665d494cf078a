//! How connections are made, and what is left of those that are not.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use flowlet::Flow;
use flowlet::prelude::*;
use flowlet_amqp::{Broker, Error, Letters, Publisher, Verdict, Worker};
use futures_lite::future::{block_on, poll_once, zip};
use futures_lite::{FutureExt, future};
use tracing_subscriber::prelude::*;

use crate::failures::until_ready;
use crate::job::{self, Job, What};
use crate::proxy::Proxy;
use crate::raw::Raw;
use crate::server::{Server, has_ipv6};
use crate::wait::until;
use crate::{descriptors, threads};

fn declared(broker: impl Into<Broker>) -> Result<(), Error> {
    block_on(Worker::builder(broker, "connect").build().unwrap().declare())
}

pub(crate) fn an_ipv6_address_leads_there(server: &mut Server) {
    if !has_ipv6() {
        println!("  SKIPPED: this machine has no IPv6");
        return;
    }
    let publisher = Publisher::new(server.url().replace("127.0.0.1", "[::1]")).unwrap();
    assert_eq!(block_on(pipe([6]).through(publisher.publish(1, "ipv6"))).unwrap(), 1);
    assert_eq!(Raw::connect(&server.url()).ready("ipv6"), 1);

    // Where nobody listens, nobody is asked, and not another address of this port instead.
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    let broker = Broker::new(format!("amqp://topsecret:topsecret@[::1]:{port}"));
    let error = declared(broker.give_up_after(Duration::ZERO)).unwrap_err();
    assert!(matches!(error, Error::GaveUp(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("topsecret"), "{error:?}");
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err());
}

pub(crate) fn a_vhost_that_is_not_there_ends_it_at_once(server: &mut Server) {
    let url = server.url().replace("%2f", "not%2fthere");
    let error = declared(url).unwrap_err();
    assert!(matches!(&error, Error::NoVhost(vhost) if vhost == "not/there"), "{error:?}");
    // Or is there, and not for this user.
    server.control(&["add_vhost", "private"]);
    let error = declared(server.url().replace("%2f", "private")).unwrap_err();
    assert!(matches!(&error, Error::NoVhost(vhost) if vhost == "private"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("guest"), "{error:?}");
}

pub(crate) fn a_vhost_that_is_full_is_tried_again(server: &mut Server) {
    server.control(&["add_vhost", "full"]);
    server.control(&["set_permissions", "-p", "full", "guest", ".*", ".*", ".*"]);
    server.control(&["set_vhost_limits", "-p", "full", r#"{"max-connections": 0}"#]);
    let url = server.url().replace("%2f", "full");
    let error = declared(Broker::new(url).give_up_after(Duration::from_millis(1))).unwrap_err();
    assert!(matches!(error, Error::GaveUp(_)), "{error:?}");
}

pub(crate) fn another_address_is_taken_when_one_fails(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let proxy = Proxy::start(server.port(), 1);
    let broker = Broker::new("amqp://127.0.0.1:1")
        .fail_over_to(proxy.url())
        .fail_over_to(server.url())
        .heartbeat(Duration::from_secs(60));
    let worker = Worker::builder(broker, "fail-over").output("fail-over-outputs").build().unwrap();
    block_on(worker.declare()).unwrap();
    raw.put_jobs("fail-over", [Job::new(1, What::Wait(0))]);
    let url = server.url();
    let stop = async {
        until_ready(url.clone(), "fail-over-outputs", 1).await;
        assert!(proxy.connections() > 0);
        // Its connections are cut, and nobody listens there any more.
        blocking::unblock(move || drop(proxy)).await;
        raw.put_jobs("fail-over", [Job::new(2, What::Wait(0))]);
        until_ready(url.clone(), "fail-over-outputs", 2).await;
    };
    block_on(worker.try_run(&job::flow(), stop)).unwrap();
}

pub(crate) fn shared_connections_serve_all_and_end_with_the_last(server: &mut Server) {
    const WORKERS: usize = 10;
    let connections = || server.control(&["list_connections", "name"]).lines().skip(1).count();
    let wait_for = |count| {
        until(|| format!("{count} connections, not {}", connections()), || connections() == count);
    };
    // Those of other tests may be on their way out.
    wait_for(0);
    let server = &*server;
    let broker = Broker::new(server.url()).share_connections();
    let raw = || Raw::connect(&server.url());
    let flow = Flow::<u32>::identity();
    let (tell, told) = async_channel::bounded::<()>(1);
    let run = async |number: usize| {
        let worker = Worker::builder(broker.clone(), "shared").output("shared-outputs").prefetch(1);
        let told = told.clone();
        let stop = async move {
            // The first ends early, and nothing of that is seen by the others.
            match number {
                0 => until_ready(server.url(), "shared-outputs", 50).await,
                _ => assert!(told.recv().await.is_err()),
            }
        };
        worker.build().unwrap().run(&flow, stop).await.unwrap()
    };
    let direct = async {
        let publisher = Publisher::new(broker.clone()).unwrap();
        pipe(0..100).through(publisher.publish(10, "shared")).await.unwrap();
        until_ready(server.url(), "shared-outputs", 100).await;
        pipe(0..100).through(publisher.publish(10, "shared")).await.unwrap();
        until_ready(server.url(), "shared-outputs", 200).await;
        wait_for(2);
        // All find a new one when it is lost.
        server.control(&["close_all_connections", "for a test"]);
        pipe(0..100).through(publisher.publish(10, "shared")).await.unwrap();
        until_ready(server.url(), "shared-outputs", 300).await;
        wait_for(2);
        tell.close();
    };
    let runs = pipe(0..WORKERS).map_concurrent(WORKERS, run).collect::<Vec<_>>();
    let (summaries, ()) = block_on(zip(runs, direct));
    let done: u64 = summaries.iter().map(|summary| summary.done).sum();
    assert!(done >= 300, "{done}");
    assert_eq!(raw().ready("shared"), 0);
    wait_for(0);
}

/// The connections that [`silent`] has.
static OPEN: Mutex<Vec<TcpStream>> = Mutex::new(Vec::new());

/// Takes connections and says nothing.
fn silent() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nonblocking(true).unwrap();
            OPEN.lock().unwrap().push(stream);
        }
    });
    port
}

/// Drops the connections that the other end has closed.
fn drop_closed() {
    let is_open = |stream: &mut TcpStream| match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    OPEN.lock().unwrap().retain_mut(is_open);
}

pub(crate) fn a_silent_peer_is_given_up_in_time(_: &mut Server) {
    let begun = Instant::now();
    let broker = Broker::new(format!("amqp://127.0.0.1:{}", silent()));
    let error = declared(broker.give_up_after(Duration::from_millis(100))).unwrap_err();
    assert!(matches!(error, Error::GaveUp(_)), "{error:?}");
    // Not after the 30 s that a broker may take to answer.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

pub(crate) fn connects_that_are_dropped_leave_nothing_behind(_: &mut Server) {
    let port = silent();
    let flow = Flow::<u32>::identity();
    // The threads of the client library.
    let connections = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.flatten().flat_map(|task| fs::read_to_string(task.path().join("comm")));
        names.filter(|name| name.starts_with("lapin")).count()
    };
    let round = |count: usize| {
        for number in 0..count {
            // It waits for the greeting of the broker, or for that of TLS.
            let scheme = if number % 2 == 0 { "amqp" } else { "amqps" };
            let worker = Worker::builder(format!("{scheme}://127.0.0.1:{port}"), "silent");
            let worker = worker.build().unwrap();
            let mut run = worker.run(&flow, future::pending::<()>()).boxed_local();
            // Dropped when it has just begun, or when the client library has a thread for it.
            until(|| "the last thread's end", || number % 5 == 0 || connections() == 0);
            let is_made = || {
                assert!(block_on(poll_once(&mut run)).is_none());
                number % 5 == 0 || connections() > 0
            };
            until(|| "a connection in the making", is_made);
        }
        // And those that take too long.
        let url = format!("amqp://127.0.0.1:{port}?connection_timeout=20");
        let broker = Broker::new(url).give_up_after(Duration::from_millis(100));
        assert!(declared(broker).is_err());
    };
    // What the process keeps, such as threads for blocking calls, is there after these.
    round(4);
    let counts = || {
        drop_closed();
        (threads(), descriptors())
    };
    let mut before = counts();
    until(
        || "threads and sockets to end",
        || {
            let last = std::mem::replace(&mut before, counts());
            thread::sleep(Duration::from_millis(200));
            last == before
        },
    );
    round(100);
    until(
        || format!("{:?} threads and descriptors, not {:?}", before, counts()),
        || counts().0 <= before.0 + 2 && counts().1 <= before.1 + 4,
    );
}

pub(crate) fn an_idle_connection_takes_little_memory(server: &mut Server) {
    const WORKERS: usize = 20;
    let resident = || -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let worker = Worker::builder(server.url(), "memory").output("memory-outputs").build().unwrap();
    block_on(worker.declare()).unwrap();
    let before = resident();
    let flow = Flow::<u32>::identity();
    let (ready, all_ready) = async_channel::bounded::<()>(1);
    let run = async |_| {
        let stop = async { all_ready.recv().await };
        worker.run(&flow, stop).await.unwrap();
    };
    let look = || {
        let has_all = || {
            let consumers = server.control(&["list_queues", "name", "consumers"]);
            consumers.contains(&format!("memory\t{WORKERS}"))
        };
        until(|| "all consumers", has_all);
        let each = resident().saturating_sub(before) / (2 * WORKERS);
        ready.close();
        each
    };
    let each = thread::scope(|scope| {
        let looked = scope.spawn(look);
        block_on(pipe(0..WORKERS).map_concurrent(WORKERS, run).drain());
        looked.join().unwrap()
    });
    println!("  {each} kB for each connection");
    assert!(each < 1024, "{each} kB for each connection");
}

/// What was logged.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn no_password_is_logged_or_shown(server: &mut Server) {
    const SECRET: &str = "topsecret";
    server.control(&["add_user", "someone", SECRET]);
    server.control(&["set_permissions", "someone", ".*", ".*", ".*"]);
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Log).with_ansi(false);
    tracing_subscriber::registry().with(lines).init();

    let url = server.url().replace("guest:guest", &format!("someone:{SECRET}"));
    let elsewhere = format!("amqp://someone:{SECRET}@127.0.0.1:1");
    let broker = Broker::new(url.as_str());
    let publisher = Publisher::new(broker.clone()).unwrap();
    block_on(pipe(0..10).through(publisher.publish(1, "secrets"))).unwrap();
    let sender = publisher.sender("secrets");
    let builder = Worker::builder(broker.clone(), "secrets");
    let shown = format!("{broker:?} {publisher:?} {sender:?} {builder:?}");
    let worker = builder.build().unwrap();
    let letters = Letters::new(broker, "secrets").unwrap();
    block_on(letters.visit(3, |_| Verdict::Drop)).unwrap();
    let shown = format!("{shown} {worker:?} {letters:?}");
    assert!(!shown.contains(SECRET), "{shown}");

    for wrong in [
        url.replace(SECRET, &format!("{SECRET}-and-wrong")),
        url.replace("%2f", "not-there"),
        url.replace("/%2f", "/"),
        url.replace("amqp:", "http:"),
        url.replace("amqp://", ""),
        url.replace(&format!(":{}", server.port()), ":none"),
        elsewhere,
    ] {
        let broker = Broker::new(wrong).give_up_after(Duration::from_millis(200));
        let worker = Worker::builder(broker, "secrets").build();
        let error = worker.and_then(|worker| block_on(worker.declare())).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let log = String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned();
    assert!(log.contains("trying again") && log.contains("ProtocolHeader"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
}
