//! A PostgreSQL server of the tests' own, which listens only on a socket in its folder.
//!
//! It is the one of Debian's package, or else the one in the path. All tests that run share it, and each has a database
//! of its own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::{env, fs, process, thread};

use cookbook::etl::connect;
use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::until;

/// Runs a server until the standard input is closed, in the current folder, which it removes.
const RUN: &str = "
    $AS initdb -D data -U postgres -A trust -E UTF8 --no-locale --no-sync >log 2>&1
    $AS postgres -D data -k \"$PWD\" -c listen_addresses= -c max_connections=200 \
        -c fsync=off -c full_page_writes=off >>log 2>&1 &
    read -r _
    kill -QUIT $!
    wait
    exec rm -rf -- \"$PWD\"";

/// For root, by which PostgreSQL refuses to be run. The package made the user.
const AS: &str = "setpriv --reuid postgres --regid postgres --clear-groups --";

/// Numbers for what needs a name.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// An empty database, and a connection to it.
pub(crate) struct Database {
    pub(crate) client: Client,

    /// How to connect to it.
    pub(crate) config: String,
    pub(crate) server: Arc<Server>,
    pub(crate) name: String,
}

impl Database {
    pub(crate) async fn new(schema: &str) -> Self {
        let server = Server::running().await;
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let first = connect(&server.config("postgres")).await.unwrap();
        first.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let config = server.config(&name);
        let client = connect(&config).await.unwrap();
        client.batch_execute(schema).await.unwrap();
        Self { client, config, server, name }
    }

    /// Executes statements.
    pub(crate) async fn execute(&self, statements: &str) {
        self.client.batch_execute(statements).await.unwrap();
    }

    /// Asks for a number.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Counts the other sessions of this database for which a condition holds.
    pub(crate) async fn sessions(&self, condition: &str) -> i64 {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND {condition}"
        );
        self.number(&query).await
    }

    /// Waits until no other session does anything.
    pub(crate) async fn is_at_rest(&self) {
        until("rest", async || self.sessions("state <> 'idle'").await == 0).await;
    }
}

/// A running server. It is gone, and its folder too, when this is dropped or the program ends, however it ends.
pub(crate) struct Server {
    folder: PathBuf,
    shell: Child,
}

impl Server {
    /// Returns the one that other tests use, or starts it.
    async fn running() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
        let mut running = RUNNING.lock().await;
        if let Some(server) = running.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *running = Arc::downgrade(&server);
        let config = server.config("postgres");
        until("the server", async || connect(&config).await.is_ok()).await;
        server
    }

    fn start() -> Self {
        let path =
            path().expect("on Debian, `apt-get install -y --no-install-recommends postgresql`");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("cookbook-postgres-{}-{number}", process::id()));
        let mut shell = Command::new("sh");
        shell.args(["-c", RUN]).env("PATH", path).env("AS", "");
        fs::create_dir(&folder).unwrap();
        if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
            shell.env("AS", AS);
            let owned = Command::new("chown").arg("postgres").arg(&folder).status().unwrap();
            assert!(owned.success());
        }
        // Not in our process group, as a Ctrl-C must not end it before it has cleared up.
        let shell = shell.current_dir(&folder).process_group(0).stdin(Stdio::piped()).spawn();
        Self { folder, shell: shell.unwrap() }
    }

    /// Returns how to connect to a database of it.
    fn config(&self, database: &str) -> String {
        format!("host={} user=postgres dbname={database}", self.folder.display())
    }

    /// The socket that it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
        }
        drop(self.shell.stdin.take());
        self.shell.wait().unwrap();
        assert!(!self.folder.exists() || thread::panicking(), "{} is left", self.folder.display());
    }
}

/// Returns the path, with PostgreSQL in it.
fn path() -> Option<OsString> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort_unstable();
    folders.reverse();
    folders.extend(env::split_paths(&env::var_os("PATH")?));
    folders
        .iter()
        .any(|folder| folder.join("initdb").exists())
        .then(|| env::join_paths(folders))?
        .ok()
}
