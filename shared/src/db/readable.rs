//! Rows of which one that cannot be read keeps no other from being read.

use tokio_postgres::Row;

use super::Error;

/// What rows say.
#[derive(Debug)]
pub struct Readable<T, K = String> {
    /// Those that this version can read.
    pub rows: Vec<T>,
    /// Those that it cannot, such as one that a newer version wrote.
    pub unreadable: Vec<Unreadable<K>>,
}

/// A row that this version cannot read.
#[derive(Debug)]
pub struct Unreadable<K> {
    /// Which.
    pub key: K,
    /// What is wrong with it.
    pub error: Error,
}

impl<T, K> Readable<T, K> {
    /// Reads each row; `key` tells one that cannot be read.
    pub(super) fn each(
        rows: &[Row],
        key: impl Fn(&Row) -> Result<K, Error>,
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Self, Error> {
        let mut readable = Self { rows: Vec::with_capacity(rows.len()), unreadable: Vec::new() };
        for row in rows {
            match read(row) {
                Ok(read) => readable.rows.push(read),
                Err(error @ Error::Value { .. }) => {
                    readable.unreadable.push(Unreadable { key: key(row)?, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(readable)
    }

    /// All of them, for whoever can do nothing with a part.
    ///
    /// # Errors
    /// That of the first one that cannot be read.
    pub fn all(self) -> Result<Vec<T>, Error> {
        match self.unreadable.into_iter().next() {
            None => Ok(self.rows),
            Some(unreadable) => Err(unreadable.error),
        }
    }
}
