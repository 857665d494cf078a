//! Addresses of brokers, such as `amqp://user:password@host:5672/vhost?heartbeat=10`.
//!
//! They hold a password, so nothing here quotes one: neither errors nor `Debug`.

use std::borrow::Cow;
use std::{fmt, str};

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use percent_encoding::percent_decode_str;
use url::{Host, ParseError, Url};

/// The smallest frame that the protocol allows.
const SMALLEST_FRAME: u32 = 4096;

/// The user that RabbitMQ has by default, and its password.
const GUEST: &str = "guest";

/// An address that was understood.
#[derive(Clone, PartialEq)]
pub(crate) struct Address {
    pub(crate) uri: AMQPUri,
}

impl Address {
    /// Reads an address, and says what is wrong with one that it does not understand.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains(|c: char| c.is_control()) {
            return Err("it contains a control character, such as a line break".into());
        }
        let scheme = scheme(text)?;
        let url = Url::parse(text).map_err(explained)?;
        // A `/`, `?` or `#` ends the host, so what comes after one may be the rest of a password.
        let after = [url.path(), url.query().unwrap_or("")].concat();
        if url.fragment().is_some() || after.contains('@') {
            return Err(
                "in a user name, password or vhost, `/` is written as `%2f`, `?` as `%3f`, \
                        `#` as `%23` and `@` as `%40`"
                    .into(),
            );
        }
        let uri = AMQPUri {
            authority: AMQPAuthority {
                userinfo: userinfo(&url)?,
                host: host(&url)?,
                port: match url.port() {
                    Some(0) => return Err("the port must not be 0".into()),
                    port => port.unwrap_or(scheme.default_port()),
                },
            },
            vhost: vhost(&url)?,
            query: query(&url)?,
            scheme,
        };
        Ok(Self { uri })
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }
}

/// Without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPAuthority { host, port, .. } = &self.uri.authority;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The scheme, of which no other way to write it is taken: what comes after it must be a host.
fn scheme(text: &str) -> Result<AMQPScheme, String> {
    let is = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    match (is("amqp://"), is("amqps://")) {
        (true, _) => Ok(AMQPScheme::AMQP),
        (_, true) => Ok(AMQPScheme::AMQPS),
        _ => Err("it must begin with amqp:// or amqps://".into()),
    }
}

/// What the parser says, which quotes nothing.
fn explained(error: ParseError) -> String {
    match error {
        ParseError::EmptyHost => "it names no host".into(),
        ParseError::InvalidPort => {
            "the port is not a number up to 65535; in a password, `/` is written as `%2f`, `?` as \
             `%3f` and `#` as `%23`; an IPv6 address is written in brackets"
                .into()
        }
        error => error.to_string(),
    }
}

fn decoded<'a>(what: &str, text: &'a str) -> Result<Cow<'a, str>, String> {
    percent_decode_str(text).decode_utf8().map_err(|_| format!("{what} is not UTF-8"))
}

fn userinfo(url: &Url) -> Result<AMQPUserInfo, String> {
    let (username, password) = match (url.username(), url.password()) {
        ("", None) => (GUEST, GUEST),
        ("", Some(_)) => return Err("there is a password, but no user name".into()),
        (_, None) => return Err("there is a user name, but no password".into()),
        (username, Some(password)) => (username, password),
    };
    Ok(AMQPUserInfo {
        username: decoded("the user name", username)?.into(),
        password: decoded("the password", password)?.into(),
    })
}

/// The host, without the brackets of an IPv6 address.
fn host(url: &Url) -> Result<String, String> {
    match url.host() {
        None | Some(Host::Domain("")) => Err("it names no host".into()),
        Some(Host::Domain(name)) => Ok(decoded("the host", name)?.into()),
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
    }
}

/// The vhost, which is `/` if none is named.
fn vhost(url: &Url) -> Result<String, String> {
    match url.path().strip_prefix('/') {
        None => Ok("/".into()),
        Some("") => {
            Err("it ends in a slash, and so names a vhost without a name: leave it out, or \
                         write `/%2f`, for the vhost `/`"
                .into())
        }
        Some(vhost) => Ok(decoded("the vhost", vhost)?.into()),
    }
}

fn query(url: &Url) -> Result<AMQPQueryString, String> {
    let mut query = AMQPQueryString::default();
    for (name, value) in url.query_pairs() {
        match &*name {
            "heartbeat" => query.heartbeat = Some(number(&name, &value, 0)?),
            "frame_max" => query.frame_max = Some(number(&name, &value, SMALLEST_FRAME)?),
            "channel_max" => query.channel_max = Some(number(&name, &value, 1)?),
            "connection_timeout" => query.connection_timeout = Some(number(&name, &value, 1)?),
            "auth_mechanism" => {
                let unknown = |_| "there is no such auth_mechanism";
                query.auth_mechanism = Some(value.parse().map_err(unknown)?);
            }
            _ => {
                return Err("it has an unknown parameter: there are heartbeat, frame_max, \
                            channel_max, connection_timeout and auth_mechanism"
                    .into());
            }
        }
    }
    Ok(query)
}

fn number<T>(name: &str, value: &str, least: T) -> Result<T, String>
where
    T: str::FromStr + PartialOrd + fmt::Display,
{
    let number = value.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| format!("{name} must be a number from {least}, and not too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, String) {
        let uri = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).uri;
        (uri.authority.host, uri.authority.port, uri.vhost)
    }

    #[test]
    fn an_address_is_taken_to_pieces() {
        for (text, host, port, vhost) in [
            ("amqp://localhost", "localhost", 5672, "/"),
            ("AMQPS://Broker.example.org", "Broker.example.org", 5671, "/"),
            ("amqp://u:p@10.0.0.1:1234/%2f", "10.0.0.1", 1234, "/"),
            ("amqp://u:p@host//", "host", 5672, "/"),
            ("amqp://u:p@host/a%2Fb?heartbeat=3", "host", 5672, "a/b"),
            ("amqp://u:p@[2001:db8::5]:1234/v", "2001:db8::5", 1234, "v"),
            ("amqps://[::1]", "::1", 5671, "/"),
            ("amqp://[::ffff:127.0.0.1]", "::ffff:127.0.0.1", 5672, "/"),
        ] {
            assert_eq!(parts(text), (host.to_owned(), port, vhost.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_client_library_reads_the_same_from_what_it_understands() {
        for text in [
            "amqp://localhost",
            "amqps://user%61:%61pass@ho%61st:10000/v%2fhost",
            "amqp://u:p@ss@host/%2f?heartbeat=42&frame_max=8192&channel_max=7&connection_timeout=1",
            "amqps://u:%zz pw@host/v?auth_mechanism=external",
        ] {
            assert_eq!(Address::parse(text).unwrap().uri, text.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_nothing_of_it_is_quoted() {
        for (text, reason) in [
            ("", "begin with amqp://"),
            ("localhost", "begin with amqp://"),
            ("secret:secret@localhost:5672", "begin with amqp://"),
            ("amqp:secret:secret@localhost", "begin with amqp://"),
            ("amqp:/secret:secret@localhost", "begin with amqp://"),
            ("http://secret:secret@localhost", "begin with amqp://"),
            ("amqp+secret://localhost", "begin with amqp://"),
            ("amqpß://secret", "begin with amqp://"),
            ("amqp://", "no host"),
            ("amqp:///secret", "no host"),
            ("amqp://secret:secret@", "no host"),
            ("amqp://secret:secret@/%2f", "no host"),
            ("amqp://:5672", "no host"),
            ("amqp://secret:sec#ret@host", "%23"),
            ("amqp://secret:12#ret@host", "%23"),
            ("amqp://secret:12/secret@host", "%2f"),
            ("amqp://secret:12?secret@host", "%3f"),
            ("amqp://secret:sec/ret@host", "%2f"),
            ("amqp://secret:secret@host:99999", "65535"),
            ("amqp://secret:secret@host:0", "port"),
            ("amqp://secret:secret@2001:db8::5:5672", "brackets"),
            ("amqp://secret:secret@[2001:db8::secret]", "IPv6"),
            ("amqp://secret:sec\tret@host", "control character"),
            ("amqp://secret:secret@host\n", "control character"),
            ("amqp://secret@host", "no password"),
            ("amqp://:secret@host", "no user name"),
            ("amqp://secret:%ff@host", "not UTF-8"),
            ("amqp://%ff:secret@host", "not UTF-8"),
            ("amqp://secret:secret@host/%ff", "not UTF-8"),
            ("amqp://secret:secret@host/", "%2f"),
            ("amqp://secret:secret@host/?heartbeat=3", "%2f"),
            ("amqp://secret:secret@host?secret=1", "unknown parameter"),
            ("amqp://secret:secret@host?heartbeat=secret", "heartbeat must be a number from 0"),
            ("amqp://secret:secret@host?heartbeat=70000", "heartbeat must be a number from 0"),
            ("amqp://secret:secret@host?frame_max=100", "frame_max must be a number from 4096"),
            ("amqp://secret:secret@host?auth_mechanism=secret", "auth_mechanism"),
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn it_is_shown_without_user_and_password() {
        let address = Address::parse("amqp://secret:secret@[::1]/vhost").unwrap();
        assert_eq!(format!("{address} {address:?}"), "[::1]:5672 [::1]:5672");
        let address = Address::parse("amqp://secret:secret@host:1/vhost").unwrap();
        assert_eq!(address.to_string(), "host:1");
    }
}
