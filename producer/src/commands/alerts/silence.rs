//! `producer alerts silence` and `producer alerts silences`

use shared::alert::{Matcher, Rule, Severity, Tag};
use shared::db::silence::{self, Silence};
use shared::db::{self, Database};
use shared::job::JobName;
use shared::limit::Label;
use shared::target::TargetName;
use shared::terminal;

use crate::commands::{Exit, Failure, actor, shown};
use crate::operations::alerts;

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    /// Alerts by this rule
    #[arg(long)]
    rule: Option<Rule>,
    /// Alerts about this job
    #[arg(long, value_name = "NAME")]
    job: Option<JobName>,
    /// Alerts about this target, or about a job whose first one it is
    #[arg(long, value_name = "NAME")]
    target: Option<TargetName>,
    /// Alerts about jobs of this owner
    #[arg(long, value_name = "NAME")]
    owner: Option<Label>,
    /// Alerts about jobs with this tag
    #[arg(long, value_name = "NAME")]
    tag: Option<Tag>,
    /// Alerts that are exactly as bad as this
    #[arg(long)]
    severity: Option<Severity>,
    /// For how long, such as 4h; a year at most
    #[arg(long = "for", value_name = "LENGTH")]
    lasts: humantime::Duration,
    /// Why
    #[arg(long, value_name = "TEXT")]
    why: String,
}

pub(super) async fn run(database: &Database, args: Args) -> Result<Exit, Failure> {
    let Args { rule, job, target, owner, tag, severity, lasts, why } = args;
    let matcher = Matcher { rule, job, target, owner, tag, severity };
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let silence = alerts::silence(&transaction, &matcher, lasts.into(), &why, &actor()).await?;
    transaction.commit().await?;
    shared::say!("silence {} is until {}", silence.id, shown::moment(silence.ends_at));
    Ok(Exit::Done)
}

pub(super) async fn list(database: &Database, as_json: bool) -> Result<Exit, Failure> {
    let client = database.client().await?;
    let silences = shown::readable("silence", silence::current(&client).await?);
    if as_json {
        shown::print_json(&silences)?;
        return Ok(Exit::Done);
    }
    if silences.is_empty() {
        shown::print("there is no silence")?;
        return Ok(Exit::Done);
    }
    let now = db::now(&client).await?;
    let mut table = terminal::table(&["silence", "of", "ends", "by", "why"]);
    for silence in &silences {
        table.add_row([
            silence.id.to_string(),
            shown::line(&matched(silence), shown::CELL),
            format!("{} (in {})", shown::moment(silence.ends_at), shown::age(now, silence.ends_at)),
            shown::line(&silence.created_by, shown::CELL),
            shown::line(&silence.why, shown::CELL),
        ]);
    }
    shown::print(&table.to_string())?;
    Ok(Exit::Done)
}

/// What a silence is about, as its flags say it.
fn matched(silence: &Silence) -> String {
    let Matcher { rule, job, target, owner, tag, severity } = &silence.matcher;
    let given = [
        rule.map(|rule| format!("rule {rule}")),
        job.as_ref().map(|job| format!("job {job}")),
        target.as_ref().map(|target| format!("target {target}")),
        owner.as_ref().map(|owner| format!("owner {}", owner.as_str())),
        tag.as_ref().map(|tag| format!("tag {tag}")),
        severity.map(|severity| format!("severity {severity}")),
    ];
    given.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
