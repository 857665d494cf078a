//! Workers in processes of their own: this program once more.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio, exit};
use std::time::Duration;
use std::{env, fmt, fs, thread};

use async_io::Timer;
use flowlet::Flow;
use flowlet_amqp::{Runtime, Worker};
use futures_lite::future::{self, block_on};
use futures_util::TryStreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

pub(crate) const JOBS: &str = "scale-jobs";
pub(crate) const OUTPUTS: &str = "scale-outputs";

const CONCURRENCY: u16 = 32;

/// The variable that makes this program a worker, and says which.
const ROLE: &str = "FLOWLET_AMQP_SCALE";

/// Who does the jobs.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// What this crate is for.
    Worker,
    /// What a program without it would do, with none of its care: no panic is caught, no failure is
    /// tried again, no connection is made anew.
    ByHand,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::ByHand => "by hand",
        })
    }
}

/// A process that does jobs until it is told to stop. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one, which does nothing yet.
    pub(crate) fn start(kind: Kind, url: &str, call: Duration) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .env(ROLE, kind.to_string())
            .args([url, &call.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut says = BufReader::new(child.stdout.take().expect("it is piped"));
        says.read_line(&mut String::new())?;
        Ok(Self { child, says })
    }

    /// Has it begin.
    pub(crate) fn go(&mut self) -> io::Result<()> {
        self.child.stdin.as_mut().expect("it is piped").write_all(b"\n")
    }

    /// Has it end, and returns what it used of a processor, if it can tell.
    pub(crate) fn stop(mut self) -> Result<Option<Duration>, Box<dyn Error>> {
        drop(self.child.stdin.take());
        let mut used = String::new();
        self.says.read_to_string(&mut used)?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("a worker ended with {status}").into());
        }
        Ok(used.trim().parse().ok().map(Duration::from_millis))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Is a worker, if that is what this process was started for.
pub(crate) fn serve() {
    let Ok(kind) = env::var(ROLE) else { return };
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, call] = &arguments[..] else { panic!("{arguments:?}") };
    let call = Duration::from_millis(call.parse().expect("it is a number"));
    println!();
    drop(io::stdin().read_line(&mut String::new()));
    let (sender, stop) = async_channel::bounded::<()>(1);
    thread::spawn(move || {
        // To its end.
        drop(io::stdin().read_to_end(&mut Vec::new()));
        sender.close();
    });
    let stop = async move {
        let _ = stop.recv().await;
    };
    let done = block_on(async {
        match kind == Kind::Worker.to_string() {
            true => work(url, call, stop).await,
            false => work_by_hand(url, call, stop).await,
        }
    });
    if let Err(error) = done {
        eprintln!("{error}");
        exit(1);
    }
    println!("{}", processor().map_or("unknown".to_owned(), |time| time.as_millis().to_string()));
    exit(0);
}

async fn work(url: &str, call: Duration, stop: impl Future<Output = ()>) -> Outcome {
    let worker =
        Worker::builder(url, JOBS).output(OUTPUTS).concurrency(CONCURRENCY.into()).build()?;
    let flow = Flow::<usize>::identity().map_concurrent(1, move |job| answer(job, call));
    worker.run(&flow, stop).await?;
    Ok(())
}

async fn work_by_hand(url: &str, call: Duration, stop: impl Future<Output = ()>) -> Outcome {
    // Two connections, as the broker stops reading from those that publish too much.
    let (taking, take) = connect(url).await?;
    let (giving, give) = connect(url).await?;
    give.confirm_select(ConfirmSelectOptions::default()).await?;
    take.basic_qos(CONCURRENCY, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let jobs = take.basic_consume(JOBS, "", options, FieldTable::default()).await?;
    let work = async |job: lapin::message::Delivery| -> lapin::Result<()> {
        let number = serde_json::from_slice(&job.data).expect("it is a number");
        let output = serde_json::to_vec(&answer(number, call).await).expect("it is a number");
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let sent = give.basic_publish("", OUTPUTS, options, &output, properties).await?;
        assert!(sent.await?.is_ack());
        job.ack(BasicAckOptions::default()).await?;
        Ok(())
    };
    let done = jobs.try_for_each_concurrent(usize::from(CONCURRENCY), work);
    let stopped = async {
        stop.await;
        Ok(())
    };
    future::or(done, stopped).await?;
    giving.close(200, "done").await?;
    taking.close(200, "done").await?;
    Ok(())
}

type Outcome = Result<(), Box<dyn Error>>;

async fn answer(job: usize, call: Duration) -> usize {
    if !call.is_zero() {
        Timer::after(call).await;
    }
    job
}

pub(crate) async fn connect(url: &str) -> lapin::Result<(Connection, Channel)> {
    let properties = ConnectionProperties::default()
        .with_executor(Runtime::own_thread())
        .with_reactor(async_reactor_trait::AsyncIo);
    let connection = Connection::connect(url, properties).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

/// What this process used of processors, where the system tells in hundredths of a second.
fn processor() -> Option<Duration> {
    let status = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, which is in brackets, may hold anything.
    let fields: Vec<&str> = status.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}
