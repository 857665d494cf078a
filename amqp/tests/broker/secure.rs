//! Connections by TLS.

use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use flowlet::Flow;
use flowlet::prelude::*;
use flowlet_amqp::{Broker, Error, Publisher, Worker};
use futures_lite::future::block_on;

use crate::server::{Identity, Server};

/// An authority by this name, and what it vouches for: a server at `localhost`.
fn authority(name: &str) -> (String, Identity) {
    let folder = env::temp_dir().join(format!("flowlet-amqp-{}-{name}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let make = |arguments: &str| {
        let made = Command::new("openssl")
            .current_dir(&folder)
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(' '))
            .args(["-days", "2"])
            .args(arguments.split(' '))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    make(&format!("-subj /CN={name} -keyout authority.key -out authority.pem"));
    make(
        "-subj /CN=localhost -keyout server.key -out server.pem -CA authority.pem -CAkey authority.key \
         -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE",
    );
    let read = |file| fs::read_to_string(folder.join(file)).unwrap();
    let identity = Identity { certificate: read("server.pem"), key: read("server.key") };
    let authority = read("authority.pem");
    fs::remove_dir_all(folder).unwrap();
    (authority, identity)
}

pub(crate) fn a_broker_is_trusted_by_its_authority_alone() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("  SKIPPED: it needs the command openssl, and there is none");
        return;
    }
    let (ours, identity) = authority("ours");
    let server = Server::start_secure(&identity);
    let broker = |host: &str| {
        let url = format!("amqps://guest:guest@{host}:{}/%2f", server.port());
        Broker::new(url).give_up_after(Duration::from_secs(60))
    };

    let publisher = Publisher::new(broker("localhost").ca_certificates(ours.as_str())).unwrap();
    let published = pipe(0..100).through(publisher.publish(10, "secure-jobs"));
    assert_eq!(block_on(published).unwrap(), 100);
    let worker = Worker::builder(broker("localhost").ca_certificates(ours.as_str()), "secure-jobs");
    let worker = worker.concurrency(100).build().unwrap();
    let (sender, stop) = async_channel::bounded::<()>(1);
    let flow = Flow::<u32>::identity().inspect(move |n| {
        if *n == 99 {
            sender.close();
        }
    });
    let summary = block_on(worker.run(&flow, async move { stop.recv().await })).unwrap();
    assert!(summary.done > 0 && summary.rejected + summary.lost == 0, "{summary}");

    let refusal = |broker: Broker| {
        let error = block_on(Worker::builder(broker, "secure-jobs").build().unwrap().declare());
        error.unwrap_err()
    };
    // Nobody we know vouches for it; another does; ours does, but for another host.
    let (others, _) = authority("others");
    for (broker, reason) in [
        (broker("localhost"), "UnknownIssuer"),
        (broker("localhost").ca_certificates(others), "UnknownIssuer"),
        (broker("127.0.0.1").ca_certificates(ours), "not valid for name"),
    ] {
        let error = refusal(broker);
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}
