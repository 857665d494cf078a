//! Workers in processes of their own: this program once more.

use std::env;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use flowlet_amqp::{Broker, Queue, Runtime, Worker};
use futures_lite::future::block_on;

use crate::job;

const ROLE: &str = "FLOWLET_AMQP_WORKER";

/// The runtimes that workers take turns with.
const RUNTIMES: [&str; 4] = ["smol", "tokio", "async-global-executor", "own"];

/// A worker process. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
}

/// What a worker process is started with.
pub(crate) struct Settings<'a> {
    pub(crate) url: &'a str,
    /// What its queues are named after.
    pub(crate) name: &'a str,
    pub(crate) concurrency: usize,
    pub(crate) heartbeat: u64,
    pub(crate) delivery_limit: u32,
}

impl Process {
    /// Starts a worker, on the runtime whose turn it is with this number.
    pub(crate) fn start(settings: &Settings<'_>, number: usize) -> Self {
        let Settings { url, name, concurrency, heartbeat, delivery_limit } = settings;
        let child = Command::new(env::current_exe().unwrap())
            .env(ROLE, RUNTIMES[number % RUNTIMES.len()])
            .args([url, name])
            .args([concurrency.to_string(), heartbeat.to_string(), delivery_limit.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Has it stop gracefully, and returns what it says at the end.
    pub(crate) fn stop(mut self) -> String {
        drop(self.child.stdin.take());
        let mut summary = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut summary).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {summary}");
        summary.trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}

/// The queues of a test.
pub(crate) fn queues(name: &str, delivery_limit: u32) -> (Queue, Queue) {
    let jobs = Queue::new(format!("{name}-jobs")).delivery_limit(delivery_limit);
    (jobs, Queue::new(format!("{name}-outputs")))
}

/// Is a worker, if that is what this process was started for.
pub(crate) fn serve() {
    let Ok(runtime) = env::var(ROLE) else { return };
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, name, concurrency, heartbeat, delivery_limit] = &arguments[..] else {
        panic!("{arguments:?}")
    };
    let serve = async |runtime| {
        let heartbeat = Duration::from_secs(heartbeat.parse().unwrap());
        let broker = Broker::new(url).heartbeat(heartbeat).runtime(runtime);
        let (jobs, outputs) = queues(name, delivery_limit.parse().unwrap());
        let worker = Worker::builder(broker, jobs)
            .output(outputs)
            .concurrency(concurrency.parse().unwrap())
            .retry_after([Duration::from_millis(1)])
            .build()
            .unwrap();
        let (sender, stop) = async_channel::bounded::<()>(1);
        thread::spawn(move || {
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            sender.close();
        });
        let stopped = async move { stop.recv().await };
        println!("{}", worker.try_run(&job::flow(), stopped).await.unwrap());
    };
    match runtime.as_str() {
        "smol" => smol::block_on(serve(Runtime::smol())),
        "tokio" => {
            let tokio = tokio::runtime::Runtime::new().unwrap();
            tokio.block_on(async { serve(Runtime::tokio()).await });
        }
        "async-global-executor" => block_on(serve(Runtime::async_global_executor())),
        _ => block_on(serve(Runtime::own_thread())),
    }
    std::process::exit(0);
}
