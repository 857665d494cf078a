//! A RabbitMQ server of the tests' own, on loopback only.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use crate::wait::until;

const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
const USER: &str = "rabbitmq";

/// The largest message that it takes, in bytes.
pub(crate) const LARGEST: usize = 1_000_000;

/// Returns whether there is a server to start.
pub(crate) fn is_installed() -> bool {
    Path::new(PROGRAMS).join("rabbitmq-server").exists()
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

impl Server {
    pub(crate) fn start() -> Self {
        let folder = env::temp_dir().join(format!("flowlet-amqp-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let [port, names_port, node_port] = free_ports();
        let config = format!(
            "listeners.tcp.local = 127.0.0.1:{port}\n\
             log.file.level = warning\n\
             disk_free_limit.absolute = 50MB\n\
             max_message_size = {LARGEST}\n"
        );
        fs::write(folder.join("rabbitmq.conf"), config).unwrap();
        fs::write(folder.join("environment"), "").unwrap();
        fs::write(folder.join("plugins"), "[].\n").unwrap();
        if is_root() {
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
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
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
        let log = || fs::read_to_string(self.folder.join("log/server.log")).unwrap_or_default();
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
        let output = self.program("rabbitmqctl").arg("--quiet").args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// How many messages a queue has, those that are given out included.
    pub(crate) fn messages(&self, queue: &str) -> u64 {
        let queues = self.control(&["list_queues", "--no-table-headers", "name", "messages"]);
        let of_queue = queues.lines().find_map(|line| {
            let (name, messages) = line.split_once('\t')?;
            (name == queue).then(|| messages.trim().parse().unwrap())
        });
        of_queue.unwrap_or_else(|| panic!("no queue {queue} in {queues:?}"))
    }

    fn program(&self, name: &str) -> Command {
        let mut command = as_user(Path::new(PROGRAMS).join(name).to_str().unwrap());
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
            // Loopback only; counts of messages that are not older than this many milliseconds; no
            // spinning on cores that the tests need.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} -rabbit quorum_tick_interval 100 \
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

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// As the user that the package made for the server, if we may.
fn as_user(program: &str) -> Command {
    if !is_root() {
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
