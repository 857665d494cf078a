//! Messages that are not as AMQP says, which the broker takes all the same.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use flowlet::Flow;
use flowlet_amqp::{Queue, Worker};
use futures_lite::future::block_on;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::failures::until_ready;
use crate::frames::Frame;
use crate::raw::Raw;
use crate::server::Server;

/// Publishes messages byte by byte: each with its flags and its properties as they are sent.
fn publish(server: &Server, queue: &str, messages: &[(u16, Vec<u8>)]) {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    socket.write_all(b"AMQP\0\0\x09\x01").unwrap();
    let start = [&[0, 10, 0, 11, 0, 0, 0, 0][..], &short(b"PLAIN"), &long(b"\0guest\0guest")];
    let tuned = [&[0, 10, 0, 31, 0, 1][..], &131_072_u32.to_be_bytes(), &[0, 0]];
    let close = [0, 20, 0, 40, 0, 200, 0, 0, 0, 0, 0];
    // What we say, and whether an answer comes, the first of which is the broker's own beginning.
    Frame::read(&mut socket).unwrap();
    for (channel, method, is_answered) in [
        (0, [&start.concat()[..], &short(b"en_US")].concat(), true),
        (0, tuned.concat(), false),
        (0, [&[0, 10, 0, 40][..], &short(b"/"), &[0, 0]].concat(), true),
        (1, [0, 20, 0, 10, 0].to_vec(), true),
    ] {
        Frame::method(channel, &method).write(&mut socket).unwrap();
        if is_answered {
            Frame::read(&mut socket).unwrap();
        }
    }
    for (flags, properties) in messages {
        let publish = [&[0, 60, 0, 40, 0, 0, 0][..], &short(queue.as_bytes()), &[0]].concat();
        let header = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &flags.to_be_bytes(), properties];
        Frame::method(1, &publish).write(&mut socket).unwrap();
        Frame::header(1, &header.concat()).write(&mut socket).unwrap();
        Frame::body(1, b"7").write(&mut socket).unwrap();
    }
    // The channel is closed when all that was said on it is done.
    Frame::method(1, &close).write(&mut socket).unwrap();
    Frame::read(&mut socket).unwrap();
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A type, an id, and the name of a header, none of them UTF-8; and headers nested so deep that to read
/// them would take more stack than there is.
fn odd_messages() -> [(u16, Vec<u8>); 4] {
    let header = |name: &[u8], value: &[u8]| long(&[&short(name)[..], value].concat());
    let nested =
        (0..2000).fold(header(b"n", b"V"), |inner, _| header(b"n", &[b"F", &inner[..]].concat()));
    [
        (1 << 5, short(b"caf\xE9")),
        (1 << 7, short(b"\xFF\xFE")),
        (1 << 13, header(b"n\xC3", b"t\x01")),
        (1 << 13, nested),
    ]
}

/// The queue is of the kind that has no delivery limit, so that what ends a connection once would do so
/// for ever.
pub(crate) fn messages_that_are_not_utf_8_are_jobs_like_others(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    for queue in ["odd-classic", "odd-classic.dead"] {
        block_on(raw.channel.queue_declare(queue, durable, FieldTable::default())).unwrap();
    }
    for (name, jobs) in
        [("odd-classic", Queue::existing("odd-classic")), ("odd-quorum", Queue::new("odd-quorum"))]
    {
        let outputs = format!("{name}-outputs");
        let worker = Worker::builder(server.url(), jobs).output(outputs.as_str()).build().unwrap();
        block_on(worker.declare()).unwrap();
        raw.put(name, (0..20).map(|n: u32| n.to_string().into_bytes()));
        publish(server, name, &odd_messages());
        raw.put(name, (20..40).map(|n: u32| n.to_string().into_bytes()));
        let stop = until_ready(server.url(), outputs.leak(), 44);
        let summary = block_on(worker.run(&Flow::<u32>::identity(), stop)).unwrap();
        assert_eq!((summary.done, summary.rejected, summary.lost), (44, 0, 0));
    }
}

/// A header is larger than the frames that we said we take, and so ends the connection: the broker sends
/// it all the same. Its neighbours do not pay for it.
pub(crate) fn a_message_that_ends_its_connection_goes_alone(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let url = format!("{}?frame_max=8192", server.url());
    let queue = || Queue::new("ends").delivery_limit(4);
    let worker = Worker::builder(url, queue()).output("ends-outputs").build().unwrap();
    block_on(worker.declare()).unwrap();
    let mut headers = FieldTable::default();
    headers.insert("large".into(), AMQPValue::LongString("x".repeat(20_000).into()));
    let properties = BasicProperties::default().with_headers(headers);
    raw.put("ends", (0..40).map(|n: u32| n.to_string().into_bytes()));
    let options = BasicPublishOptions::default();
    block_on(async {
        let sent = raw.channel.basic_publish("", "ends", options, b"7", properties).await.unwrap();
        assert!(sent.await.unwrap().is_ack());
    });
    raw.put("ends", (40..80).map(|n: u32| n.to_string().into_bytes()));
    let stop = async {
        until_ready(server.url(), "ends.dead", 1).await;
        while server.messages("ends") > 0 {
            async_io::Timer::after(Duration::from_millis(50)).await;
        }
    };
    let summary = block_on(worker.run(&Flow::<u32>::identity(), stop)).unwrap();
    println!("  {summary}");
    let outputs = raw.take_all("ends-outputs").into_iter().map(|output| output.data);
    assert_eq!(outputs.collect::<BTreeSet<_>>().len(), 80);
    assert_eq!((summary.rejected, raw.ready("ends.dead")), (0, 1));
}
