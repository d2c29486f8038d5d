//! What can go wrong below the service.

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique key is taken.
    #[error("a row with this key is there already ({constraint})")]
    Conflict {
        /// The constraint, as the database names it.
        constraint: String,
    },
    /// The database holds what the model forbids.
    #[error("table {table}, row {id}: column {column} holds {value:?}")]
    Inconsistent {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Primary key.
        id: String,
        /// What stands there.
        value: String,
    },
    /// There are as many of something as there may be; nothing was added.
    #[error("there are {limit} {what} already, and there are never more")]
    Exceeded {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: i64,
    },
    /// The disk of the database takes no more: it is full, over a quota, or refuses to be written.
    #[error("the database cannot write: no room is left")]
    Full(#[source] sqlx::Error),
    /// The database cannot be reached or did not answer in time.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// Anything else the driver says.
    #[error("the database refused a statement")]
    Driver(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether a newer program has changed the schema.
    pub fn is_of_newer_program(&self) -> bool {
        matches!(self, StoreError::Inconsistent { table: "schema_migrations", .. })
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error {
            if database.is_unique_violation() {
                return StoreError::Conflict { constraint: database.message().to_owned() };
            }
            // SQLITE_FULL; SQLITE_IOERR_WRITE, as a quota or a limit on the size of files shows itself;
            // SQLITE_IOERR_SHMSIZE, no room for the index of the log; and PostgreSQL's disk_full.
            if matches!(database.code().as_deref(), Some("13" | "778" | "4874" | "53100")) {
                return StoreError::Full(error);
            }
        }
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_) => StoreError::Unavailable(error),
            _ => StoreError::Driver(error),
        }
    }
}
