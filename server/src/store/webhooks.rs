//! Webhooks, and which process sends for each.

use super::{
    StoreError, Tx,
    column::{Place, json},
    damaged::fill,
    on,
};
use crate::model::{
    selector::Selector,
    time::Timestamp,
    webhook::{Health, SECRET_BYTES, Secret, Signature, Webhook},
};

const COLUMNS: &str = "id, display_name, url, scope, event_types, signature, secret, old_secret, old_until, by_client, \
    position, enabled, disabled_reason, failures, failing_since, succeeded_at, created_at, created_by, updated_at, generation, \
    recovering_since";

/// The right of one process to send.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a> {
    /// Which process.
    pub owner: &'a str,
    /// From when.
    pub now: Timestamp,
    /// Until when, unless it is taken again.
    pub until: Timestamp,
}

/// Adds a webhook.
pub async fn webhook_insert(tx: &mut Tx, webhook: &Webhook) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO webhooks ({COLUMNS}, lease_owner, lease_until) VALUES \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, '', 0)"
    );
    let (old_secret, old_until) = old(webhook);
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&webhook.id).bind(&webhook.display_name).bind(&webhook.url).bind(webhook.scope.as_str())
        .bind(json(&webhook.event_types)).bind(webhook.signature.as_str()).bind(webhook.secret.0.as_slice())
        .bind(old_secret).bind(old_until).bind(i64::from(webhook.by_client)).bind(webhook.position)
        .bind(i64::from(webhook.enabled)).bind(&webhook.disabled_reason).bind(webhook.health.failures)
        .bind(webhook.health.failing_since.map(Timestamp::millis))
        .bind(webhook.health.succeeded_at.map(Timestamp::millis)).bind(webhook.created_at.millis())
        .bind(&webhook.created_by).bind(webhook.updated_at.millis()).bind(webhook.generation)
        .bind(webhook.health.recovering_since.map(Timestamp::millis))
        .execute(conn).await.map(drop))
    .map_err(StoreError::from)
}

/// One webhook.
pub async fn webhook_get(tx: &mut Tx, id: &str) -> Result<Option<Webhook>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM webhooks WHERE id = $1");
    let row: Option<Row> =
        on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    row.map(Webhook::try_from).transpose()
}

/// Webhooks after `after` by id, which is by age; with a scope, only those that have it word for word.
pub async fn webhooks_page(
    tx: &mut Tx,
    scope: Option<&str>,
    after: &str,
    limit: i64,
) -> Result<Vec<Webhook>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM webhooks WHERE ($1 = 0 OR scope = $2) AND id > $3 ORDER BY id LIMIT $4"
    );
    let mut after = after.to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(i64::from(scope.is_some())).bind(scope.unwrap_or_default()).bind(&after).bind(left)
            .fetch_all(conn).await)?,
        |last| after.clone_from(&last.id)
    )
}

/// How many there are: of this scope, and of all.
pub async fn webhooks_count(tx: &mut Tx, scope: &str) -> Result<(i64, i64), StoreError> {
    let counts: (i64, i64) = on!(tx, conn => sqlx::query_as(
        "SELECT CAST(COALESCE(SUM(CASE WHEN scope = $1 THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COUNT(*) AS BIGINT) FROM webhooks").bind(scope).fetch_one(conn).await)?;
    Ok(counts)
}

/// Writes what somebody changed; false when somebody else was first. What the sender writes, it leaves alone.
pub async fn webhook_update(tx: &mut Tx, webhook: &Webhook) -> Result<bool, StoreError> {
    let (old_secret, old_until) = old(webhook);
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE webhooks SET display_name = $2, url = $3, scope = $4, event_types = $5, secret = $6, old_secret = $7, \
         old_until = $8, enabled = $9, disabled_reason = $10, updated_at = $11, generation = $12 \
         WHERE id = $1 AND generation = $12 - 1")
        .bind(&webhook.id).bind(&webhook.display_name).bind(&webhook.url).bind(webhook.scope.as_str())
        .bind(json(&webhook.event_types)).bind(webhook.secret.0.as_slice()).bind(old_secret).bind(old_until)
        .bind(i64::from(webhook.enabled)).bind(&webhook.disabled_reason)
        .bind(webhook.updated_at.millis()).bind(webhook.generation)
        .execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed > 0)
}

/// Has events after `position` looked at, once more or no more.
pub async fn webhook_rewind(tx: &mut Tx, id: &str, position: i64) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("UPDATE webhooks SET position = $2 WHERE id = $1")
        .bind(id).bind(position).execute(conn).await.map(drop))
    .map_err(StoreError::from)
}

/// Removes a webhook with its deliveries.
pub async fn webhook_delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM deliveries WHERE webhook_id = $1").bind(id).execute(conn).await.map(drop))?;
    on!(tx, conn => sqlx::query("DELETE FROM webhooks WHERE id = $1").bind(id).execute(conn).await.map(drop))
        .map_err(StoreError::from)
}

/// Webhooks for which this process may send and there is something to look at or to send: what waits for an event before
/// it is not.
pub async fn webhooks_with_work(tx: &mut Tx, owner: &str, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let ids: Vec<String> = on!(tx, conn => sqlx::query_scalar(
        "SELECT id FROM webhooks AS w WHERE enabled = 1 AND (lease_owner = $1 OR lease_until <= $2) AND \
         (position < (SELECT generation FROM changes WHERE kind = 'outbox') OR EXISTS (SELECT 1 FROM deliveries AS d \
         WHERE d.webhook_id = w.id AND d.state = 'waiting' AND d.next_attempt_at <= $2 AND NOT EXISTS \
         (SELECT 1 FROM deliveries AS e WHERE e.webhook_id = d.webhook_id AND e.subject = d.subject \
         AND e.position < d.position AND e.state = 'waiting'))) ORDER BY id")
        .bind(owner).bind(now.millis()).fetch_all(conn).await)?;
    Ok(ids)
}

/// Takes or keeps the right to send for an enabled webhook; false when another process has it.
pub async fn webhook_lease(tx: &mut Tx, id: &str, lease: Lease<'_>) -> Result<bool, StoreError> {
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE webhooks SET lease_owner = $2, lease_until = $3 \
         WHERE id = $1 AND enabled = 1 AND (lease_owner = $2 OR lease_until <= $4)")
        .bind(id).bind(lease.owner).bind(lease.until.millis()).bind(lease.now.millis())
        .execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed > 0)
}

/// Gives the right to send back.
pub async fn webhook_release(tx: &mut Tx, id: &str, owner: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("UPDATE webhooks SET lease_owner = '', lease_until = 0 WHERE id = $1 AND lease_owner = $2")
        .bind(id).bind(owner).execute(conn).await.map(drop))
    .map_err(StoreError::from)
}

/// Takes every lease away: nobody else is there who could hold one.
pub async fn webhooks_release_all(tx: &mut Tx) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("UPDATE webhooks SET lease_owner = '', lease_until = 0 WHERE lease_until > 0")
        .execute(conn).await.map(drop))
    .map_err(StoreError::from)
}

/// Events from `from` to `to` were looked at; false when somebody moved the position meanwhile.
pub async fn webhook_move(tx: &mut Tx, id: &str, from: i64, to: i64) -> Result<bool, StoreError> {
    let changed = on!(tx, conn => sqlx::query("UPDATE webhooks SET position = $3 WHERE id = $1 AND position = $2")
        .bind(id).bind(from).bind(to).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed > 0)
}

/// Writes how attempts went.
pub async fn webhook_health(tx: &mut Tx, id: &str, health: Health) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "UPDATE webhooks SET failures = $2, failing_since = $3, succeeded_at = $4, recovering_since = $5 WHERE id = $1")
        .bind(id).bind(health.failures).bind(health.failing_since.map(Timestamp::millis))
        .bind(health.succeeded_at.map(Timestamp::millis))
        .bind(health.recovering_since.map(Timestamp::millis)).execute(conn).await.map(drop))
    .map_err(StoreError::from)
}

/// Stops sending; false when it was stopped before.
pub async fn webhook_disable(
    tx: &mut Tx,
    id: &str,
    reason: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE webhooks SET enabled = 0, disabled_reason = $2, updated_at = $3, generation = generation + 1 \
         WHERE id = $1 AND enabled = 1")
        .bind(id).bind(reason).bind(now.millis()).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed > 0)
}

/// How many are working, failing and disabled.
pub async fn webhooks_tally(tx: &mut Tx) -> Result<[i64; 3], StoreError> {
    let (working, failing, disabled): (i64, i64, i64) = on!(tx, conn => sqlx::query_as(
        "SELECT CAST(COALESCE(SUM(CASE WHEN enabled = 1 AND failures = 0 THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(CASE WHEN enabled = 1 AND failures > 0 THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(1 - enabled), 0) AS BIGINT) FROM webhooks").fetch_one(conn).await)?;
    Ok([working, failing, disabled])
}

fn old(webhook: &Webhook) -> (Option<&[u8]>, Option<i64>) {
    match &webhook.old_secret {
        Some((secret, until)) => (Some(secret.0.as_slice()), Some(until.millis())),
        None => (None, None),
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    display_name: String,
    url: String,
    scope: String,
    event_types: String,
    signature: String,
    secret: Vec<u8>,
    old_secret: Option<Vec<u8>>,
    old_until: Option<i64>,
    by_client: i64,
    position: i64,
    enabled: i64,
    disabled_reason: String,
    failures: i64,
    failing_since: Option<i64>,
    succeeded_at: Option<i64>,
    created_at: i64,
    created_by: String,
    updated_at: i64,
    generation: i64,
    recovering_since: Option<i64>,
}

impl TryFrom<Row> for Webhook {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.id.clone();
        let place = Place { table: "webhooks", id: &id };
        // What stands there is not repeated: it would be in the log.
        let secret = |column, bytes: &[u8]| {
            <[u8; SECRET_BYTES]>::try_from(bytes)
                .map(Secret)
                .map_err(|_| place.inconsistent(column, format!("{} bytes", bytes.len())))
        };
        let old_secret = match (&row.old_secret, row.old_until) {
            (Some(bytes), Some(until)) => Some((secret("old_secret", bytes)?, Timestamp::from_millis(until))),
            _ => None,
        };
        Ok(Webhook {
            scope: Selector::parse_scope(&row.scope).map_err(|_| place.inconsistent("scope", &row.scope))?,
            event_types: place.json("event_types", &row.event_types)?,
            signature: place.word("signature", &row.signature, Signature::parse(&row.signature))?,
            secret: secret("secret", &row.secret)?,
            old_secret,
            by_client: row.by_client != 0,
            position: row.position,
            enabled: row.enabled != 0,
            disabled_reason: row.disabled_reason,
            health: Health {
                failures: row.failures,
                failing_since: row.failing_since.map(Timestamp::from_millis),
                succeeded_at: row.succeeded_at.map(Timestamp::from_millis),
                recovering_since: row.recovering_since.map(Timestamp::from_millis),
            },
            id: row.id,
            display_name: row.display_name,
            url: row.url,
            created_at: Timestamp::from_millis(row.created_at),
            created_by: row.created_by,
            updated_at: Timestamp::from_millis(row.updated_at),
            generation: row.generation,
        })
    }
}
