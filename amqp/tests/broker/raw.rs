//! The broker as others use it: the client library, and nothing of ours.

use std::collections::BTreeMap;
use std::iter;

use flowlet_amqp::Runtime;
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};

use crate::job::{Done, Job};
use crate::wait::until;

pub(crate) struct Raw {
    _connection: Connection,
    pub(crate) channel: Channel,
}

impl Raw {
    /// Connects, as soon as the broker takes connections.
    pub(crate) fn connect(url: &str) -> Self {
        let mut raw = None;
        until(
            || "a connection",
            || {
                raw = block_on(Self::try_connect(url)).ok();
                raw.is_some()
            },
        );
        raw.expect("it was waited for")
    }

    async fn try_connect(url: &str) -> lapin::Result<Self> {
        let properties = ConnectionProperties::default()
            .with_executor(Runtime::own_thread())
            .with_reactor(async_reactor_trait::AsyncIo);
        let connection = Connection::connect(url, properties).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { _connection: connection, channel })
    }

    /// Puts messages into a queue, with their numbers as ids. A broker that is busy may refuse them for
    /// a while.
    pub(crate) fn put(&self, queue: &str, messages: impl IntoIterator<Item = Vec<u8>>) {
        let mut left: Vec<_> = iter::zip(0_u64.., messages).collect();
        let put = || {
            left = block_on(self.refused(queue, std::mem::take(&mut left)));
            left.is_empty()
        };
        until(|| format!("messages in {queue}"), put);
    }

    /// Publishes messages once, and returns those that were refused.
    async fn refused(&self, queue: &str, messages: Vec<(u64, Vec<u8>)>) -> Vec<(u64, Vec<u8>)> {
        let mut confirms = Vec::new();
        for (number, message) in messages {
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_message_id(format!("{number}").into());
            let options = BasicPublishOptions::default();
            let confirm = self.channel.basic_publish("", queue, options, &message, properties);
            confirms.push((confirm.await.unwrap(), number, message));
        }
        let mut refused = Vec::new();
        for (confirm, number, message) in confirms {
            if !confirm.await.unwrap().is_ack() {
                refused.push((number, message));
            }
        }
        refused
    }

    pub(crate) fn put_jobs(&self, queue: &str, jobs: impl IntoIterator<Item = Job>) {
        self.put(queue, jobs.into_iter().map(|job| serde_json::to_vec(&job).unwrap()));
    }

    /// Declares a quorum queue with more arguments.
    pub(crate) fn declare(&self, queue: &str, arguments: &[(&str, AMQPValue)]) {
        let mut table = FieldTable::default();
        table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        block_on(self.channel.queue_declare(queue, options, table)).unwrap();
    }

    /// Declares an exchange that passes each message on to all its queues.
    pub(crate) fn exchange(&self, name: &str) {
        let (options, none) = (ExchangeDeclareOptions::default(), FieldTable::default());
        let declared = self.channel.exchange_declare(name, ExchangeKind::Fanout, options, none);
        block_on(declared).unwrap();
    }

    pub(crate) fn bind(&self, queue: &str, exchange: &str) {
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        block_on(self.channel.queue_bind(queue, exchange, "", options, none)).unwrap();
    }

    pub(crate) fn delete(&self, queue: &str) {
        block_on(self.channel.queue_delete(queue, QueueDeleteOptions::default())).unwrap();
    }

    /// How many messages a queue has to give.
    pub(crate) fn ready(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = self.channel.queue_declare(queue, options, FieldTable::default());
        block_on(declared).unwrap().message_count()
    }

    /// Waits until a queue has at least so many messages to give.
    pub(crate) fn until_ready(&self, queue: &str, messages: u32) {
        let what = || format!("{messages} messages in {queue}, of which {}", self.ready(queue));
        until(what, || self.ready(queue) >= messages);
    }

    /// Takes all messages that a queue has to give, and what comes meanwhile.
    pub(crate) fn take_all(&self, queue: &str) -> Vec<lapin::message::Delivery> {
        let count = self.ready(queue) as usize;
        if count == 0 {
            return Vec::new();
        }
        block_on(async {
            let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
            let tag = format!("take-{queue}");
            let consumer = self.channel.basic_consume(queue, &tag, options, FieldTable::default());
            let mut consumer = consumer.await.unwrap();
            let mut taken = Vec::new();
            while taken.len() < count {
                taken.push(consumer.next().await.unwrap().unwrap());
            }
            self.channel.basic_cancel(&tag, Default::default()).await.unwrap();
            // No answer is asked for, so whatever has come is the queue's no longer.
            while let Some(message) = consumer.next().await {
                taken.push(message.unwrap());
            }
            taken
        })
    }

    /// Takes all outputs, and counts how often each job's is there.
    pub(crate) fn take_outputs(&self, queue: &str) -> BTreeMap<u64, usize> {
        let mut outputs = BTreeMap::new();
        for message in self.take_all(queue) {
            let Done { id } = serde_json::from_slice(&message.data).unwrap();
            *outputs.entry(id).or_default() += 1;
        }
        outputs
    }
}

/// A header of a message, as text.
pub(crate) fn header(message: &lapin::message::Delivery, name: &str) -> String {
    let headers = message.properties.headers().as_ref().expect("it has headers");
    match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name} is {other:?}"),
    }
}
