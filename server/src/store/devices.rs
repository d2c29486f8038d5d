//! Device records.

use std::collections::BTreeMap;

use slipway_trust::Sha256;

use super::{
    StoreError, Tx,
    changes::{Kind, changes_bump},
    column::{Place, json},
    damaged::fill,
    lists::in_list,
    on,
};
use crate::model::{
    device::{Approval, Blocked, Device, DeviceState, Inventory, Standing},
    time::Timestamp,
};

const COLUMNS: &str = "id, product, hardware, state, spki_sha256, certificate_serial, \
    certificate_not_after, enrolled_by, labels, inventory_digest, attributes, components, consent, \
    agent_version, boot_id, rollback_floor, blocked_code, blocked_detail, have, failures, \
    quarantined_until, created_at, updated_at, generation, next_spki_sha256, renewal, duplicate_at";

/// Adds a device; [`StoreError::Conflict`] when its id or its key is taken.
pub async fn device_insert(tx: &mut Tx, device: &Device) -> Result<(), StoreError> {
    let row = Row::from(device);
    let sql = format!(
        "INSERT INTO devices ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)"
    );
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(row.id).bind(row.product).bind(row.hardware).bind(row.state).bind(row.spki_sha256)
        .bind(row.certificate_serial).bind(row.certificate_not_after).bind(row.enrolled_by).bind(row.labels)
        .bind(row.inventory_digest).bind(row.attributes).bind(row.components).bind(row.consent)
        .bind(row.agent_version).bind(row.boot_id).bind(row.rollback_floor).bind(row.blocked_code)
        .bind(row.blocked_detail).bind(row.have).bind(row.failures).bind(row.quarantined_until)
        .bind(row.created_at).bind(row.updated_at).bind(row.generation)
        .bind(row.next_spki_sha256).bind(row.renewal).bind(row.duplicate_at)
        .execute(conn).await.map(drop))?;
    changes_bump(tx, Kind::Devices).await.map(drop)
}

/// One device.
pub async fn device_get(tx: &mut Tx, id: &str) -> Result<Option<Device>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM devices WHERE id = $1");
    let row: Option<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    row.map(Device::try_from).transpose()
}

/// The device that has this public key, or announced it as its next one.
pub async fn device_get_by_key(tx: &mut Tx, spki_sha256: &Sha256) -> Result<Option<Device>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM devices WHERE spki_sha256 = $1 OR next_spki_sha256 = $1");
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(spki_sha256.as_bytes().as_slice()).fetch_optional(conn).await)?;
    row.map(Device::try_from).transpose()
}

/// Those of these devices that there are, each with the generation of its record.
pub async fn devices_generations(tx: &mut Tx, ids: &[&str]) -> Result<Vec<(String, i64)>, StoreError> {
    let (list, ids) = in_list(tx, ids);
    let sql = format!("SELECT id, generation FROM devices WHERE id IN {list} ORDER BY id");
    let rows = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(conn).await)?;
    Ok(rows)
}

/// Devices after `after` in the order of their ids; start with an empty text.
pub async fn devices_page(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<Device>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM devices WHERE id > $1 ORDER BY id LIMIT $2");
    let mut after = after.to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(&after).bind(left).fetch_all(conn).await)?,
        |last| after.clone_from(&last.id)
    )
}

/// Devices whose record changed at or after `since`, in the order of (time, id), after the given one.
///
/// Clocks of replicas differ: ask from a minute before the last look.
pub async fn devices_changed(
    tx: &mut Tx,
    since: Timestamp,
    after_id: &str,
    limit: i64,
) -> Result<Vec<Device>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM devices WHERE updated_at > $1 OR (updated_at = $1 AND id > $2) \
         ORDER BY updated_at, id LIMIT $3"
    );
    let (mut since, mut after_id) = (since.millis(), after_id.to_owned());
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(since).bind(&after_id).bind(left).fetch_all(conn).await)?,
        |last| {
            since = last.updated_at;
            after_id.clone_from(&last.id);
        }
    )
}

/// How many devices there are.
pub async fn devices_count(tx: &mut Tx) -> Result<i64, StoreError> {
    let count: i64 = on!(tx, conn =>
        sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM devices").fetch_one(conn).await)?;
    Ok(count)
}

/// Writes what may change of a device (not id, product, right, creation) if nobody was faster: false when
/// `generation` is no longer the stored one. On success the record's `generation` and `updated_at`
/// are the new ones. [`StoreError::Conflict`] when a key is another device's.
pub async fn device_update(tx: &mut Tx, device: &mut Device, now: Timestamp) -> Result<bool, StoreError> {
    let row = Row::from(&*device);
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE devices SET hardware = $3, state = $4, certificate_serial = $5, certificate_not_after = $6, \
         labels = $7, inventory_digest = $8, attributes = $9, components = $10, consent = $11, \
         agent_version = $12, boot_id = $13, rollback_floor = $14, blocked_code = $15, blocked_detail = $16, \
         have = $17, failures = $18, quarantined_until = $19, updated_at = $20, spki_sha256 = $21, \
         next_spki_sha256 = $22, renewal = $23, duplicate_at = $24, generation = generation + 1 \
         WHERE id = $1 AND generation = $2")
        .bind(row.id).bind(row.generation).bind(row.hardware).bind(row.state).bind(row.certificate_serial)
        .bind(row.certificate_not_after).bind(row.labels).bind(row.inventory_digest).bind(row.attributes)
        .bind(row.components).bind(row.consent).bind(row.agent_version).bind(row.boot_id)
        .bind(row.rollback_floor).bind(row.blocked_code).bind(row.blocked_detail).bind(row.have)
        .bind(row.failures).bind(row.quarantined_until).bind(now.millis())
        .bind(row.spki_sha256).bind(row.next_spki_sha256).bind(row.renewal).bind(row.duplicate_at)
        .execute(conn).await.map(|done| done.rows_affected()))?;
    if changed == 0 {
        return Ok(false);
    }
    device.generation += 1;
    device.updated_at = now;
    changes_bump(tx, Kind::Devices).await?;
    Ok(true)
}

/// Writes all of a device that is registered (again): also product, right and creation, which stay as they are
/// otherwise. The rest is as in [`device_update`].
pub async fn device_register_again(
    tx: &mut Tx,
    device: &mut Device,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if !device_update(tx, device, now).await? {
        return Ok(false);
    }
    on!(tx, conn => sqlx::query("UPDATE devices SET product = $2, enrolled_by = $3, created_at = $4 WHERE id = $1")
        .bind(device.id.as_str()).bind(device.product.as_str()).bind(device.enrolled_by.as_str())
        .bind(device.created_at.millis())
        .execute(conn).await.map(drop))?;
    Ok(true)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    product: String,
    hardware: String,
    state: String,
    spki_sha256: Vec<u8>,
    certificate_serial: String,
    certificate_not_after: i64,
    enrolled_by: String,
    labels: String,
    inventory_digest: i64,
    attributes: String,
    components: String,
    consent: String,
    agent_version: String,
    boot_id: String,
    rollback_floor: i64,
    blocked_code: String,
    blocked_detail: String,
    have: String,
    failures: i64,
    quarantined_until: Option<i64>,
    created_at: i64,
    updated_at: i64,
    generation: i64,
    next_spki_sha256: Option<Vec<u8>>,
    renewal: String,
    duplicate_at: Option<i64>,
}

impl From<&Device> for Row {
    fn from(device: &Device) -> Self {
        let inventory = &device.inventory;
        let blocked = inventory.blocked.as_ref();
        Row {
            id: device.id.clone(),
            product: device.product.clone(),
            hardware: device.hardware.clone(),
            state: device.state.as_str().to_owned(),
            spki_sha256: device.spki_sha256.as_bytes().to_vec(),
            certificate_serial: device.certificate_serial.clone(),
            certificate_not_after: device.certificate_not_after.millis(),
            enrolled_by: device.enrolled_by.clone(),
            labels: json(&device.labels),
            // The column is signed, the digest is not: the same 64 bits.
            inventory_digest: inventory.digest.cast_signed(),
            attributes: json(&inventory.attributes),
            components: json(&inventory.components),
            consent: json(&inventory.consent),
            agent_version: inventory.agent_version.clone(),
            boot_id: inventory.boot_id.clone(),
            rollback_floor: inventory.floor.cast_signed(),
            blocked_code: blocked.map(|b| b.code.clone()).unwrap_or_default(),
            blocked_detail: blocked.map(|b| b.detail.clone()).unwrap_or_default(),
            have: json(&device.have),
            failures: i64::from(device.failures),
            quarantined_until: device.quarantined_until.map(Timestamp::millis),
            created_at: device.created_at.millis(),
            updated_at: device.updated_at.millis(),
            generation: device.generation,
            next_spki_sha256: device.standing.next_key.map(|key| key.as_bytes().to_vec()),
            renewal: device.standing.renewal.as_str().to_owned(),
            duplicate_at: device.standing.duplicate_at.map(Timestamp::millis),
        }
    }
}

impl TryFrom<Row> for Device {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.id.clone();
        let place = Place { table: "devices", id: &id };
        let attributes: BTreeMap<String, String> = place.json("attributes", &row.attributes)?;
        Ok(Device {
            product: row.product,
            hardware: row.hardware,
            state: place.word("state", &row.state, DeviceState::parse(&row.state))?,
            spki_sha256: place.digest("spki_sha256", &row.spki_sha256)?,
            standing: Standing {
                next_key: match &row.next_spki_sha256 {
                    Some(key) => Some(place.digest("next_spki_sha256", key)?),
                    None => None,
                },
                renewal: place.word("renewal", &row.renewal, Approval::parse(&row.renewal))?,
                duplicate_at: row.duplicate_at.map(Timestamp::from_millis),
            },
            certificate_serial: row.certificate_serial,
            certificate_not_after: Timestamp::from_millis(row.certificate_not_after),
            enrolled_by: row.enrolled_by,
            labels: place.json("labels", &row.labels)?,
            inventory: Inventory {
                digest: row.inventory_digest.cast_unsigned(),
                components: place.json("components", &row.components)?,
                agent_version: row.agent_version,
                boot_id: row.boot_id,
                attributes,
                consent: place.json("consent", &row.consent)?,
                floor: row.rollback_floor.cast_unsigned(),
                blocked: (!row.blocked_code.is_empty())
                    .then_some(Blocked { code: row.blocked_code, detail: row.blocked_detail }),
            },
            have: place.json("have", &row.have)?,
            failures: place.number("failures", row.failures)?,
            quarantined_until: row.quarantined_until.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
            generation: row.generation,
            id: row.id,
        })
    }
}
