//! Figures of the last day, week and month, as the rollups have them.

use deadpool_postgres::GenericClient;
use metrics::gauge;
use shared::db::{self, Error, compliance_hour, recovery, rollup};

use crate::figures::{self, PERIODS};
use shared::metric;
use shared::metric::Metric;

metric!(SUCCESS_RATE: Metric::gauge(
    "holdfast_success_rate", &["period"],
    "Share of backup attempts that succeeded, warnings included, of those that succeeded or failed, 0 \
     to 1, over the last day, week (7 days) or month (30 days); absent when there was none"
));
metric!(THROUGHPUT: Metric::gauge(
    "holdfast_backup_throughput_bytes_per_second", &["period"],
    "Bytes of their sources that successful backups went through in a second of their own time, over \
     the last day, week or month; absent when there was none"
));
metric!(STORAGE_GROWTH: Metric::gauge(
    "holdfast_storage_growth_bytes", &["period"],
    "Bytes that backups and copies stored in addition in the last day, week or month; what was freed \
     is not taken off"
));
metric!(DEDUP_RATIO: Metric::gauge(
    "holdfast_dedup_ratio", &["period"],
    "Bytes of the sources of successful backups for each byte that they stored in addition, over the \
     last day, week or month; absent when they stored none"
));
metric!(COMPLIANCE_RATE: Metric::gauge(
    "holdfast_compliance_rate", &["period"],
    "Share of the active jobs that kept all five rules, 0 to 1, averaged over the hours of the last \
     day, week or month; absent when none was noted"
));
metric!(ROLLUP_BEHIND: Metric::gauge(
    "holdfast_rollup_behind_seconds", &[],
    "How long ago the oldest attempt was recorded that is not rolled up yet; 0 without one. It grows \
     while no reporter rolls up, and while a transaction stays open that may still write attempts"
));
metric!(ACHIEVED_RTO: Metric::gauge(
    "holdfast_achieved_rto_seconds", &["period"],
    "How long the longest restore or restore test of the last day, week or month took that succeeded; \
     absent when there was none"
));

/// Figures are read at one refresh of so many: those of a month sum up tens of thousands of rows.
const REFRESHES: u32 = 6;
/// How long restores took is read at one refresh of so many: it is read from the attempts and the evidence themselves.
const REFRESHES_OF_RESTORES: u32 = 60;

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Figures {
    refreshes: u32,
    read: Vec<OfPeriod>,
    restores: Vec<(&'static str, f64)>,
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
        if self.refreshes.is_multiple_of(REFRESHES_OF_RESTORES) {
            self.restores = restores(client).await?;
        }
        for (period, seconds) in &self.restores {
            gauge!(ACHIEVED_RTO, "period" => *period).set(*seconds);
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

async fn restores<C: GenericClient>(client: &C) -> Result<Vec<(&'static str, f64)>, Error> {
    let now = db::now(client).await?;
    let mut restores = Vec::new();
    for period in PERIODS {
        let longest = recovery::restores(client, period.since(now), None).await?.longest;
        restores.extend(longest.map(|seconds| (period.name, seconds)));
    }
    Ok(restores)
}
