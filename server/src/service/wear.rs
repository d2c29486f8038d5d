//! Wear models: set with the lives that they learn from, listed and removed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use slipway_insight::cohort::Cohort;

use super::{
    Context, Error, Result, devices,
    forecasts::append,
    limits::{changed_meanwhile, end_alerts},
};
use crate::{
    model::{
        lives::Lives,
        page::Page,
        refusal::{Reason, Refusal},
        text::quoted,
        wear::{MAX_MODELS, WearModel, WearTerms},
    },
    store::{
        StoreError, Tx,
        alerts::{alert_update, alerts_of_device},
        audit::audit_append,
        changes::{Kind, changes_get},
        devices::device_get,
        inbox::inbox_lock,
        wear::{
            wear_model_delete, wear_model_get, wear_model_put, wear_models_count, wear_models_page,
            wear_part_delete, wear_parts_count, wear_parts_restart,
        },
    },
};

/// All of them.
const ALL: i64 = MAX_MODELS as i64;

/// What became of a wear model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Create,
    /// It changes, and goes on following the parts that it follows.
    Update,
    /// It changes, and follows all parts anew.
    Restart,
    /// It is as asked for already.
    Keep,
}

/// A wear model, and how many devices it follows.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The model.
    pub model: WearModel,
    /// The devices.
    pub devices: u64,
}

/// Refuses terms that none may have, with every field at fault. To be asked before lives are read by them.
pub fn check(terms: &WearTerms) -> Result<()> {
    let faults = terms.faults();
    let Some(((field, first), rest)) = faults.split_first() else { return Ok(()) };
    let hint = "correct them all and apply the file again: nothing was changed";
    let mut refusal = Refusal::new(Reason::WearModelInvalid, first.clone(), hint).field(field);
    refusal.violations = rest.to_vec();
    Err(refusal.into())
}

/// Sets a wear model that learns from these lives; says what that changes. With `validate_only` nothing is written. The same
/// terms with the same lives change nothing.
pub async fn apply(
    ctx: &Context,
    actor: &str,
    terms: WearTerms,
    lives: Lives,
    validate_only: bool,
) -> Result<(Counted, Action)> {
    check(&terms)?;
    let rows = lives.rows();
    let (lives, digest) = lives.finish();
    let mut tx = ctx.db.read().await?;
    // What cannot be read any more is replaced, and says nothing of what was learned.
    let known = readable(wear_model_get(&mut tx, &terms.id).await)?;
    drop(tx);
    let cohort = match known.as_ref().and_then(|known| known.taught(&terms, digest)) {
        Some(cohort) => cohort.clone(),
        None => learn(lives, f64::from(terms.horizon)).await?,
    };
    let now = ctx.clock.now();
    let model = WearModel { terms, digest, rows, cohort, updated_at: now, updated_by: actor.to_owned() };
    let id = model.terms.id.clone();

    let mut tx = ctx.db.write().await?;
    // A chunk under way would put back what parts were followed by.
    inbox_lock(&mut tx).await?;
    let is_there = exists(&mut tx, &id).await?;
    let before = readable(wear_model_get(&mut tx, &id).await)?;
    let action = match &before {
        None if !is_there => Action::Create,
        Some(before) if before.terms.says_same(&model.terms) && before.digest == digest => Action::Keep,
        Some(before) if before.terms.follows_same(&model.terms) => Action::Update,
        _ => Action::Restart,
    };
    if let (Action::Keep, Some(before)) = (action, before) {
        return Ok((counted(&mut tx, before).await?, action));
    }
    if action == Action::Create && wear_models_count(&mut tx).await? >= ALL {
        return Err(Refusal::new(
            Reason::WearModelInvalid,
            format!(
                "there are {MAX_MODELS} wear models already, and every reading is held against all of them"
            ),
            "let one model select several devices, or delete one that is not needed",
        )
        .field("wear_model.name")
        .into());
    }
    if validate_only {
        let devices =
            if action == Action::Update { counted(&mut tx, model.clone()).await?.devices } else { 0 };
        return Ok((Counted { model, devices }, action));
    }
    let mut ended = Vec::new();
    if action == Action::Restart {
        wear_parts_restart(&mut tx, &id).await?;
        let outcome = "Nothing to do any more: the wear model was changed.";
        ended = end_alerts(&mut tx, &model.terms.cause(), outcome, now).await?;
    }
    let detail = format!(
        "{} of {}, {} lives of {rows} rows",
        model.terms.component,
        shown(model.terms.selector.as_str()),
        model.cohort.lives()
    );
    audit_append(&mut tx, now, actor, "ApplyWearModel", &format!("wearModels/{id}"), &detail).await?;
    let counted = counted(&mut tx, model).await?;
    wear_model_put(&mut tx, &counted.model).await?;
    let position = append(&mut tx, &ended).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok((counted, action))
}

fn shown(selector: &str) -> &str {
    if selector.is_empty() { "all devices" } else { selector }
}

/// Off the threads that answer: half a million rows are some seconds of work.
async fn learn(lives: Vec<Vec<Vec<f64>>>, horizon: f64) -> Result<Cohort> {
    let learned = tokio::task::spawn_blocking(move || Cohort::learn(&lives, horizon)).await;
    let learned =
        learned.map_err(|error| Error::Internal(format!("learning from recorded lives: {error}")))?;
    learned.map_err(|error| Lives::refused(&error).into())
}

/// None for a row that is damaged, or was written by another version: it can be replaced.
fn readable(model: std::result::Result<Option<WearModel>, StoreError>) -> Result<Option<WearModel>> {
    match model {
        Err(StoreError::Inconsistent { .. }) => Ok(None),
        other => Ok(other?),
    }
}

async fn exists(tx: &mut Tx, id: &str) -> Result<bool> {
    match wear_model_get(tx, id).await {
        Ok(model) => Ok(model.is_some()),
        Err(StoreError::Inconsistent { .. }) => Ok(true),
        Err(other) => Err(other.into()),
    }
}

async fn counted(tx: &mut Tx, model: WearModel) -> Result<Counted> {
    let mut counted = count(tx, vec![model]).await?;
    counted.pop().ok_or_else(|| Error::Internal("one wear model is one".to_owned()))
}

async fn count(tx: &mut Tx, models: Vec<WearModel>) -> Result<Vec<Counted>> {
    let counts: HashMap<String, i64> = wear_parts_count(tx).await?.into_iter().collect();
    let devices = |id: &str| counts.get(id).and_then(|count| u64::try_from(*count).ok()).unwrap_or(0);
    let counted = models.into_iter().map(|model| Counted { devices: devices(&model.terms.id), model });
    Ok(counted.collect())
}

/// One page of wear models by name, and the token of the next.
pub async fn list(ctx: &Context, page: &Page) -> Result<(Vec<Counted>, String)> {
    let mut tx = ctx.db.read().await?;
    let after = page.after.as_deref().unwrap_or_default();
    let mut models = wear_models_page(&mut tx, after, page.probe()).await?;
    let next = page.cut(&mut models, |model| model.terms.id.clone());
    Ok((count(&mut tx, models).await?, next))
}

/// One wear model.
pub async fn get(ctx: &Context, id: &str) -> Result<Counted> {
    let mut tx = ctx.db.read().await?;
    let model = wear_model_get(&mut tx, id).await?.ok_or_else(|| not_found(id))?;
    counted(&mut tx, model).await
}

/// Removes a wear model with what it learned; its living alerts are resolved.
pub async fn delete(ctx: &Context, actor: &str, id: &str) -> Result<Counted> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    inbox_lock(&mut tx).await?;
    let model = wear_model_get(&mut tx, id).await?.ok_or_else(|| not_found(id))?;
    let counted = counted(&mut tx, model).await?;
    let terms = &counted.model.terms;
    let outcome = "Nothing to do any more: the wear model was removed.";
    let ended = end_alerts(&mut tx, &terms.cause(), outcome, now).await?;
    audit_append(&mut tx, now, actor, "DeleteWearModel", &format!("wearModels/{id}"), &terms.component)
        .await?;
    wear_model_delete(&mut tx, id).await?;
    let position = append(&mut tx, &ended).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok(counted)
}

/// A device has a new part: it is followed from new, and what was said of the one before is over.
pub async fn restart(ctx: &Context, actor: &str, id: &str, device_id: &str) -> Result<Counted> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    inbox_lock(&mut tx).await?;
    let model = wear_model_get(&mut tx, id).await?.ok_or_else(|| not_found(id))?;
    device_get(&mut tx, device_id).await?.ok_or_else(|| devices::not_found(device_id).field("device"))?;
    wear_part_delete(&mut tx, device_id, id).await?;
    let cause = model.terms.cause();
    let mut ended = Vec::new();
    for alert in alerts_of_device(&mut tx, device_id, now).await? {
        if alert.cause == cause && alert.is_living() {
            let alert = alert.cleared("Nothing to do any more: a new part was put in.", now);
            if !alert_update(&mut tx, &alert).await? {
                return Err(changed_meanwhile(&alert.id).into());
            }
            ended.push(alert);
        }
    }
    let counted = counted(&mut tx, model).await?;
    let (resource, detail) = (format!("devices/{device_id}"), format!("wearModels/{id}"));
    audit_append(&mut tx, now, actor, "RestartWearModel", &resource, &detail).await?;
    let position = append(&mut tx, &ended).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok(counted)
}

fn not_found(id: &str) -> Refusal {
    let hint = "list what there is: slipway wear list";
    Refusal::new(Reason::WearModelNotFound, format!("there is no wear model {}", quoted(id)), hint)
        .field("name")
}

/// The wear models, by what they read; as it is by default, none.
#[derive(Debug, Default)]
pub struct WearModels {
    generation: i64,
    models: Vec<WearModel>,
    /// Which sensors of which models a metric is.
    by_metric: HashMap<String, Vec<Reads>>,
}

/// A sensor of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// The place of the model in [`WearModels::all`].
    pub model: usize,
    /// The place of the sensor in the model.
    pub sensor: usize,
}

impl WearModels {
    fn new(generation: i64, models: Vec<WearModel>) -> Self {
        let mut by_metric: HashMap<String, Vec<Reads>> = HashMap::new();
        for (model, known) in models.iter().enumerate() {
            for (sensor, of) in known.terms.sensors.iter().enumerate() {
                by_metric.entry(of.metric.clone()).or_default().push(Reads { model, sensor });
            }
        }
        WearModels { generation, models, by_metric }
    }

    /// All of them, by id.
    pub fn all(&self) -> &[WearModel] {
        &self.models
    }

    /// The sensors that this metric is.
    pub fn reading(&self, metric: &str) -> &[Reads] {
        self.by_metric.get(metric).map_or(&[], Vec::as_slice)
    }
}

/// The wear models, in memory; read again when one changed.
#[derive(Clone, Debug, Default)]
pub struct WearCache(Arc<Mutex<Arc<WearModels>>>);

impl WearCache {
    /// As they stand in this transaction.
    pub async fn current(&self, tx: &mut Tx) -> Result<Arc<WearModels>> {
        let generation = changes_get(tx, Kind::Wear).await?;
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if kept.generation == generation {
            return Ok(kept);
        }
        let models = Arc::new(WearModels::new(generation, wear_models_page(tx, "", ALL).await?));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = models.clone();
        Ok(models)
    }
}

#[cfg(test)]
#[path = "wear_tests.rs"]
mod tests;
