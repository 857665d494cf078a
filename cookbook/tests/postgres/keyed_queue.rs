//! Each key keeps its order, whatever happens to the limit and to consumers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use cookbook::etl::connect;
use cookbook::keyed_queue::{Controls, Message, PER_KEY, Queue, SCHEMA, Summary, router};
use flowlet::{Monitor, Semaphore, with};
use tokio::sync::{self, oneshot, watch};
use tokio::task::JoinHandle;

use crate::server::Database;
use crate::{serve, soon, until};

const MESSAGES: usize = 2000;

/// Every second message has the same key, and the others have one of 49 in turn.
const FILL: &str = "INSERT INTO messages (key, body) \
    SELECT CASE n % 2 WHEN 0 THEN 'hot' ELSE 'key ' || n % 49 END, n FROM generate_series(1, 2000) n";

async fn messages() -> Database {
    let database = Database::new(SCHEMA).await;
    database.execute(FILL).await;
    database
}

/// What calls do, and what is seen of them.
struct Work {
    /// Each call needs one to end, and keeps it.
    turns: sync::Semaphore,
    /// Calls of the hot key wait until this is true.
    is_hot_open: watch::Sender<bool>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    begun: usize,
    running: HashSet<String>,
    /// The most that ran at once.
    peak: usize,
    handled: Vec<i64>,
    last: HashMap<String, i64>,
    violations: usize,
}

/// A running call.
struct Running<'a>(&'a Work, &'a str);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.seen.lock().unwrap().running.remove(self.1);
    }
}

impl Work {
    fn new(turns: usize) -> Arc<Self> {
        let (turns, is_hot_open) = (sync::Semaphore::new(turns), watch::Sender::new(true));
        Arc::new(Self { turns, is_hot_open, seen: Mutex::default() })
    }

    async fn handle(self: Arc<Self>, Message { id, key, .. }: Message) -> Result<(), String> {
        let running = self.begin(id, &key);
        if key == "hot" {
            self.is_hot_open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
        }
        self.turns.acquire().await.unwrap().forget();
        let mut seen = self.seen.lock().unwrap();
        seen.handled.push(id);
        seen.last.insert(key.clone(), id);
        drop(seen);
        drop(running);
        if id % 100 == 0 { Err("no luck".into()) } else { Ok(()) }
    }

    fn begin<'a>(&'a self, id: i64, key: &'a str) -> Running<'a> {
        let mut seen = self.seen.lock().unwrap();
        let is_alone = seen.running.insert(key.into());
        let is_in_order = seen.last.get(key).is_none_or(|last| *last < id);
        seen.violations += usize::from(!is_alone || !is_in_order);
        seen.begun += 1;
        seen.peak = seen.peak.max(seen.running.len());
        Running(self, key)
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap())
    }

    async fn has_running(&self, calls: usize) {
        until("calls", async || self.seen(|seen| seen.running.len()) == calls).await;
    }

    async fn has_handled(&self, messages: usize) {
        until("messages", async || self.seen(|seen| seen.handled.len()) == messages).await;
    }
}

/// A running consumer.
struct Consumer {
    controls: Controls,
    stop: oneshot::Sender<()>,
    /// Received when it has heard the stop.
    heard: oneshot::Receiver<()>,
    deadline: oneshot::Sender<()>,
    task: JoinHandle<Result<Summary, tokio_postgres::Error>>,
}

impl Consumer {
    fn start(database: &Database, work: &Arc<Work>, limit: usize) -> Self {
        let controls = Controls { limit: Semaphore::new(limit), monitor: Monitor::new() };
        let (stop, stopped) = oneshot::channel();
        let (hears, heard) = oneshot::channel();
        let (deadline, is_late) = oneshot::channel();
        let stopped = async move {
            stopped.await.unwrap();
            hears.send(()).unwrap();
        };
        let task = tokio::spawn({
            let (config, controls, work) =
                (database.config.clone(), controls.clone(), work.clone());
            async move {
                let queue = Queue::connect(&config).await?;
                queue.consume(&controls, stopped, is_late, with(work, Work::handle)).await
            }
        });
        Self { controls, stop, heard, deadline, task }
    }

    /// Stops it, and waits for its end.
    async fn stop(self) -> Summary {
        self.stop.send(()).unwrap();
        soon("its end", self.task).await.unwrap().unwrap()
    }
}

/// Lets everyone else go on for a while.
async fn rest(database: &Database) {
    for _ in 0..100 {
        database.number("SELECT 0::bigint").await;
    }
}

/// Each message was handled once, and its row says so.
async fn all_are_done(database: &Database, work: &Work) {
    let once = "SELECT count(*) FROM messages WHERE runs = 1 AND done_at IS NOT NULL \
        AND (failure IS NOT NULL) = (id % 100 = 0)";
    assert_eq!(database.number(once).await, MESSAGES as i64);
    let (mut handled, violations) = work.seen(|seen| (seen.handled.clone(), seen.violations));
    handled.sort_unstable();
    assert!(handled.into_iter().eq(1..=MESSAGES as i64));
    assert_eq!(violations, 0);
}

#[tokio::test]
async fn a_stuck_key_does_not_hold_up_the_others() {
    let database = messages().await;
    let work = Work::new(usize::MAX >> 3);
    work.is_hot_open.send_replace(false);
    let consumer = Consumer::start(&database, &work, 4);
    work.has_handled(MESSAGES / 2).await;
    let hot = "SELECT count(*) FROM messages WHERE key = 'hot' AND consumer IS NOT NULL";
    assert!(work.seen(|seen| !seen.last.contains_key("hot")));
    assert_eq!(database.number(hot).await, PER_KEY.into());

    work.is_hot_open.send_replace(true);
    work.has_handled(MESSAGES).await;
    assert_eq!(consumer.stop().await, Summary { handled: MESSAGES as u64, given_back: 0 });
    all_are_done(&database, &work).await;
}

#[tokio::test]
async fn the_limit_can_be_raised_lowered_and_paused_over_http() {
    let database = messages().await;
    let work = Work::new(0);
    let consumer = Consumer::start(&database, &work, 4);
    let url = serve(router(consumer.controls.clone())).await;
    let http = reqwest::Client::new();
    let set = async |limit: usize| {
        let request = http.put(format!("{url}/limit")).body(limit.to_string());
        assert!(request.send().await.unwrap().status().is_success());
    };
    work.has_running(4).await;
    let numbers = http.get(format!("{url}/numbers")).send().await.unwrap().text().await.unwrap();
    assert!(numbers.contains("handle") && numbers.contains(" 4/4 "), "{numbers}");

    set(12).await;
    work.has_running(12).await;

    set(2).await;
    work.turns.add_permits(10);
    work.has_running(2).await;
    work.seen(|seen| seen.peak = 0);
    work.turns.add_permits(100);
    work.has_handled(110).await;
    work.has_running(2).await;
    assert_eq!(work.seen(|seen| seen.peak), 2);

    set(0).await;
    work.turns.add_permits(2);
    work.has_handled(112).await;
    rest(&database).await;
    assert_eq!(work.seen(|seen| (seen.begun, seen.running.len())), (112, 0));

    set(8).await;
    work.has_running(8).await;
    assert_eq!(http.put(format!("{url}/limit")).body("many").send().await.unwrap().status(), 400);

    work.turns.add_permits(MESSAGES);
    work.has_handled(MESSAGES).await;
    assert_eq!(consumer.stop().await, Summary { handled: MESSAGES as u64, given_back: 0 });
    all_are_done(&database, &work).await;
}

#[tokio::test]
async fn a_stop_gives_back_what_was_not_done_and_another_consumer_does_it() {
    let claimed = "SELECT count(*) FROM messages WHERE consumer IS NOT NULL AND done_at IS NULL";
    let database = messages().await;
    let work = Work::new(500);
    let Consumer { stop, heard, deadline, task, .. } = Consumer::start(&database, &work, 4);
    work.has_handled(500).await;
    work.has_running(4).await;

    // Two of the four running calls end, and nothing else begins.
    stop.send(()).unwrap();
    soon("the stop", heard).await.unwrap();
    work.turns.add_permits(2);
    let runs = "SELECT sum(runs) FROM messages";
    until("rows", async || database.number(runs).await == 502).await;
    rest(&database).await;
    assert_eq!(work.seen(|seen| (seen.begun, seen.running.len())), (504, 2));
    let given_back = database.number(claimed).await;
    assert!(given_back > 2 && !task.is_finished());

    deadline.send(()).unwrap();
    let summary = soon("the end", task).await.unwrap().unwrap();
    assert_eq!(summary, Summary { handled: 502, given_back: given_back as u64 });
    assert_eq!(database.number(claimed).await, 0);
    assert_eq!(database.number(runs).await, 502);

    work.turns.add_permits(MESSAGES);
    let other = Consumer::start(&database, &work, 4);
    work.has_handled(MESSAGES).await;
    assert_eq!(other.stop().await, Summary { handled: MESSAGES as u64 - 502, given_back: 0 });
    all_are_done(&database, &work).await;
}

#[tokio::test]
async fn a_paused_consumer_stops() {
    let database = messages().await;
    let work = Work::new(0);
    let consumer = Consumer::start(&database, &work, 4);
    work.has_running(4).await;
    consumer.controls.limit.set_limit(0);
    work.turns.add_permits(4);
    work.has_handled(4).await;
    let summary = consumer.stop().await;
    assert_eq!((summary.handled, work.seen(|seen| seen.begun)), (4, 4));
}

#[tokio::test]
async fn consumers_that_claim_at_the_same_time_share_no_key() {
    let database = messages().await;
    let work = Work::new(MESSAGES);
    let holder = connect(&database.config).await.unwrap();
    holder.batch_execute("BEGIN; SELECT FROM messages WHERE id = 1 FOR UPDATE").await.unwrap();
    let consumers = [(); 2].map(|()| Consumer::start(&database, &work, 4));
    until("claims", async || database.sessions("wait_event_type = 'Lock'").await == 2).await;
    holder.batch_execute("COMMIT").await.unwrap();
    work.has_handled(MESSAGES).await;
    let mut handled = 0;
    for consumer in consumers {
        handled += consumer.stop().await.handled;
    }
    assert_eq!(handled, MESSAGES as u64);
    all_are_done(&database, &work).await;
}

#[tokio::test]
async fn claimed_keys_are_left_alone_until_the_session_of_their_consumer_is_lost() {
    let done = "SELECT count(*) FROM messages WHERE done_at IS NOT NULL";
    let shared = "SELECT count(*) FROM messages a JOIN messages b USING (key) \
        WHERE a.consumer <> b.consumer AND a.done_at IS NULL AND b.done_at IS NULL";
    let database = messages().await;
    let (work, other_work) = (Work::new(100), Work::new(MESSAGES));
    let consumer = Consumer::start(&database, &work, 4);
    until("rows", async || database.number(done).await == 100).await;
    work.has_running(4).await;
    let other = Consumer::start(&database, &other_work, 4);
    until("its session", async || {
        database.sessions("application_name LIKE 'consumer %'").await == 2
    })
    .await;
    rest(&database).await;
    assert_eq!(database.number(shared).await, 0);

    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = \
        (SELECT consumer FROM messages WHERE done_at IS NOT NULL ORDER BY done_at LIMIT 1)";
    assert_eq!(database.number(end).await, 1);
    until("all rows", async || database.number(done).await == MESSAGES as i64).await;
    work.turns.add_permits(MESSAGES);
    assert!(soon("its end", consumer.task).await.unwrap().is_err());
    assert_eq!(work.seen(|seen| seen.handled.len()), 104, "what was begun is finished");
    let summary = other.stop().await;
    assert_eq!(summary, Summary { handled: MESSAGES as u64 - 100, given_back: 0 });
    assert_eq!(other_work.seen(|seen| seen.violations), 0);
    assert_eq!(
        database.number("SELECT count(*) FROM messages WHERE runs = 1").await,
        MESSAGES as i64
    );
}
