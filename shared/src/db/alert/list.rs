//! Alerts that somebody asks for.

use deadpool_postgres::GenericClient;

use super::super::Error;
use super::super::statement::statement;
use super::{Alert, COLUMNS, alert};
use crate::alert::{Severity, State};
use crate::job::{JobId, JobName};

/// Which alerts are meant; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In these states; in any when empty.
    pub states: Vec<State>,
    /// About this job.
    pub job: Option<JobName>,
    /// About one of these jobs; about none where there is none.
    pub jobs: Option<Vec<JobId>>,
    /// At least as bad as this.
    pub severity: Option<Severity>,
}

/// Alerts, the worst first and then the newest, at most `limit`.
pub async fn list<C: GenericClient>(client: &C, filter: &Filter, limit: i64) -> Result<Vec<Alert>, Error> {
    let statement = statement!(
        "alert.list",
        format!(
            "select {COLUMNS} from alert a
         where ($1::text[] = '{{}}' or a.state = any($1)) and ($2::text is null or a.job_id = (select id from job where name = $2))
             and ($3::text[] = '{{}}' or a.severity = any($3)) and ($5::integer[] is null or a.job_id = any($5))
         order by a.state = 'resolved', array_position(array['critical', 'warning', 'info'], a.severity), a.since desc, a.id desc
         limit $4"
        )
    );
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let severities: Vec<&str> = filter.severity.map_or_else(Vec::new, |least| {
        Severity::ALL
            .iter()
            .filter(|severity| **severity >= least)
            .map(|severity| severity.as_str())
            .collect()
    });
    let job = filter.job.as_ref().map(JobName::as_str);
    let jobs: Option<Vec<i32>> = filter.jobs.as_ref().map(|jobs| jobs.iter().map(|job| job.0).collect());
    let rows = statement.query(client, &[&states, &job, &severities, &limit, &jobs]).await?;
    rows.iter().map(alert).collect()
}
