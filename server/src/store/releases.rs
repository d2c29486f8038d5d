//! Published releases and their manifests.

use std::collections::BTreeSet;

use slipway_trust::Version;

use super::{
    StoreError, Tx,
    column::{Place, json},
    damaged::fill,
    on,
};
use crate::model::{release::Release, time::Timestamp};

#[derive(sqlx::FromRow)]
struct Row {
    product: String,
    version: String,
    counter: i64,
    rollback_floor: i64,
    min_from: i64,
    hardware: String,
    artifacts: String,
    manifest_sha256: String,
    created_at: i64,
    created_by: String,
}

impl TryFrom<Row> for Release {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = format!("{}/{}", row.product, row.version);
        let place = Place { table: "releases", id: &id };
        Ok(Release {
            version: place.word("version", &row.version, row.version.parse().ok())?,
            counter: place.number("counter", row.counter)?,
            floor: place.number("rollback_floor", row.rollback_floor)?,
            min_from: place.number("min_from", row.min_from)?,
            hardware: place.json("hardware", &row.hardware)?,
            artifacts: place.json("artifacts", &row.artifacts)?,
            manifest_digest: place.word(
                "manifest_sha256",
                &row.manifest_sha256,
                row.manifest_sha256.parse().ok(),
            )?,
            created_at: Timestamp::from_millis(row.created_at),
            created_by: row.created_by,
            product: row.product,
        })
    }
}

/// Adds a release with its manifest; a conflict when the version or the counter is taken.
pub async fn release_insert(tx: &mut Tx, release: &Release, manifest: &[u8]) -> Result<(), StoreError> {
    let hardware = json(&release.hardware);
    let artifacts = json(&release.artifacts);
    on!(tx, conn => sqlx::query(
        "INSERT INTO releases (product, version, counter, rollback_floor, min_from, hardware, artifacts,
           manifest, manifest_sha256, created_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    )
    .bind(&release.product)
    .bind(release.version.as_str())
    .bind(release.counter.cast_signed())
    .bind(release.floor.cast_signed())
    .bind(release.min_from.cast_signed())
    .bind(hardware)
    .bind(artifacts)
    .bind(manifest)
    .bind(release.manifest_digest.to_string())
    .bind(release.created_at.millis())
    .bind(&release.created_by)
    .execute(conn).await.map(drop))?;
    Ok(())
}

/// One release.
pub async fn release_get(tx: &mut Tx, product: &str, version: &str) -> Result<Option<Release>, StoreError> {
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT product, version, counter, rollback_floor, min_from, hardware, artifacts, manifest_sha256,
           created_at, created_by
         FROM releases WHERE product = $1 AND version = $2"
    ).bind(product).bind(version).fetch_optional(conn).await)?;
    row.map(Release::try_from).transpose()
}

/// The highest counter that a release of the product ever had, and every version: a withdrawn one is
/// among them, and neither is used again.
pub async fn releases_used(tx: &mut Tx, product: &str) -> Result<(u64, Vec<Version>), StoreError> {
    let rows: Vec<(String, i64)> = on!(tx, conn => sqlx::query_as(
        "SELECT version, counter FROM releases WHERE product = $1"
    ).bind(product).fetch_all(conn).await)?;
    let highest = rows.iter().map(|(_, counter)| counter.unsigned_abs()).max().unwrap_or(0);
    let versions = rows.iter().filter_map(|(version, _)| version.parse().ok()).collect();
    Ok((highest, versions))
}

/// Where a page of [`releases_page`] goes on: the last release of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// When it was published.
    pub created_at: Timestamp,
    /// Its product.
    pub product: String,
    /// Its counter.
    pub counter: u64,
}

impl After {
    /// After this release.
    pub fn release(release: &Release) -> Self {
        After { created_at: release.created_at, product: release.product.clone(), counter: release.counter }
    }
}

/// At most `limit` releases, newest first, following `after`.
pub async fn releases_page(
    tx: &mut Tx,
    after: Option<&After>,
    limit: u32,
) -> Result<Vec<Release>, StoreError> {
    let (mut at, mut product, mut counter) = match after {
        Some(after) => (after.created_at.millis(), after.product.clone(), after.counter.cast_signed()),
        None => (i64::MAX, String::new(), i64::MAX),
    };
    fill!(
        tx,
        i64::from(limit),
        |left| on!(tx, conn => sqlx::query_as(
            "SELECT product, version, counter, rollback_floor, min_from, hardware, artifacts, manifest_sha256,
               created_at, created_by
             FROM releases
             WHERE created_at < $1 OR (created_at = $1 AND (product > $2 OR (product = $2 AND counter < $3)))
             ORDER BY created_at DESC, product, counter DESC LIMIT $4"
        )
        .bind(at).bind(&product).bind(counter).bind(left)
        .fetch_all(conn).await)?,
        |last| {
            (at, counter) = (last.created_at, last.counter);
            product.clone_from(&last.product);
        }
    )
}

/// The manifest of a release, unchecked: compare it with what the publishers signed.
pub async fn release_manifest(
    tx: &mut Tx,
    product: &str,
    version: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let row: Option<(Vec<u8>,)> = on!(tx, conn => sqlx::query_as(
        "SELECT manifest FROM releases WHERE product = $1 AND version = $2"
    ).bind(product).bind(version).fetch_optional(conn).await)?;
    Ok(row.map(|(manifest,)| manifest))
}

/// Hardware models that a device or a claim of the product has.
pub async fn hardware_known(tx: &mut Tx, product: &str) -> Result<BTreeSet<String>, StoreError> {
    let of_devices: Vec<(String,)> = on!(tx, conn => sqlx::query_as(
        "SELECT DISTINCT hardware FROM devices WHERE product = $1"
    ).bind(product).fetch_all(conn).await)?;
    // A claim holds a list of models, and so does an authority of a manufacturer.
    let of_claims: Vec<(String,)> = on!(tx, conn => sqlx::query_as(
        "SELECT hardware FROM claims WHERE product = $1 UNION SELECT hardware FROM manufacturers WHERE product = $1"
    ).bind(product).fetch_all(conn).await)?;
    let mut known: BTreeSet<String> = of_devices.into_iter().map(|(model,)| model).collect();
    for (models,) in of_claims {
        let place = Place { table: "claims", id: product };
        known.extend(place.json::<Vec<String>>("hardware", &models)?);
    }
    Ok(known)
}
