//! One SQL text, two native drivers.

/// Runs the same query on whichever database the transaction is open on, and counts it.
///
/// The body is compiled once for each driver with `$conn` as its connection, so a query keeps the
/// driver's own types. `sqlx::Any` loses them; a trait with two implementations drifts apart.
/// Placeholders are `$1`, `$2`, … which both drivers understand.
///
/// ```text
/// let row = on!(tx, conn => sqlx::query_as::<_, Row>("SELECT … WHERE id = $1").bind(id).fetch_optional(conn).await)?;
/// ```
macro_rules! on {
    ($tx:expr, $conn:ident => $body:expr) => {{
        $tx.count_statement();
        match &mut $tx.inner {
            $crate::store::Inner::Sqlite(open) => {
                let $conn = &mut **open;
                $body
            }
            $crate::store::Inner::Postgres(open) => {
                let $conn = &mut **open;
                $body
            }
        }
    }};
}

pub(crate) use on;
