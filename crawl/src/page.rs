//! Pages, and what is extracted from their source.

use std::time::Duration;

use tl::{HTMLTag, Node, Parser, ParserOptions};

use crate::fetch::{Answer, Fetched};
use crate::url::Url;

/// What the crawler knows about an address.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) kind: Kind,
    /// The addresses it leads to, once each. For a redirect, its target.
    pub(crate) links: Vec<Url>,
    /// How long it took to fetch.
    pub(crate) time: Duration,
}

/// What is at an address.
#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    /// A page, or another document, with its title if it has one.
    Document(Option<String>),
    /// A hint to another address.
    Redirect,
    /// Nothing that could be fetched: the reason.
    Broken(String),
}

impl Page {
    /// Creates a page from what was fetched.
    pub(crate) fn read(fetched: Fetched) -> Self {
        let Fetched { url, answer, time } = fetched;
        let (kind, links) = match answer {
            Answer::Html(source) => {
                let (title, links) = read_html(&url, &source);
                (Kind::Document(title), links)
            }
            Answer::Other => (Kind::Document(None), Vec::new()),
            Answer::Moved(link) => (Kind::Redirect, url.join(&link).into_iter().collect()),
            Answer::Broken(reason) => (Kind::Broken(reason), Vec::new()),
        };
        Self { url, kind, links, time }
    }
}

/// Finds the title of a page, and everything it links to except itself.
///
/// The elements are visited in the order in which they are written, not as a tree. So deep nesting takes no stack. An
/// address without quotes ends at its first `/`, because tl returns no more of it.
fn read_html(url: &Url, source: &str) -> (Option<String>, Vec<Url>) {
    let Ok(document) = tl::parse(source, ParserOptions::new()) else { return (None, Vec::new()) };
    let parser = document.parser();
    let mut title = None;
    let mut base = None;
    let mut links: Vec<Url> = Vec::new();
    let mut script_end = 0;

    for tag in document.nodes().iter().filter_map(Node::as_tag) {
        let (start, end) = tag.boundaries(parser);
        if start < script_end {
            continue; // it looks like an element, but is text in a script
        }
        let name = tag.name().as_utf8_str().to_ascii_lowercase();
        match &*name {
            "script" => script_end = end,
            "title" => title = title.or_else(|| text_of(tag, parser)),
            "base" => base = base.or_else(|| url.join(&href_of(tag)?)),
            "a" | "area" => {
                let link = href_of(tag).and_then(|href| base.as_ref().unwrap_or(url).join(&href));
                links.extend(link.filter(|link| link != url));
            }
            _ => {}
        }
    }
    links.sort_by_cached_key(Url::to_string);
    links.dedup();
    (title, links)
}

/// Returns the `href` of an element.
fn href_of(tag: &HTMLTag) -> Option<String> {
    let mut attributes = tag.attributes().iter();
    let (_, value) = attributes.find(|(name, _)| name.eq_ignore_ascii_case("href"))?;
    value.map(|value| unescape(&value))
}

/// Returns the text at the start of an element.
fn text_of(tag: &HTMLTag, parser: &Parser) -> Option<String> {
    let text = tag.children().top().get(0)?.get(parser)?.as_raw()?.as_utf8_str();
    let words: Vec<&str> = text.split_whitespace().collect();
    Some(unescape(&words.join(" "))).filter(|title| !title.is_empty())
}

/// Replaces escapes by their characters, as far as addresses and titles need it: there are two thousand names, and
/// these are the ones in use.
fn unescape(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        unescaped.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        // A name is short: do not search the whole text for the end of each `&`.
        let end = rest.bytes().take(10).position(|byte| byte == b';');
        match end.and_then(|end| Some((end, meaning(&rest[..end])?))) {
            Some((end, character)) => {
                unescaped.push(character);
                rest = &rest[end + 1..];
            }
            None => unescaped.push('&'),
        }
    }
    unescaped + rest
}

/// Returns the character that the escape `&name;` stands for.
fn meaning(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> (Option<String>, Vec<String>) {
        let (title, links) = read_html(&Url::parse("http://a/b/c").unwrap(), source);
        (title, links.iter().map(Url::to_string).collect())
    }

    fn links(source: &str) -> Vec<String> {
        read(source).1
    }

    #[test]
    fn a_page_is_read() {
        let (title, links) = read(
            "<!doctype html>\n<html><head>\n<title>\n  Cats &amp;\n  dogs </title></head>\n\
             <body><!-- <a href=\"/comment\">no</a> -->\n\
             <p><a class=\"x\" href=\"/d?e=1&amp;f=2\">one</a>\n\
             <A HREF='e'>two</A> <a href=\"e#part\">again</a> <a href=\"#top\">itself</a>\n\
             <a name=\"x\">none</a> <a href>none</a> <a href=\"mailto:a@b\">no page</a>\n\
             <map><area href=\"//f.org/\"></map>\n\
             <script>document.write('<a href=\"/script\">no</a>')</script>\n\
             <a href=\"g\">after</a></body></html>",
        );
        assert_eq!(title.as_deref(), Some("Cats & dogs"));
        assert_eq!(links, ["http://a/b/e", "http://a/b/g", "http://a/d?e=1&f=2", "http://f.org/"]);
    }

    #[test]
    fn a_base_changes_what_links_are_relative_to() {
        assert_eq!(links("<base href=\"/x/\"><a href=\"y\">"), ["http://a/x/y"]);
    }

    #[test]
    fn bad_html_is_read_as_far_as_it_goes() {
        for source in ["", "<", "<a", "<a href", "<a href=", "<a href=\"", "</", "<!", "<!--", "<>"]
        {
            assert_eq!(links(source), [""; 0], "{source}");
        }
        assert_eq!(links("<p><a href=\"d\"><b></p></x><a href='e'"), ["http://a/b/d"]);
        let deep = "<b>".repeat(200_000) + "<title>x</title><a href=\"d\">";
        assert_eq!(read(&deep), (Some("x".to_owned()), vec!["http://a/b/d".to_owned()]));
    }

    #[test]
    fn escapes_are_replaced() {
        assert_eq!(unescape("a &lt;&#98;&#x63;&gt; &amp;amp;"), "a <bc> &amp;");
        assert_eq!(unescape("?a=1&b=2&;&nope;&#x110000;&#;&"), "?a=1&b=2&;&nope;&#x110000;&#;&");
    }
}
