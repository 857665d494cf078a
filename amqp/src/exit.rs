//! Where the outputs of a worker or publisher go: to one queue, or each where it says.

use crate::Error;
use crate::connector::Connector;
use crate::link::Link;
use crate::message::Message;
use crate::outlet::Outlet;
use crate::queue::Target;

pub(crate) struct Exit {
    /// For messages without a route. Without one, they are dropped.
    queue: Option<Outlet>,
    /// For messages with one.
    routes: Outlet,
}

impl Exit {
    pub(crate) fn new(connector: &Connector, queue: Option<Target>) -> Self {
        let none = Target { name: String::new(), exchange: String::new(), arguments: None };
        Self {
            queue: queue.map(|target| Outlet::new(connector.clone(), target)),
            routes: Outlet::new(connector.clone(), none),
        }
    }

    /// Finds out whether the queue is as it should be.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        match &self.queue {
            Some(queue) => queue.link().await.map(drop),
            None => Ok(()),
        }
    }

    /// Publishes as [`Outlet::publish`] does.
    pub(crate) async fn publish(
        &self,
        message: &Message,
        job: Option<&Link>,
    ) -> Result<bool, Error> {
        match (&message.route, &self.queue) {
            (None, Some(queue)) => queue.publish(message, job).await,
            (None, None) => Ok(true),
            (Some(_), _) => self.routes.publish(message, job).await,
        }
    }

    pub(crate) async fn close(&self) {
        if let Some(queue) = &self.queue {
            queue.close().await;
        }
        self.routes.close().await;
    }
}
