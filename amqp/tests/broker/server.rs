//! A RabbitMQ server of the tests' own, on loopback only.
//!
//! It is the one that Debian's package has, or the program that `FLOWLET_RABBITMQ_SERVER` names, with
//! `rabbitmqctl` beside it.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use crate::wait::until;

const PACKAGED: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// The user that the package made for it.
const USER: &str = "rabbitmq";

/// The variable that names another program.
const NAMED: &str = "FLOWLET_RABBITMQ_SERVER";

/// The largest message that it takes, in bytes.
pub(crate) const LARGEST: usize = 1_000_000;

/// The program that is the server.
fn program() -> PathBuf {
    env::var_os(NAMED).unwrap_or_else(|| PACKAGED.into()).into()
}

/// Returns whether there is a server to start. One that is named must be there.
pub(crate) fn is_installed() -> bool {
    let is_there = program().exists();
    assert!(is_there || env::var_os(NAMED).is_none(), "{NAMED}: no {}", program().display());
    is_there
}

/// A running server, with a node name, ports and a folder of its own, all gone when it is dropped.
pub(crate) struct Server {
    folder: PathBuf,
    port: u16,
    names_port: u16,
    node_port: u16,
    /// The port mapper of its Erlang node, which would be a daemon otherwise.
    names: Child,
    _names_watch: Watch,
    node: Option<(Child, Watch)>,
}

/// What a server shows to those who connect by TLS: its certificate and the key to it, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts one that takes connections by TLS only.
    pub(crate) fn start_secure(identity: &Identity) -> Self {
        Self::start_with(Some(identity))
    }

    fn start_with(identity: Option<&Identity>) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = format!("flowlet-amqp-{}-{number}", std::process::id());
        let folder = env::temp_dir().join(folder);
        fs::create_dir(&folder).unwrap();
        let [port, names_port, node_port] = free_ports();
        let listener = match identity {
            None if has_ipv6() => {
                format!("listeners.tcp.v4 = 127.0.0.1:{port}\nlisteners.tcp.v6 = ::1:{port}\n")
            }
            None => format!("listeners.tcp.v4 = 127.0.0.1:{port}\n"),
            Some(Identity { certificate, key }) => {
                let write = |name, text: &String| {
                    let file = folder.join(name);
                    fs::write(&file, text).unwrap();
                    file.display().to_string()
                };
                format!(
                    "listeners.tcp = none\n\
                     listeners.ssl.local = 127.0.0.1:{port}\n\
                     ssl_options.certfile = {}\n\
                     ssl_options.keyfile = {}\n",
                    write("certificate.pem", certificate),
                    write("key.pem", key)
                )
            }
        };
        let config = format!(
            "{listener}\
             log.file.level = warning\n\
             disk_free_limit.absolute = 50MB\n\
             max_message_size = {LARGEST}\n"
        );
        fs::write(folder.join("rabbitmq.conf"), config).unwrap();
        fs::write(folder.join("environment"), "").unwrap();
        fs::write(folder.join("plugins"), "[].\n").unwrap();
        if has_own_user() {
            let owned = Command::new("chown").args(["-R", USER]).arg(&folder).status().unwrap();
            assert!(owned.success());
        }
        let mut names = as_user("epmd");
        names.args(["-address", "127.0.0.1", "-port", &names_port.to_string()]);
        let names = quiet(names.process_group(0)).spawn().unwrap();
        let _names_watch = Watch::new(names.id().to_string());
        let mut server =
            Self { folder, port, names_port, node_port, names, _names_watch, node: None };
        server.restart();
        server
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log/server.log")).unwrap_or_default()
    }

    /// Starts it again, with all that was on its disk.
    pub(crate) fn restart(&mut self) {
        assert!(self.node.is_none(), "it runs");
        let mut node = self.program("rabbitmq-server");
        let node = quiet(node.process_group(0)).spawn().unwrap();
        // It runs below a script: the whole group goes at once.
        let watch = Watch::new(format!("-{}", node.id()));
        self.node = Some((node, watch));
        let node = &mut self.node.as_mut().unwrap().0;
        let log_file = self.folder.join("log/server.log");
        let log = || fs::read_to_string(&log_file).unwrap_or_default();
        until(
            || format!("the server: {}", log()),
            || {
                let ended = node.try_wait().unwrap();
                assert!(ended.is_none(), "the server ended: {ended:?}\n{}", log());
                TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            },
        );
    }

    /// Ends it as a power failure does.
    pub(crate) fn kill(&mut self) {
        let (mut node, watch) = self.node.take().expect("it runs");
        drop(watch);
        node.wait().unwrap();
        // That was a script, and what it ran may still be on its way out.
        let is_gone = || TcpStream::connect(("127.0.0.1", self.port)).is_err();
        until(|| "the end of the server", is_gone);
    }

    /// Runs `rabbitmqctl` and returns what it printed.
    pub(crate) fn control(&self, arguments: &[&str]) -> String {
        self.try_control(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs `rabbitmqctl` and returns what it printed, as an error if it failed.
    fn try_control(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.program("rabbitmqctl").arg("--quiet").args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stdout) + &text(&output.stderr)),
        }
    }

    /// How many messages a quorum queue has, those that are given out included.
    pub(crate) fn messages(&self, queue: &str) -> u64 {
        self.try_messages(queue).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, if the broker can tell. Asked of the queue itself: what `list_queues` says is some
    /// seconds old. To have it count more often than it does makes it crash, of 3.10 and 4.0 both.
    pub(crate) fn try_messages(&self, queue: &str) -> Result<u64, String> {
        let count = format!(
            "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)), \
             Count = fun rabbit_fifo:query_messages_total/1, \
             {{ok, {{_, Number}}, _}} = ra:leader_query(amqqueue:get_pid(Queue), Count), \
             Number."
        );
        let count = self.try_control(&["eval", &count])?;
        count.trim().parse().map_err(|_| count)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = as_user(program().with_file_name(name).to_str().unwrap());
        let file = |name| self.folder.join(name);
        command
            .current_dir(&self.folder)
            .env("HOME", &self.folder) // for the cookie
            .env("RABBITMQ_NODENAME", format!("flowlet-{}@localhost", self.port))
            .env("RABBITMQ_MNESIA_BASE", file("data"))
            .env("RABBITMQ_LOG_BASE", file("log"))
            .env("RABBITMQ_LOGS", file("log/server.log"))
            .env("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", file("environment"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins"))
            .env("RABBITMQ_DIST_PORT", self.node_port.to_string())
            .env("ERL_EPMD_PORT", self.names_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // Loopback only; no spinning on cores that the tests need.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} \
                 +sbwt none +sbwtdcpu none +sbwtdio none",
            );
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.node.is_some() {
            self.kill();
        }
        self.names.kill().unwrap();
        self.names.wait().unwrap();
        // What the node started besides ends on its own, and may still write.
        let removed = (0..100).any(|_| {
            let removed = fs::remove_dir_all(&self.folder).is_ok();
            if !removed {
                thread::sleep(Duration::from_millis(20));
            }
            removed
        });
        assert!(removed || thread::panicking(), "{} is left", self.folder.display());
    }
}

/// Kills a process, or a group, when it is dropped, or when this program ends, however that is.
struct Watch(Child);

impl Watch {
    fn new(target: String) -> Self {
        let script = "read -r _; exec kill -KILL -- \"$0\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, &target]).process_group(0);
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().unwrap())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// The address of what listens on a port of this machine.
pub(crate) fn url(port: u16) -> String {
    format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
}

/// Whether this machine has the loopback address of IPv6.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

/// Whether the server runs as the user that the package made for it: if we may, and if it is that
/// package's.
fn has_own_user() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n" && env::var_os(NAMED).is_none()
}

fn as_user(program: &str) -> Command {
    if !has_own_user() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--", program]);
    command
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// Ports that are free now.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
