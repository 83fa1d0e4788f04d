//! Figures of the last day, week and month, as the rollups have them.

use deadpool_postgres::GenericClient;
use metrics::{Unit, describe_gauge, gauge};
use shared::db::{self, Error, compliance_hour, rollup};

use super::{COMPLIANCE_RATE, DEDUP_RATIO, ROLLUP_BEHIND, STORAGE_GROWTH, SUCCESS_RATE, THROUGHPUT};
use crate::figures::{self, PERIODS};

/// Figures are read at one refresh of so many: those of a month sum up tens of thousands of rows.
const REFRESHES: u32 = 6;

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Figures {
    refreshes: u32,
    read: Vec<OfPeriod>,
}

#[derive(Debug)]
struct OfPeriod {
    period: &'static str,
    figures: figures::Figures,
    compliance: Option<f64>,
}

impl Figures {
    /// Sets the gauges.
    pub(super) async fn look<C: GenericClient>(&mut self, client: &C) -> Result<(), Error> {
        gauge!(ROLLUP_BEHIND).set(rollup::behind(client).await?);
        if self.refreshes.is_multiple_of(REFRESHES) {
            self.read = read(client).await?;
        }
        self.refreshes = self.refreshes.wrapping_add(1);
        for OfPeriod { period, figures, compliance } in &self.read {
            gauge!(STORAGE_GROWTH, "period" => *period).set(figures.storage_growth as f64);
            for (name, value) in [
                (SUCCESS_RATE, figures.success_rate),
                (DEDUP_RATIO, figures.dedup_ratio),
                (THROUGHPUT, figures.throughput),
                (COMPLIANCE_RATE, *compliance),
            ] {
                // One that is not set disappears.
                if let Some(value) = value {
                    gauge!(name, "period" => *period).set(value);
                }
            }
        }
        Ok(())
    }
}

async fn read<C: GenericClient>(client: &C) -> Result<Vec<OfPeriod>, Error> {
    let now = db::now(client).await?;
    let mut read = Vec::new();
    for period in PERIODS {
        let since = period.since(now);
        read.push(OfPeriod {
            period: period.name,
            figures: figures::read(client, since, None).await?,
            compliance: compliance_hour::mean(client, since).await?,
        });
    }
    Ok(read)
}

pub(super) fn describe() {
    describe_gauge!(
        SUCCESS_RATE,
        "Share of backup attempts that succeeded, warnings included, of those that succeeded or failed, 0 to 1, \
         over the last day, week (7 days) or month (30 days); absent when there was none"
    );
    describe_gauge!(
        THROUGHPUT,
        Unit::Bytes,
        "Bytes of their sources that successful backups went through in a second of their own time, over the last day, week or month; \
         absent when there was none"
    );
    describe_gauge!(
        STORAGE_GROWTH,
        Unit::Bytes,
        "Bytes that backups and copies stored in addition in the last day, week or month; what was freed is not taken off"
    );
    describe_gauge!(
        DEDUP_RATIO,
        "Bytes of the sources of successful backups for each byte that they stored in addition, over the last day, week or month; \
         absent when they stored none"
    );
    describe_gauge!(
        COMPLIANCE_RATE,
        "Share of the active jobs that kept all five rules, 0 to 1, averaged over the hours of the last day, week or month; absent \
         when none was noted"
    );
    describe_gauge!(
        ROLLUP_BEHIND,
        Unit::Seconds,
        "How long ago the oldest attempt was recorded that is not rolled up yet; 0 without one. It grows while no reporter rolls up, and \
         while a transaction stays open that may still write attempts"
    );
}
