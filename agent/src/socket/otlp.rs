//! Metrics of the OpenTelemetry protocol, `ExportMetricsServiceRequest` in protocol buffers.
//!
//! Gauges are told as they are, sums and the counts and sums of histograms and summaries as counters. Buckets,
//! quantiles and exemplars are passed over. Components are spelled as the server spells them for those who export
//! to it directly: what the sender calls `slipway.component`, else its name and the attributes of the point.

use slipway_proto::SpelledComponent;
use slipway_trust::Sha256;

use super::{
    table::{Table, Value, is_component, shown},
    wire::{Field, Malformed, Message, put_varint},
};

const COMPONENT: &str = "slipway.component";
/// Said by programs, decided by the owner: `metrics.classes`.
const CLASS: &str = "slipway.data_class";
/// Where a program does not say its name.
const NAMELESS: &str = "otlp";
const UNKNOWN: &str = "unknown_service";
/// Attributes of one point; the conventions know a dozen.
const ATTRIBUTES: usize = 32;

/// The flag of a point that says that there is no value at the moment.
const NO_VALUE: u64 = 1;
const DELTA: u64 = 1;

/// What was refused.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Data points that were not taken.
    pub rejected: u64,
    /// Why, for the first of them.
    pub why: Option<String>,
}

/// Takes every data point of a request.
///
/// # Errors
/// Bytes that are no such message; what stood before the fault was taken.
pub fn read(request: &[u8], table: &mut Table) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    let malformed = |Malformed| "the request is no ExportMetricsServiceRequest".to_owned();
    each(Message(request), 1, |resource| read_resource(resource, table, &mut outcome)).map_err(malformed)?;
    Ok(outcome)
}

fn read_resource(message: &[u8], table: &mut Table, outcome: &mut Outcome) -> Result<(), Malformed> {
    let mut sender = Sender { component: "", program: NAMELESS, named: "" };
    each(Message(message), 1, |resource| {
        each(Message(resource), 1, |attribute| {
            let (key, value) = key_value(attribute)?;
            match (key, value) {
                (COMPONENT, Some((1, value))) => sender.component = value.text()?,
                ("service.name", Some((1, value))) => {
                    let name = value.text()?;
                    if !name.is_empty() && !name.starts_with(UNKNOWN) {
                        (sender.program, sender.named) = (name, name);
                    }
                }
                _ => {}
            }
            Ok(())
        })
    })?;
    each(Message(message), 2, |scope| {
        each(Message(scope), 2, |metric| read_metric(metric, &sender, table, outcome))
    })
}

/// Who sends.
struct Sender<'a> {
    component: &'a str,
    program: &'a str,
    /// The name, if there is one.
    named: &'a str,
}

/// Where points of a sort keep what all sorts have.
#[derive(Clone, Copy)]
struct Layout {
    attributes: u64,
    flags: u64,
    /// A number, rather than a count and a sum.
    number: bool,
}

fn layout(field: u64) -> Option<Layout> {
    let (attributes, flags, number) = match field {
        // Gauge and sum; histogram; exponential histogram; summary.
        5 | 7 => (7, 8, true),
        9 => (9, 10, false),
        10 => (1, 10, false),
        11 => (7, 8, false),
        _ => return None,
    };
    Some(Layout { attributes, flags, number })
}

/// How the points of a metric count.
#[derive(Clone, Copy, PartialEq)]
enum Counts {
    Level,
    Moves,
    SinceStart,
    SinceLast,
}

struct Metric<'a> {
    name: &'a str,
    unit: &'a str,
    layout: Layout,
    counts: Counts,
}

fn read_metric(
    message: &[u8],
    sender: &Sender<'_>,
    table: &mut Table,
    outcome: &mut Outcome,
) -> Result<(), Malformed> {
    let (mut name, mut unit, mut data) = ("", "", None);
    let mut fields = Message(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = field.text()?,
            3 => unit = field.text()?,
            _ => {
                data = layout(number).map(|layout| Ok((number, layout, field.bytes()?))).transpose()?.or(data)
            }
        }
    }
    let Some((number, layout, data)) = data else { return Ok(()) };
    let (mut temporality, mut monotonic) = (0, number != 7);
    let mut fields = Message(data);
    while let Some((number, field)) = fields.next()? {
        match number {
            2 => temporality = field.number()?,
            3 => monotonic = field.number()? != 0,
            _ => {}
        }
    }
    let counts = match number {
        5 => Counts::Level,
        _ if temporality == DELTA && monotonic => Counts::SinceLast,
        _ if temporality == DELTA => Counts::Moves,
        _ if monotonic => Counts::SinceStart,
        _ => Counts::Level,
    };
    let metric = Metric { name, unit, layout, counts };
    each(Message(data), 1, |point| {
        if let Err(why) = read_point(point, &metric, sender, table)? {
            outcome.rejected += 1;
            outcome.why.get_or_insert(why);
        }
        Ok(())
    })
}

fn read_point(
    message: &[u8],
    metric: &Metric<'_>,
    sender: &Sender<'_>,
    table: &mut Table,
) -> Result<Result<(), String>, Malformed> {
    let (mut start, mut flags) = (0, 0);
    let (mut first, mut second) = (None, None);
    let mut attributes = Vec::new();
    let mut fields = Message(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            2 => start = field.number()?,
            4 if metric.layout.number => first = Some(field.double()?),
            // Beyond 2^53 the last digits of a count are lost, as everywhere.
            4 => first = Some(field.number()? as f64),
            5 if !metric.layout.number => second = Some(field.double()?),
            6 if metric.layout.number => first = Some(field.number()? as i64 as f64),
            number if number == metric.layout.attributes => attributes.push(field.bytes()?),
            number if number == metric.layout.flags => flags = field.number()?,
            _ => {}
        }
        if attributes.len() > ATTRIBUTES {
            let why = format!("a point of {} has more than {ATTRIBUTES} attributes", shown(metric.name));
            table.refuse(&why);
            return Ok(Err(why));
        }
    }
    if flags & NO_VALUE != 0 {
        return Ok(Ok(()));
    }
    let component = match component(&attributes, sender)? {
        Ok(component) => component,
        Err(why) => {
            table.refuse(&why);
            return Ok(Err(why));
        }
    };
    let value = |number| match metric.counts {
        Counts::Level => Value::Is(number),
        Counts::Moves => Value::Moved(number),
        Counts::SinceStart => Value::Since(number, start),
        Counts::SinceLast => Value::More(number),
    };
    let Some(first) = first else {
        let why = format!("a point of {} is without a value", shown(metric.name));
        table.refuse(&why);
        return Ok(Err(why));
    };
    if metric.layout.number {
        return Ok(table.take(&component, metric.name, metric.unit, value(first)));
    }
    let mut taken = table.take(&component, &format!("{}.count", metric.name), "1", value(first));
    if let (Ok(()), Some(sum)) = (&taken, second) {
        taken = table.take(&component, &format!("{}.sum", metric.name), metric.unit, value(sum));
    }
    Ok(taken)
}

/// The component of a point, or why it has none.
fn component(attributes: &[&[u8]], sender: &Sender<'_>) -> Result<Result<String, String>, Malformed> {
    let mut said = sender.component;
    let mut named = Vec::new();
    for attribute in attributes {
        match key_value(attribute)? {
            (COMPONENT, Some((1, value))) => said = value.text()?,
            (CLASS, _) => {}
            (key, value) => named.push((key, value, *attribute)),
        }
    }
    if !said.is_empty() {
        let refused = || format!("the component {} is no name, or the agent's own", shown(said));
        return Ok(if is_component(said) { Ok(said.to_owned()) } else { Err(refused()) });
    }
    named.sort_by_key(|(key, ..)| *key);
    let mut spelled = SpelledComponent::of(sender.program);
    for (key, value, _) in &named {
        let value = match value {
            Some((1, text)) => Some(text.text()?.to_owned()),
            Some((2, flag)) => Some((flag.number()? != 0).to_string()),
            Some((3, number)) => Some((number.number()? as i64).to_string()),
            Some((4, number)) => Some(number.double()?.to_string()),
            _ => None,
        };
        spelled.attribute(key, value.as_deref());
    }
    Ok(Ok(spelled.finish(|| {
        let mut whole = sender.named.as_bytes().to_vec();
        for (.., attribute) in named {
            put_varint(attribute.len() as u64, &mut whole);
            whole.extend_from_slice(attribute);
        }
        Sha256::of(&whole).to_string()
    })))
}

/// The sort of a value, and the value.
type Sorted<'a> = (u64, Field<'a>);

/// Key of an attribute, and what it has.
fn key_value(attribute: &[u8]) -> Result<(&str, Option<Sorted<'_>>), Malformed> {
    let (mut key, mut value) = ("", None);
    let mut fields = Message(attribute);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => key = field.text()?,
            2 => value = Message(field.bytes()?).next()?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Does something with every message in a field.
fn each<'a>(
    mut message: Message<'a>,
    number: u64,
    mut act: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while let Some((found, field)) = message.next()? {
        if found == number {
            act(field.bytes()?)?;
        }
    }
    Ok(())
}
