//! A PostgreSQL server of the tests' own, which listens on a socket in its folder.
//!
//! It is the one of Debian's package, or what is in the path. All tests that run share it, and each has a database of
//! its own there.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::{env, process, thread};

use cookbook::etl::connect;
use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::until;

/// The user that the package made for it. It refuses to be run by root.
const USER: &str = "postgres";

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

    /// How many other sessions there are with this database that are so, by a condition.
    pub(crate) async fn sessions(&self, condition: &str) -> i64 {
        let others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        self.number(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE {others} AND {condition}"
        ))
        .await
    }

    /// Waits until nobody else does anything.
    pub(crate) async fn is_at_rest(&self) {
        until("rest", async || self.sessions("state <> 'idle'").await == 0).await;
    }
}

/// A running server, which is gone with its folder when this is dropped, or when the program ends, however that is.
pub(crate) struct Server {
    folder: PathBuf,

    /// Runs it, stops it by its process id when the standard input is closed, and removes the folder.
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
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("cookbook-postgres-{}-{number}", process::id()));
        let data = folder.join("data");
        fs::create_dir(&folder).unwrap();
        if is_root() {
            assert!(Command::new("chown").arg(USER).arg(&folder).status().unwrap().success());
        }
        let mut initdb = as_user("initdb");
        initdb.args(["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=trust"]);
        initdb.arg("--username=postgres").arg("--pgdata").arg(&data);
        let made =
            initdb.current_dir(&folder).output().expect("initdb, of Debian's package postgresql");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

        let server = as_user("postgres");
        let log = File::create(folder.join("log")).unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#""$@" & read -r _; kill -QUIT $!; wait; exec rm -rf -- "$0""#])
            .arg(&folder);
        shell
            .arg(server.get_program())
            .args(server.get_args())
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder);
        for setting in
            ["listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=50"]
        {
            shell.args(["-c", setting]);
        }
        let shell = shell.current_dir(&folder).process_group(0).stdin(Stdio::piped());
        let shell = shell.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { folder, shell }
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

/// A program of PostgreSQL: of the package's newest version, or whatever is in the path.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin").join(name));
    programs.filter(|program| program.exists()).max().unwrap_or_else(|| name.into())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

fn as_user(name: &str) -> Command {
    if !is_root() {
        return Command::new(program(name));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program(name));
    command
}
