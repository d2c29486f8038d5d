//! One reading as a row, and the order of rows.

use std::{cmp::Ordering, collections::HashSet, sync::Arc};

/// One reading. Its texts are shared: a file repeats few of them many times.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Id of the device.
    pub device: Arc<str>,
    /// Part of the device.
    pub component: Arc<str>,
    /// Metric name.
    pub metric: Arc<str>,
    /// UCUM unit.
    pub unit: Arc<str>,
    /// Data class: `essential`, `diagnostic`, `usage` or `location`.
    pub class: Arc<str>,
    /// When it was read, ms since 1970.
    pub time: i64,
    /// The value.
    pub value: f64,
    /// For counters, the boot in which it started from zero; else empty.
    pub boot_id: Arc<str>,
}

impl Row {
    /// The order of rows in a stored file. Total, so that the order in which rows came makes no difference.
    pub fn order(&self, other: &Row) -> Ordering {
        let text = |row: &Row| (row.unit.clone(), row.boot_id.clone(), row.class.clone());
        same(&self.device, &other.device)
            .then_with(|| same(&self.component, &other.component))
            .then_with(|| same(&self.metric, &other.metric))
            .then_with(|| self.time.cmp(&other.time))
            .then_with(|| self.value.total_cmp(&other.value))
            .then_with(|| text(self).cmp(&text(other)))
    }
}

/// Compares texts that are mostly the same one.
fn same(one: &Arc<str>, other: &Arc<str>) -> Ordering {
    if Arc::ptr_eq(one, other) { Ordering::Equal } else { one.cmp(other) }
}

/// Texts that were seen, each kept once.
#[derive(Clone, Debug, Default)]
pub struct Names(HashSet<Arc<str>>);

impl Names {
    /// The shared copy of a text.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let shared: Arc<str> = text.into();
        self.0.insert(shared.clone());
        shared
    }
}
