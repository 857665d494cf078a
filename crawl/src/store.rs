//! The SQLite file that stores pages and links.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, Result, params};

use crate::page::{Kind, Page};

const DROP: &str = "
    DROP TABLE IF EXISTS pages;
    DROP TABLE IF EXISTS links;
";

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS pages (
        url TEXT PRIMARY KEY,
        kind TEXT NOT NULL, -- 'document', 'redirect' or 'broken'
        title TEXT,
        problem TEXT -- what is wrong with a broken one
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS links (
        source TEXT NOT NULL,
        target TEXT NOT NULL,
        PRIMARY KEY (source, target)
    ) WITHOUT ROWID;
";

/// A database of pages. All its methods block.
pub(crate) struct Store {
    /// Behind a lock, so that the store can be shared with the threads that insert. Nobody ever waits for it, because
    /// only one of them runs at a time.
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the database in `file`, and creates missing tables. With `afresh` its previous contents are deleted.
    pub(crate) fn open(file: &Path, afresh: bool) -> Result<Self> {
        let mut connection = Connection::open(file)?;
        let transaction = connection.transaction()?;
        if afresh {
            transaction.execute_batch(DROP)?;
        }
        transaction.execute_batch(CREATE)?;
        transaction.commit()?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Stores `pages` and their links, all or none, replacing what was known about these pages.
    ///
    /// Returns how many links were stored.
    pub(crate) fn insert(&self, pages: Vec<Page>) -> Result<usize> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction()?;
        let mut links = 0;
        {
            let mut forget = transaction.prepare_cached("DELETE FROM links WHERE source = ?")?;
            let mut insert_page = transaction.prepare_cached(
                "INSERT OR REPLACE INTO pages (url, kind, title, problem) VALUES (?, ?, ?, ?)",
            )?;
            let mut insert_link =
                transaction.prepare_cached("INSERT INTO links (source, target) VALUES (?, ?)")?;
            for page in &pages {
                let url = page.url.to_string();
                let (kind, title, problem) = match &page.kind {
                    Kind::Document(title) => ("document", title.as_deref(), None),
                    Kind::Redirect => ("redirect", None, None),
                    Kind::Broken(problem) => ("broken", None, Some(problem)),
                };
                forget.execute([&url])?;
                insert_page.execute(params![url, kind, title, problem])?;
                for link in &page.links {
                    links += insert_link.execute([&url, &link.to_string()])?;
                }
            }
        }
        transaction.commit()?;
        Ok(links)
    }
}
