//! Addresses of pages, and the links that lead from one to another.

use std::fmt;

use hyper::Uri;

/// The absolute http or https address of a page.
///
/// Two that mean the same page are equal: the host is in lower case, a default port is removed, there are no `.` and
/// `..` in the path, and no fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Url(Uri);

impl Url {
    /// Parses an absolute address, or returns `None` if `text` is none.
    ///
    /// Addresses with a user name are rejected: the crawler cannot log in.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = tidy(text).parse().ok()?;
        let (scheme, default_port) = match uri.scheme_str()? {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        let port = match uri.authority()?.as_str().get(host.len()..)? {
            "" | ":" => String::new(),
            port => match port.strip_prefix(':')?.parse::<u16>().ok()? {
                port if port == default_port => String::new(),
                port => format!(":{port}"),
            },
        };
        let path = without_dots(uri.path());
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{scheme}://{host}{port}{path}{query}").parse().ok().map(Self)
    }

    /// Returns where the link `reference` on the page with this address leads, if that is a web page.
    ///
    /// This follows RFC 3986, section 5.2. Like browsers, it tolerates blanks, and characters that should have been
    /// escaped.
    pub(crate) fn join(&self, reference: &str) -> Option<Self> {
        let reference = tidy(reference);
        let scheme = self.0.scheme_str()?;
        let authority = self.0.authority()?;
        let path = self.0.path();
        let folder = &path[..=path.rfind('/')?];

        if has_scheme(&reference) {
            Self::parse(&reference)
        } else if reference.is_empty() {
            Some(self.clone())
        } else if reference.starts_with("//") {
            Self::parse(&format!("{scheme}:{reference}"))
        } else if reference.starts_with('/') {
            Self::parse(&format!("{scheme}://{authority}{reference}"))
        } else if reference.starts_with('?') {
            Self::parse(&format!("{scheme}://{authority}{path}{reference}"))
        } else {
            Self::parse(&format!("{scheme}://{authority}{folder}{reference}"))
        }
    }

    /// Returns whether both are on the same host and port, with the same scheme.
    pub(crate) fn is_on_site_of(&self, other: &Self) -> bool {
        self.0.scheme() == other.0.scheme() && self.0.authority() == other.0.authority()
    }

    /// Returns whether this is an https address.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Returns the host and the port, for the `Host` header.
    pub(crate) fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    /// Returns the host as name lookups expect it: an IPv6 address without its brackets.
    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or("").trim_matches(['[', ']'])
    }

    /// Returns the port, written or not.
    pub(crate) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_secure() { 443 } else { 80 })
    }

    /// Returns the path and the query, for the request.
    pub(crate) fn path_and_query(&self) -> &str {
        self.0.path_and_query().map_or("/", |path| path.as_str())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Removes the fragment and surrounding blanks, and escapes what is not allowed in an address.
fn tidy(text: &str) -> String {
    let text = text.trim_matches(|c: char| c <= ' ');
    let (text, _fragment) = text.split_once('#').unwrap_or((text, ""));
    let mut tidied = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            // Browsers ignore these: long addresses are sometimes wrapped.
            b'\t' | b'\n' | b'\r' => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => tidied.push(char::from(byte)),
            _ if b"-._~:/?[]@!$&'()*+,;=%".contains(&byte) => tidied.push(char::from(byte)),
            _ => tidied.push_str(&format!("%{byte:02X}")),
        }
    }
    tidied
}

/// Returns whether a link begins with a scheme, such as `mailto:` or `http:`, and so is absolute.
fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Resolves the `.` and `..` in an absolute path. There is no way up from the root.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        // A path that ends in dots is a folder.
        if is_last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<String> {
        Url::parse(text).map(|url| url.to_string())
    }

    #[test]
    fn equal_addresses_are_written_alike() {
        for (text, expected) in [
            ("http://a", "http://a/"),
            ("HTTP://A.B:80/C", "http://a.b/C"),
            ("http://a:/b", "http://a/b"),
            ("https://a:443", "https://a/"),
            ("https://a:80", "https://a:80/"),
            ("http://a:8000/#part", "http://a:8000/"),
            ("http://a?b", "http://a/?b"),
            ("http://a/b/./c/../d/..", "http://a/b/"),
            ("http://a/../../b?c/../d", "http://a/b?c/../d"),
            ("http://a//b/", "http://a//b/"),
            (" http://a/b c\n", "http://a/b%20c"),
            ("http://a/%20é|", "http://a/%20%C3%A9%7C"),
            ("http://[::1]:8000/", "http://[::1]:8000/"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_web_address() {
        for text in [
            "",
            "/",
            "a",
            "a:80",
            "a/b",
            "//a/",
            "http:",
            "http:a",
            "http://",
            "http:///a",
            "http://:80/",
            "http://a:b/",
            "http://a:99999/",
            "http://b@a/",
            "http://a b/",
            "ftp://a/",
            "mailto:a@b",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn links_resolve_as_in_rfc_3986() {
        let page = Url::parse("http://a/b/c/d;p?q").unwrap();
        for (reference, expected) in [
            // Section 5.4.1, without the fragments.
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            // Section 5.4.2.
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            // More that pages contain.
            (" https://e.org/a b ", "https://e.org/a%20b"),
            ("g?time=12:30", "http://a/b/c/g?time=12:30"),
            ("./g:h", "http://a/b/c/g:h"),
            ("a\nb", "http://a/b/c/ab"),
        ] {
            assert_eq!(page.join(reference).unwrap().to_string(), expected, "{reference}");
        }
        for reference in ["mailto:a@b", "javascript:void(0)", "g:h", "http:g", "tel:1", "data:,a"] {
            assert_eq!(page.join(reference), None, "{reference}");
        }
    }

    #[test]
    fn a_site_is_a_host_and_a_port() {
        let on_site = |a, b| Url::parse(a).unwrap().is_on_site_of(&Url::parse(b).unwrap());
        assert!(on_site("http://a/b", "http://A:80/c"));
        assert!(!on_site("http://a/", "http://b/"));
        assert!(!on_site("http://a/", "http://a:8000/"));
        assert!(!on_site("http://a/", "https://a/"));
    }
}
