//! Stored batches on their way through the forecasters: some at once, so that the cost of a transaction is shared.

use futures_util::TryStreamExt as _;

use super::{Inner, StoreError, Tx, inbox::InboxRow, on};

/// Batches that wait.
#[derive(Debug)]
pub struct Chunk {
    /// Those that wait longest.
    pub rows: Vec<InboxRow>,
    /// Whether there may be more.
    pub is_full: bool,
}

/// The batches that wait longest: as many as have `bytes` of readings together, but at least one, and at most `rows`.
pub async fn inbox_chunk(tx: &mut Tx, bytes: usize, rows: usize) -> Result<Chunk, StoreError> {
    let chunk = on!(tx, conn => async {
        let mut waiting = sqlx::query_as::<_, InboxRow>(
            "SELECT device_id, sequence, nonce, received_at, readings FROM inbox WHERE consumed = 0 \
             ORDER BY received_at, device_id, sequence, nonce LIMIT $1")
            .bind(i64::try_from(rows).unwrap_or(i64::MAX)).fetch(conn);
        let (mut chunk, mut size) = (Chunk { rows: Vec::new(), is_full: false }, 0);
        while let Some(row) = waiting.try_next().await? {
            size += row.readings.len();
            if size > bytes && !chunk.rows.is_empty() {
                chunk.is_full = true;
                break;
            }
            chunk.rows.push(row);
        }
        chunk.is_full |= chunk.rows.len() == rows;
        Ok::<_, sqlx::Error>(chunk)
    }.await)?;
    Ok(chunk)
}

/// Marks batches as consumed; returns how many were not before.
pub async fn inbox_consumed(tx: &mut Tx, rows: &[InboxRow]) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    tx.count_statement();
    let done = match &mut tx.inner {
        Inner::Sqlite(open) => {
            let keys = vec!["(?, ?, ?)"; rows.len()].join(", ");
            let sql = format!(
                "UPDATE inbox SET consumed = 1 WHERE (device_id, sequence, nonce) IN (VALUES {keys}) AND consumed = 0"
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for row in rows {
                query = query.bind(row.device_id.as_str()).bind(row.sequence).bind(row.nonce.as_slice());
            }
            query.execute(&mut **open).await?.rows_affected()
        }
        Inner::Postgres(open) => {
            let devices: Vec<&str> = rows.iter().map(|row| row.device_id.as_str()).collect();
            let sequences: Vec<i64> = rows.iter().map(|row| row.sequence).collect();
            let nonces: Vec<&[u8]> = rows.iter().map(|row| row.nonce.as_slice()).collect();
            sqlx::query(
                "UPDATE inbox SET consumed = 1 FROM UNNEST($1::text[], $2::bigint[], $3::bytea[]) \
                 AS done (device, number, nonce) WHERE inbox.device_id = done.device \
                 AND inbox.sequence = done.number AND inbox.nonce = done.nonce AND inbox.consumed = 0",
            )
            .bind(devices)
            .bind(sequences)
            .bind(nonces)
            .execute(&mut **open)
            .await?
            .rows_affected()
        }
    };
    Ok(done)
}
