//! Downloads from servers that refuse, cut bodies off, hang and change their files, with real sockets and files.

use std::collections::HashMap;
use std::env::temp_dir;
use std::fmt::Write as _;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, io, process};

use axum::Router;
use axum::body::Body;
use axum::extract::{self, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cookbook::mirror::Mirror;
use futures_lite::{StreamExt, stream};
use indicatif::ProgressBar;
use reqwest::{Client, Url};
use tokio::net::TcpListener;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{sleep, timeout};

/// What a server does with a file.
#[derive(Clone, Copy)]
enum Answer {
    Whole,
    /// Refuses with this status.
    Refused(StatusCode),
    /// Sends the first half of what is asked for, waits until that is in the folder, and breaks off.
    Cut,
    /// The same, but never breaks off.
    Hanging,
}

/// What the answer to a try is.
type Answers = fn(file: u32, attempt: usize) -> Answer;

/// A server.
struct Host {
    address: SocketAddr,
    folder: PathBuf,
    answers: Mutex<Answers>,

    /// The version of file 0; that of others is 0.
    version: AtomicUsize,

    /// How many downloads run now, and did at most.
    running: AtomicUsize,
    peak: AtomicUsize,

    /// For each file the first byte of each answer.
    starts: Mutex<HashMap<u32, Vec<usize>>>,
}

/// A download that runs.
struct Running(Arc<Hosts>, usize);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.hosts[self.1].running.fetch_sub(1, SeqCst);
    }
}

/// All servers, and a folder whose parent is gone after the test.
struct Hosts {
    folder: PathBuf,
    hosts: Vec<Host>,

    /// No file is sent until so many downloads ran from each host at a time.
    at_least: usize,
    begun: AtomicBool,
}

impl Drop for Hosts {
    fn drop(&mut self) {
        fs::remove_dir_all(self.folder.parent().unwrap()).unwrap();
    }
}

impl Host {
    fn version(&self, file: u32) -> usize {
        if file == 0 { self.version.load(SeqCst) } else { 0 }
    }

    fn content(&self, file: u32) -> Vec<u8> {
        let seed = usize::from(self.address.port()) + 7 * file as usize + 77 * self.version(file);
        let length = (20_000 + 999 * file as usize) / (1 + 3 * self.version(file));
        (0..length).map(|n| (n * n + seed * n + n / 251) as u8).collect()
    }

    fn url(&self, file: u32) -> String {
        format!("http://{}/{file}", self.address)
    }

    fn path(&self, file: u32) -> PathBuf {
        self.folder.join(format!("{}%2F{file}", self.address))
    }

    fn part(&self, file: u32) -> PathBuf {
        self.folder.join(format!("{}%2F{file}%.part", self.address))
    }

    fn starts(&self, file: u32) -> Vec<usize> {
        self.starts.lock().unwrap().get(&file).cloned().unwrap_or_default()
    }

    fn is_right(&self, file: u32) -> bool {
        fs::read(self.path(file)).unwrap() == self.content(file)
    }
}

impl Hosts {
    /// Serves on three ports of two addresses for as long as the test runs.
    async fn serve(test: &str, at_least: usize, answers: Answers) -> Arc<Self> {
        let folder = temp_dir().join(format!("cookbook-mirror-{test}-{}/files", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (mut listeners, mut hosts) = (vec![], vec![]);
        for last in [1, 1, 2] {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), 0)).await.unwrap();
            hosts.push(Host {
                address: listener.local_addr().unwrap(),
                folder: folder.clone(),
                answers: answers.into(),
                version: 0.into(),
                running: 0.into(),
                peak: 0.into(),
                starts: Mutex::default(),
            });
            listeners.push(listener);
        }
        let hosts = Arc::new(Self { folder, hosts, at_least, begun: false.into() });
        for (n, listener) in listeners.into_iter().enumerate() {
            let router = Router::new().route("/{file}", get(answer)).with_state((hosts.clone(), n));
            tokio::spawn(async { axum::serve(listener, router).await });
        }
        hosts
    }

    fn mirror(&self, per_host: usize) -> Mirror {
        Mirror {
            client: Client::new(),
            folder: self.folder.clone(),
            total: 64,
            per_host,
            progress: ProgressBar::hidden(),
        }
    }

    /// All files, host after host, and the last one twice.
    fn urls(&self, files: u32) -> Vec<String> {
        let urls = self.hosts.iter().flat_map(|host| (0..files).map(|file| host.url(file)));
        let last = self.hosts[2].url(files - 1) + "#again";
        urls.chain([last]).collect()
    }

    /// How many files are in the folder.
    fn files(&self) -> usize {
        fs::read_dir(&self.folder).unwrap().count()
    }
}

/// Waits until a file has so many bytes.
async fn has_bytes(path: &Path, bytes: usize) {
    while fs::metadata(path).map_or(0, |file| file.len()) < bytes as u64 {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Answers a request. A download is over before its last byte is sent, as the client may go on then.
async fn answer(
    State((hosts, n)): State<(Arc<Hosts>, usize)>,
    extract::Path(file): extract::Path<u32>,
    headers: HeaderMap,
) -> Response {
    let host = &hosts.hosts[n];
    let running = Running(hosts.clone(), n);
    host.peak.fetch_max(host.running.fetch_add(1, SeqCst) + 1, SeqCst);
    if hosts.hosts.iter().all(|host| host.running.load(SeqCst) >= hosts.at_least) {
        hosts.begun.store(true, SeqCst);
    }
    while !hosts.begun.load(SeqCst) {
        yield_now().await;
    }
    for _ in 0..100 {
        yield_now().await; // for others to come as well
    }

    let content = host.content(file);
    let tag = format!("\"{}\"", host.version(file));
    let field = |name| Some(headers.get(name)?.to_str().unwrap());
    let range = field(header::RANGE).filter(|_| field(header::IF_RANGE) == Some(&tag));
    let start = range.map(|range| {
        range.strip_prefix("bytes=").unwrap().strip_suffix("-").unwrap().parse::<usize>().unwrap()
    });
    let (status, start) = match start {
        Some(start) => (StatusCode::PARTIAL_CONTENT, start),
        None => (StatusCode::OK, 0),
    };
    let attempt = {
        let mut starts = host.starts.lock().unwrap();
        let starts = starts.entry(file).or_default();
        starts.push(start);
        starts.len()
    };
    let answers = *host.answers.lock().unwrap();
    let middle = start.midpoint(content.len());
    let part = host.part(file);
    let half = stream::once(Ok(content[start..middle].to_vec()));
    let body: stream::Boxed<io::Result<Vec<u8>>> = match answers(file, attempt) {
        Answer::Refused(status) => return status.into_response(),
        Answer::Whole => {
            let rest = content[start..].to_vec();
            stream::once_future(async move {
                drop(running);
                Ok(rest)
            })
            .boxed()
        }
        Answer::Cut => half
            .chain(stream::once_future(async move {
                has_bytes(&part, middle).await;
                drop(running);
                Err(io::Error::other("cut"))
            }))
            .boxed(),
        Answer::Hanging => half
            .chain(stream::once_future(async move {
                let _running = running;
                pending().await
            }))
            .boxed(),
    };
    let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
    let fields = [
        (header::CONTENT_LENGTH, (content.len() - start).to_string()),
        (header::CONTENT_RANGE, range),
        (header::ETAG, tag),
    ];
    (status, fields, Body::from_stream(body)).into_response()
}

/// Fails rather than hangs.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

fn parsed(urls: &[String]) -> Vec<Url> {
    urls.iter().map(|url| url.parse().unwrap()).collect()
}

const FILES: u32 = 12;

/// A fourth of the files is sent at once, one is refused at first, and two are cut, one of them twice.
fn with_trouble(file: u32, attempt: usize) -> Answer {
    match (file, file % 4, attempt) {
        (FILES, ..) => Answer::Refused(StatusCode::NOT_FOUND),
        (_, 1, 1) => Answer::Refused(StatusCode::SERVICE_UNAVAILABLE),
        (_, 2, 1) | (_, 3, 1 | 2) => Answer::Cut,
        _ => Answer::Whole,
    }
}

#[tokio::test]
async fn files_arrive_whole_whatever_the_servers_do_to_them() {
    const PER_HOST: usize = 3;
    let hosts = Hosts::serve("trouble", PER_HOST, with_trouble).await;
    let mut urls = parsed(&hosts.urls(FILES));
    urls.push(hosts.hosts[0].url(FILES).parse().unwrap());
    let mirror = hosts.mirror(PER_HOST);
    let report = soon("the files", mirror.run(urls.clone(), pending::<()>())).await;

    assert_eq!(report.done, 3 * FILES as usize);
    let [(url, failure)] = &report.failed[..] else { panic!("{:?}", report.failed) };
    assert_eq!(url.as_str(), hosts.hosts[0].url(FILES));
    assert!(failure.to_string().contains("404"), "{failure}");
    assert_eq!(hosts.hosts[0].starts(FILES).len(), 1, "what is not there is not asked for again");
    assert!(report.stopped.is_none());

    for host in &hosts.hosts {
        assert_eq!(host.peak.load(SeqCst), PER_HOST);
        for file in 0..FILES {
            assert!(host.is_right(file));
            // It goes on from the last byte that came.
            let length = host.content(file).len();
            let second = length / 2 - 1;
            let third = second.midpoint(length) - 1;
            let expected = match file % 4 {
                0 => vec![0],
                1 => vec![0, 0],
                2 => vec![0, second],
                _ => vec![0, second, third],
            };
            assert_eq!(host.starts(file), expected);
        }
    }

    // What is there is not asked for again.
    let report = soon("nothing", mirror.run(urls, pending::<()>())).await;
    assert_eq!((report.done, report.failed.len()), (3 * FILES as usize, 1));
    assert!(hosts.hosts.iter().all(|host| host.starts(0).len() == 1));
    assert_eq!(hosts.files(), 3 * FILES as usize, "no parts are left");
}

/// How many downloads the program has at once from a host.
const PER_HOST: usize = 4;

/// Runs the program until it ends, or until `stop` is ready and it is interrupted.
async fn run(list: &Path, folder: &Path, stop: impl Future<Output = ()>) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_mirror"));
    program.arg(list).arg(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = program.spawn().unwrap();
    let id = program.id();
    let mut ended = spawn_blocking(|| program.wait_with_output().unwrap());
    tokio::select! {
        output = &mut ended => return output.unwrap(),
        () = stop => {}
    }
    let kill = format!("kill -INT {id}");
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    ended.await.unwrap()
}

#[tokio::test]
async fn what_an_interrupt_breaks_off_is_resumed_by_the_next_run() {
    let hosts = Hosts::serve("interrupt", PER_HOST, |_, _| Answer::Hanging).await;
    let list = hosts.folder.with_file_name("list");
    let mut text = String::new();
    hosts.urls(6).iter().for_each(|url| writeln!(text, "{url}").unwrap());
    fs::write(&list, text).unwrap();

    // The first files of each host are half there.
    let half = |host: &Host, file| host.content(file).len() / 2;
    let half_there = async {
        for host in &hosts.hosts {
            for file in 0..PER_HOST as u32 {
                has_bytes(&host.part(file), half(host, file)).await;
            }
        }
    };
    let output = soon("the interrupt", run(&list, &hosts.folder, half_there)).await;
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("stopped; 12 downloads have begun"), "{printed}");
    let all_have_left = async {
        while hosts.hosts.iter().any(|host| host.running.load(SeqCst) > 0) {
            yield_now().await;
        }
    };
    soon("the end of connections", all_have_left).await;
    assert_eq!(hosts.files(), 3 * 2 * PER_HOST, "parts, and their versions");

    // One file is another by now.
    hosts.hosts[1].version.store(1, SeqCst);
    for host in &hosts.hosts {
        *host.answers.lock().unwrap() = |_, _| Answer::Whole;
    }
    let output = soon("the files", run(&list, &hosts.folder, pending())).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "18 files are complete\n");
    for (n, host) in hosts.hosts.iter().enumerate() {
        assert_eq!(host.peak.load(SeqCst), PER_HOST);
        for file in 0..6 {
            assert!(host.is_right(file));
            let expected = match file {
                0 if n == 1 => vec![0, 0],
                0..4 => vec![0, half(host, file) - 1],
                _ => vec![0],
            };
            assert_eq!(host.starts(file), expected, "file {file} of host {n}");
        }
    }
    assert_eq!(hosts.files(), 18);
}
