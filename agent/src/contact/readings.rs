//! Readings handed over: as the owner allows it, and with times that can be right.

use slipway_proto::v1::SendTelemetryRequest;
use tonic::Code;

use super::{Contact, Round};
use crate::{consent::Consent, link, machine::Reason, telemetry::consent_path};

impl Contact {
    pub(super) async fn send_readings(
        &mut self,
        batch: &SendTelemetryRequest,
        round: &mut Round,
    ) -> Result<(), Reason> {
        if let Err(reason) = self.passport.check_clock(&mut self.trust).await {
            // They are kept: what is from tomorrow the server would drop.
            round.remark = Some(reason);
            return Ok(());
        }
        let sequence = batch.sequence;
        let mut batch = batch.clone();
        // The owner may have changed his mind since the round began: a server can draw a round out.
        Consent::read(&consent_path(&self.state)).unwrap_or_default().filter(&mut batch.readings);
        if batch.readings.is_empty() {
            round.readings = Some(sequence);
            return Ok(());
        }
        self.passport.set_right(&mut batch.readings);
        let sent = batch.readings.len();
        match self.link.device().send_telemetry(batch).await {
            Ok(answer) => {
                round.readings = Some(sequence);
                let dropped = answer.into_inner().dropped;
                if dropped > 0 {
                    let why = "their time or value cannot be, or it does not know what they are";
                    let detail = format!("the server dropped {dropped} of {sent} readings: {why}");
                    round.remark = Some(Reason::new("READINGS_DROPPED", detail));
                }
            }
            Err(status) if status.code() == Code::InvalidArgument => {
                // Sending it again would be refused again, for ever.
                round.remark = Some(link::reason(&status));
                round.readings = Some(sequence);
            }
            // Not now: the device waits for an operator's yes. They are kept.
            Err(status) if status.code() == Code::FailedPrecondition => {
                round.remark = Some(link::reason(&status))
            }
            Err(status) => return Err(link::reason(&status)),
        }
        round.contact = true;
        Ok(())
    }
}
