//! `slipway telemetry export`: readings into a file that other programs open.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use slipway_archive::{Columns, Names, Row, Writer};
use slipway_proto::v1;

use crate::{
    args::{TelemetryExport, TelemetryFormat},
    connect::Api,
    csv,
    error::Failure,
    human, names,
    output::Console,
};

const HEADER: &str = "device,component,metric,unit,class,time,value,boot_id\n";

/// Writes the readings. The file is there when it is whole.
///
/// # Errors
/// Why it was not done; then the file is as it was.
pub async fn run(args: TelemetryExport, api: &Api, console: &Console) -> Result<(), Failure> {
    let now = console.clock.now();
    let request = v1::ExportReadingsRequest {
        parent: names::full("devices", args.device.as_deref().unwrap_or("-")),
        selector: args.selector.unwrap_or_default(),
        component: args.component,
        metric: args.metric,
        start_time: args.since.map(|since| since.to_wire(now)),
        end_time: args.until.map(|until| until.to_wire(now)),
    };
    // Asked first: what is refused leaves no file.
    let mut stream = api.telemetry().export_readings(request).await?.into_inner();
    let part = unfinished(&args.out);
    let failed = |error| Failure::file("write the readings to", &args.out, &error);
    let file = BufWriter::new(File::create(&part).map_err(failed)?);
    let written = async {
        let mut sink = Sink::new(file, args.format)?;
        let mut readings = 0u64;
        while let Some(message) = stream.message().await? {
            readings += message.readings.len() as u64;
            sink.write(&message)?;
        }
        let file = sink.finish()?;
        file.into_inner()
            .map_err(|error| error.into_error())
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        fs::rename(&part, &args.out).map_err(failed)?;
        Ok(readings)
    };
    let readings = written.await.inspect_err(|_: &Failure| {
        // What is half is of no use, and its name is nobody's.
        let _ = fs::remove_file(&part);
    })?;
    console.say(&format!("{} in {}", human::counted(readings, "reading"), args.out.display()));
    if readings == 0 {
        console.say(
            "note: no reading matches; check the spelling of metric and component, and the time. \
             slipway telemetry list DEVICE shows what a device measures",
        );
    }
    Ok(())
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// Where readings go, in either format.
enum Sink {
    Csv(BufWriter<File>),
    Parquet(Box<Writer<BufWriter<File>>>, Names),
}

impl Sink {
    fn new(mut file: BufWriter<File>, format: TelemetryFormat) -> Result<Self, Failure> {
        match format {
            TelemetryFormat::Csv => {
                file.write_all(HEADER.as_bytes()).map_err(unwritable)?;
                Ok(Sink::Csv(file))
            }
            TelemetryFormat::Parquet => {
                let writer = Writer::new(file, Columns::Exported).map_err(unwritable)?;
                Ok(Sink::Parquet(Box::new(writer), Names::default()))
            }
        }
    }

    fn write(&mut self, message: &v1::ExportReadingsResponse) -> Result<(), Failure> {
        let device = names::short(&message.device);
        match self {
            Sink::Csv(file) => message
                .readings
                .iter()
                .try_for_each(|reading| file.write_all(line(device, reading).as_bytes()))
                .map_err(unwritable),
            Sink::Parquet(writer, shared) => message
                .readings
                .iter()
                .try_for_each(|reading| writer.push(row(device, reading, shared)))
                .map_err(unwritable),
        }
    }

    fn finish(self) -> Result<BufWriter<File>, Failure> {
        match self {
            Sink::Csv(file) => Ok(file),
            Sink::Parquet(writer, _) => writer.finish().map(|(file, _)| file).map_err(unwritable),
        }
    }
}

fn unwritable(error: impl std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    Failure::new(format!("the readings cannot be written: {text}")).hint("is there room on the disk?")
}

fn class(reading: &v1::Reading) -> String {
    human::enum_words(reading.data_class().as_str_name(), "DATA_CLASS_")
}

fn line(device: &str, reading: &v1::Reading) -> String {
    let time = reading.time.as_ref().map(ToString::to_string).unwrap_or_default();
    let fields = [
        csv::field(device),
        csv::field(&reading.component),
        csv::field(&reading.metric),
        csv::field(&reading.unit),
        class(reading).into(),
        time.into(),
        // The shortest text that is read back as the same number.
        format!("{:?}", reading.value).into(),
        csv::field(&reading.boot_id),
    ];
    format!("{}\n", fields.join(","))
}

fn row(device: &str, reading: &v1::Reading, names: &mut Names) -> Row {
    let mut share = |text: &str| -> Arc<str> { names.share(text) };
    let time = reading.time.as_ref();
    Row {
        device: share(device),
        component: share(&reading.component),
        metric: share(&reading.metric),
        unit: share(&reading.unit),
        class: share(&class(reading)),
        time: time.map_or(0, |t| t.seconds.saturating_mul(1_000) + i64::from(t.nanos) / 1_000_000),
        value: reading.value,
        boot_id: share(&reading.boot_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> v1::Reading {
        v1::Reading {
            component: "nvme-0".into(),
            metric: "hw.temperature".into(),
            unit: "{a,b}".into(),
            data_class: v1::DataClass::Diagnostic.into(),
            time: Some(human::timestamp(1_795_356_185_250)),
            value: 0.1 + 0.2,
            boot_id: "say \"b\"".into(),
        }
    }

    #[test]
    fn a_line_holds_the_reading_exactly() {
        assert_eq!(
            line("pump-1", &reading()),
            "pump-1,nvme-0,hw.temperature,\"{a,b}\",diagnostic,2026-11-22T14:03:05.250Z,0.30000000000000004,\"say \"\"b\"\"\"\n"
        );
        let records = csv::parse(&format!("{HEADER}{}", line("pump-1", &reading()))).unwrap();
        assert_eq!(records[1].len(), records[0].len());
        assert_eq!(records[1][7].text, "say \"b\"");
    }

    #[test]
    fn a_row_holds_the_same() {
        let row = row("pump-1", &reading(), &mut Names::default());
        assert_eq!((&*row.class, row.time, row.value), ("diagnostic", 1_795_356_185_250, 0.1 + 0.2));
    }
}
