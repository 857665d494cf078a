//! Between workers and broker: sees all that they say, and can hold it back, or cut it off.
//!
//! Jobs and outputs are told by the `id` in their JSON.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use crate::frames::{Frame, What};
use crate::server;

/// Listens on a port of its own, until it is dropped.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    broker_port: u16,
    state: Mutex<State>,
    changed: Condvar,
}

/// What was said, and what may be.
pub(crate) struct State {
    /// How often the broker said of a job that an output of it is safe, whether that was passed on or
    /// not.
    pub(crate) confirmed: BTreeMap<u64, usize>,
    /// Of these, what was passed on.
    told: BTreeMap<u64, usize>,
    /// How often a worker said that a job is done, and that was passed on.
    pub(crate) acked: BTreeMap<u64, usize>,
    /// The jobs of which a worker said so when it had not been told that all outputs are safe.
    pub(crate) early: Vec<u64>,
    /// How many consumers were cancelled.
    pub(crate) cancelled: usize,
    /// How many connections had to wait.
    pub(crate) waiting: usize,
    /// How many connections the broker did not take.
    pub(crate) refused: usize,

    /// How many outputs a job has.
    outputs: usize,
    /// How many more confirms may pass; `None` for all.
    permits: Option<usize>,
    /// Where the next connections are cut, and how many are.
    cut: Option<Cut>,
    /// Whether new connections wait.
    is_shut: bool,
    is_over: bool,
    /// Both ends of each connection.
    open: BTreeMap<usize, [TcpStream; 2]>,
}

/// Where a connection is cut, once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// When a confirm comes, which does not arrive any more.
    BeforeConfirm { all: bool },
    /// When an ack comes, which does not arrive any more.
    BeforeAck { all: bool },
}

impl Proxy {
    /// For a broker on this port, and jobs that have so many outputs each.
    pub(crate) fn start(broker_port: u16, outputs: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            confirmed: BTreeMap::new(),
            told: BTreeMap::new(),
            acked: BTreeMap::new(),
            early: Vec::new(),
            cancelled: 0,
            waiting: 0,
            refused: 0,
            outputs,
            permits: None,
            cut: None,
            is_shut: false,
            is_over: false,
            open: BTreeMap::new(),
        };
        let state = Mutex::new(state);
        let shared = Arc::new(Shared { broker_port, state, changed: Condvar::new() });
        let listener = thread::spawn({
            let shared = shared.clone();
            move || {
                for (number, client) in listener.incoming().enumerate() {
                    let shared = shared.clone();
                    if shared.state().is_over {
                        return;
                    }
                    thread::spawn(move || shared.serve(number, client.unwrap()));
                }
            }
        });
        Self { port, shared, listener: Some(listener) }
    }

    pub(crate) fn url(&self) -> String {
        server::url(self.port)
    }

    /// Looks at what was said.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.shared.state())
    }

    /// How many connections go through it.
    pub(crate) fn connections(&self) -> usize {
        self.look(|state| state.open.len())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state());
        self.shared.changed.notify_all();
    }

    /// Lets so many confirms pass, and no more.
    pub(crate) fn permit(&self, confirms: usize) {
        self.change(|state| state.permits = Some(confirms));
    }

    /// Lets all confirms pass.
    pub(crate) fn permit_all(&self) {
        self.change(|state| state.permits = None);
    }

    pub(crate) fn cut(&self, cut: Cut) {
        self.change(|state| state.cut = Some(cut));
    }

    /// Whether what was to be cut is.
    pub(crate) fn has_cut(&self) -> bool {
        self.look(|state| state.cut.is_none())
    }

    /// Has new connections wait, or go on.
    pub(crate) fn shut(&self, is_shut: bool) {
        self.change(|state| state.is_shut = is_shut);
    }

    /// Cuts all connections, and has new ones wait.
    pub(crate) fn cut_off(&self) {
        self.change(|state| {
            state.is_shut = true;
            state.cut_all();
        });
    }

    /// No job was said to be done too early.
    pub(crate) fn check(&self) {
        let (count, first) = self.look(|state| (state.early.len(), state.early.first().copied()));
        assert_eq!(
            count, 0,
            "acked before their outputs were confirmed, of which the first {first:?}"
        );
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|state| {
            state.is_over = true;
            state.cut_all();
        });
        // It waits for one more.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        self.listener.take().unwrap().join().unwrap();
    }
}

impl State {
    fn cut_all(&mut self) {
        self.open.values().flatten().for_each(cut);
    }
}

/// It may be cut already.
fn cut(stream: &TcpStream) {
    drop(stream.shutdown(Shutdown::Both));
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits for something, or for the end, which is `None`.
    fn wait_for<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.state();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(seen) = look(&mut state) {
                return Some(seen);
            }
            state = self.changed.wait(state).unwrap();
        }
    }

    /// Serves a connection until either end closes it.
    fn serve(self: Arc<Self>, number: usize, client: TcpStream) {
        {
            let mut state = self.state();
            state.waiting += usize::from(state.is_shut);
        }
        if self.wait_for(|state| (!state.is_shut).then_some(())).is_none() {
            return;
        }
        let Ok(broker) = TcpStream::connect(("127.0.0.1", self.broker_port)) else {
            self.state().refused += 1;
            return;
        };
        for stream in [&client, &broker] {
            stream.set_nodelay(true).unwrap();
        }
        let ends = || [client.try_clone().unwrap(), broker.try_clone().unwrap()];
        self.state().open.insert(number, ends());
        let said = Mutex::new(Said::default());
        // What fails is the connection, which is the other's business.
        thread::scope(|scope| {
            scope.spawn(|| {
                drop(self.pass_on(number, ends(), Side::Client, &said));
                ends().iter().for_each(cut);
            });
            let [client, broker] = ends();
            drop(self.pass_on(number, [broker, client], Side::Broker, &said));
            ends().iter().for_each(cut);
        });
        self.state().open.remove(&number);
    }

    /// Passes on what one side says to the other.
    fn pass_on(
        &self,
        number: usize,
        [from, mut to]: [TcpStream; 2],
        side: Side,
        said: &Mutex<Said>,
    ) -> io::Result<()> {
        let mut from = io::BufReader::new(from);
        if side == Side::Client {
            let mut greeting = [0; 8];
            from.read_exact(&mut greeting)?;
            to.write_all(&greeting)?;
        }
        let mut message = Message::default();
        loop {
            let frame = Frame::read(&mut from)?;
            let what = frame.what();
            if let Some(id) = message.next(&what, &frame) {
                said.lock().unwrap().message(side, message.tag, id);
            }
            match what {
                What::Ack { tag, multiple } => {
                    let ids = said.lock().unwrap().answered(side, tag, multiple);
                    for (tag, id) in ids {
                        if !self.may_pass(number, side, id) {
                            return Ok(());
                        }
                        Frame::ack(frame.channel, tag).write(&mut to)?;
                    }
                }
                _ => {
                    if what == What::Cancel {
                        self.state().cancelled += 1;
                    }
                    frame.write(&mut to)?;
                }
            }
        }
    }

    /// Notes the answer to a message, and waits until it may be passed on; or cuts the connection.
    fn may_pass(&self, number: usize, side: Side, id: u64) -> bool {
        if side == Side::Broker {
            *self.state().confirmed.entry(id).or_default() += 1;
        }
        let passes = self.wait_for(|state| {
            let (cuts, all) = match (state.cut, side) {
                (Some(Cut::BeforeConfirm { all }), Side::Broker) => (true, all),
                (Some(Cut::BeforeAck { all }), Side::Client) => (true, all),
                _ => (false, false),
            };
            if cuts {
                state.cut = None;
                match all {
                    true => state.cut_all(),
                    false => state.open[&number].iter().for_each(cut),
                }
                return Some(false);
            }
            if side == Side::Client {
                if state.told.get(&id).is_none_or(|told| *told < state.outputs) {
                    state.early.push(id);
                }
                *state.acked.entry(id).or_default() += 1;
                return Some(true);
            }
            match &mut state.permits {
                Some(0) => return None,
                Some(permits) => *permits -= 1,
                None => {}
            }
            *state.told.entry(id).or_default() += 1;
            Some(true)
        });
        passes == Some(true)
    }
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Client,
    Broker,
}

/// What was said on one connection, which has one channel.
#[derive(Default)]
struct Said {
    /// How many messages were published.
    published: u64,
    /// Messages that were published and are not confirmed, by their tags.
    unconfirmed: BTreeMap<u64, u64>,
    /// Messages that were delivered and are not acked.
    unacked: BTreeMap<u64, u64>,
}

impl Said {
    fn message(&mut self, side: Side, tag: u64, id: u64) {
        match side {
            Side::Client => {
                self.published += 1;
                self.unconfirmed.insert(self.published, id);
            }
            Side::Broker => drop(self.unacked.insert(tag, id)),
        }
    }

    /// The messages that an ack of this side answers.
    fn answered(&mut self, side: Side, tag: u64, multiple: bool) -> BTreeMap<u64, u64> {
        let messages = match side {
            Side::Client => &mut self.unacked,
            Side::Broker => &mut self.unconfirmed,
        };
        if !multiple {
            return messages.remove(&tag).map(|id| (tag, id)).into_iter().collect();
        }
        let later = messages.split_off(&(tag + 1));
        std::mem::replace(messages, later)
    }
}

/// A message in the making, of several frames.
#[derive(Default)]
struct Message {
    tag: u64,
    /// How much is still to come; `None` if none does.
    left: Option<u64>,
    body: Vec<u8>,
}

impl Message {
    /// Takes the next frame, and returns the message's id if it is the last.
    fn next(&mut self, what: &What, frame: &Frame) -> Option<u64> {
        match what {
            What::Publish => *self = Self::default(),
            What::Deliver { tag } => *self = Self { tag: *tag, ..Self::default() },
            What::Header { size } => self.left = Some(*size),
            What::Body => {
                self.body.extend(frame.payload());
                let part = frame.payload().len() as u64;
                self.left = self.left.map(|left| left - part);
            }
            _ => return None,
        }
        if self.left != Some(0) {
            return None;
        }
        self.left = None;
        #[derive(serde::Deserialize)]
        struct HasId {
            id: u64,
        }
        let HasId { id } = serde_json::from_slice(&self.body).expect("it has an id");
        Some(id)
    }
}
