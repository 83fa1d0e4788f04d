//! What a `maintain` task is to do about the database.
//!
//! Everything that it can name is in a closed list: neither a message nor a definition can carry a statement, or the name of
//! anything that is not ours.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::values::{Read, optional};
use crate::name::{name_type, text_enum};

name_type! {
    /// What upkeep of the database is called, as definitions say it.
    UpkeepName
}

text_enum! {
    /// What is done.
    #[derive(Default)]
    Action {
        /// Removes what is old.
        #[default]
        Sweep = "sweep",
        /// Makes the room of dead rows usable again.
        Vacuum = "vacuum",
        /// Has the planner's statistics made anew.
        Analyze = "analyze",
        /// Builds indexes anew, beside the old ones, while they are used.
        Reindex = "reindex",
    }
}

text_enum! {
    /// What becomes old.
    Old {
        /// Reports, after 90 days.
        Reports = "reports",
        /// Alerts with their history, 90 days after they were over.
        Alerts = "alerts",
        /// Silences, 90 days after their end.
        Silences = "silences",
        /// Days of jobs that no rule of alerts looks at any more.
        Days = "days",
        /// Notifications with their attempts, after 90 days.
        Notifications = "notifications",
        /// Dead tasks, 90 days after a person decided.
        DeadTasks = "dead_tasks",
        /// Due times of schedules, after 30 days.
        DueTimes = "due_times",
        /// Answers to requests, after the producers' `id_window`.
        Answers = "answers",
        /// Ids of tasks, after the producers' `id_window`.
        Ids = "ids",
        /// The audit, after the producers' `history`.
        Audit = "audit",
        /// The oldest month of attempts and of evidence, after the producers' `history`.
        Months = "months",
    }
}

impl Old {
    /// What is swept where nothing is named: what producers leave to workers. They look after the rest by themselves.
    pub const DAILY: [Self; 5] =
        [Self::Reports, Self::Alerts, Self::Silences, Self::Days, Self::Notifications];
}

text_enum! {
    /// A table of ours; one that is partitioned stands for its months as well.
    Table {
        /// `alert`
        Alert = "alert",
        /// `alert_evaluation`
        AlertEvaluation = "alert_evaluation",
        /// `alert_event`
        AlertEvent = "alert_event",
        /// `alert_setting`
        AlertSetting = "alert_setting",
        /// `api_token`
        ApiToken = "api_token",
        /// `audit`
        Audit = "audit",
        /// `cache_version`
        CacheVersion = "cache_version",
        /// `cap`
        Cap = "cap",
        /// `channel`
        Channel = "channel",
        /// `compliance`
        Compliance = "compliance",
        /// `compliance_hour`
        ComplianceHour = "compliance_hour",
        /// `dead_task`
        DeadTask = "dead_task",
        /// `definitions_version`
        DefinitionsVersion = "definitions_version",
        /// `delivery`
        Delivery = "delivery",
        /// `evidence`
        Evidence = "evidence",
        /// `evidence_kept`
        EvidenceKept = "evidence_kept",
        /// `execution`
        Execution = "execution",
        /// `idempotency`
        Idempotency = "idempotency",
        /// `job`
        Job = "job",
        /// `job_day`
        JobDay = "job_day",
        /// `job_health`
        JobHealth = "job_health",
        /// `job_target`
        JobTarget = "job_target",
        /// `keeping`
        Keeping = "keeping",
        /// `known_id`
        KnownId = "known_id",
        /// `leader`
        Leader = "leader",
        /// `lease`
        Lease = "lease",
        /// `limit_setting`
        LimitSetting = "limit_setting",
        /// `line`
        Line = "line",
        /// `maintenance`
        Maintenance = "maintenance",
        /// `manifest`
        Manifest = "manifest",
        /// `notification`
        Notification = "notification",
        /// `notification_event`
        NotificationEvent = "notification_event",
        /// `pool_setting`
        PoolSetting = "pool_setting",
        /// `report`
        Report = "report",
        /// `report_file`
        ReportFile = "report_file",
        /// `repository_lock`
        RepositoryLock = "repository_lock",
        /// `restore_point`
        RestorePoint = "restore_point",
        /// `rollup`
        Rollup = "rollup",
        /// `rollup_state`
        RollupState = "rollup_state",
        /// `route`
        Route = "route",
        /// `schedule`
        Schedule = "schedule",
        /// `schedule_run`
        ScheduleRun = "schedule_run",
        /// `silence`
        Silence = "silence",
        /// `target`
        Target = "target",
        /// `target_health`
        TargetHealth = "target_health",
        /// `task`
        Task = "task",
        /// `token`
        Token = "token",
        /// `verdict_change`
        VerdictChange = "verdict_change",
        /// `worker`
        Worker = "worker",
    }
}

/// What the action is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// What is old, of these.
    Old(BTreeSet<Old>),
    /// Tables to vacuum; those that need it when empty.
    Vacuum(BTreeSet<Table>),
    /// Tables to analyze; when empty, those that need it and all that are partitioned.
    Analyze(BTreeSet<Table>),
    /// Tables whose indexes to build anew.
    Reindex {
        /// Which; all when empty.
        tables: BTreeSet<Table>,
        /// Also indexes that are not bloated.
        all: bool,
    },
}

/// Parameters of `maintain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintainParams {
    /// What is to be done about what.
    pub subject: Subject,
    /// Only says what would be done.
    pub dry_run: bool,
}

impl MaintainParams {
    /// Reads the parameters; without any, what workers sweep each day is swept. Words may be a list or stand in one text between
    /// commas, and numbers and answers may be texts, as a command line has them.
    ///
    /// # Errors
    /// Names the parameter that is wrong, or that the action does not have.
    pub(super) fn read(params: &Map<String, Value>) -> Result<Self, String> {
        let action: Action = optional(params, "action", word)?.unwrap_or_default();
        let known: &[&str] = match action {
            Action::Sweep => &["action", "dry_run", "what"],
            Action::Vacuum | Action::Analyze => &["action", "dry_run", "tables"],
            Action::Reindex => &["action", "dry_run", "tables", "all"],
        };
        if let Some(field) = params.keys().find(|field| !known.contains(&field.as_str())) {
            let field: String = field.chars().take(80).collect();
            return Err(format!("{field}: is unknown to {action}, use one of: {}", known.join(", ")));
        }
        let tables = || Ok::<_, String>(optional(params, "tables", words)?.unwrap_or_default());
        let subject = match action {
            Action::Sweep => {
                let what: BTreeSet<Old> = optional(params, "what", words)?.unwrap_or_default();
                Subject::Old(if what.is_empty() { Old::DAILY.into() } else { what })
            }
            Action::Vacuum => Subject::Vacuum(tables()?),
            Action::Analyze => Subject::Analyze(tables()?),
            Action::Reindex => Subject::Reindex {
                tables: tables()?,
                all: optional(params, "all", answer as Read<bool>)?.unwrap_or_default(),
            },
        };
        let dry_run = optional(params, "dry_run", answer as Read<bool>)?.unwrap_or_default();
        Ok(Self { subject, dry_run })
    }

    /// What is done.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self.subject {
            Subject::Old(_) => Action::Sweep,
            Subject::Vacuum(_) => Action::Vacuum,
            Subject::Analyze(_) => Action::Analyze,
            Subject::Reindex { .. } => Action::Reindex,
        }
    }
}

impl Serialize for MaintainParams {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            action: Action,
            #[serde(skip_serializing_if = "BTreeSet::is_empty")]
            what: &'a BTreeSet<Old>,
            #[serde(skip_serializing_if = "BTreeSet::is_empty")]
            tables: &'a BTreeSet<Table>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            all: bool,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            dry_run: bool,
        }
        let (no_old, no_tables) = (BTreeSet::new(), BTreeSet::new());
        let (what, tables, all) = match &self.subject {
            Subject::Old(what) => (what, &no_tables, false),
            Subject::Vacuum(tables) | Subject::Analyze(tables) => (&no_old, tables, false),
            Subject::Reindex { tables, all } => (&no_old, tables, *all),
        };
        Written { action: self.action(), what, tables, all, dry_run: self.dry_run }.serialize(serializer)
    }
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(value: &Value) -> Result<T, String> {
    let text = value.as_str().ok_or("is not a word")?;
    text.trim().parse().map_err(|error: T::Err| error.to_string())
}

fn words<T: std::str::FromStr<Err: std::fmt::Display> + Ord>(value: &Value) -> Result<BTreeSet<T>, String> {
    match value {
        Value::Array(list) => list.iter().map(word).collect(),
        Value::String(text) => text.split(',').map(|one| word(&Value::from(one))).collect(),
        _ => Err("is neither a list of words nor a text with words between commas".to_owned()),
    }
}

fn answer(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(answer) => Ok(*answer),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(params: &Value) -> Result<MaintainParams, String> {
        MaintainParams::read(params.as_object().unwrap())
    }

    #[test]
    fn what_an_older_producer_asks_for_is_the_daily_sweep() {
        let daily = MaintainParams { subject: Subject::Old(Old::DAILY.into()), dry_run: false };
        assert_eq!(read(&json!({})), Ok(daily));
    }

    #[test]
    fn a_list_may_be_a_text_between_commas() {
        let tables: BTreeSet<Table> = [Table::Task, Table::Lease].into();
        let asked = MaintainParams { subject: Subject::Vacuum(tables), dry_run: true };
        let text = json!({ "action": "vacuum", "tables": "task, lease", "dry_run": "true" });
        assert_eq!(read(&text), Ok(asked.clone()));
        let written = json!(asked);
        assert_eq!(written, json!({ "action": "vacuum", "tables": ["lease", "task"], "dry_run": true }));
        assert_eq!(read(&written), Ok(asked));
    }

    #[test]
    fn what_is_in_no_list_is_refused_with_its_field() {
        for (params, field) in [
            (json!({ "action": "drop" }), "action: "),
            (json!({ "action": "vacuum", "tables": ["pg_class"] }), "tables: "),
            (json!({ "action": "vacuum", "tables": "task; drop table task" }), "tables: "),
            (json!({ "action": "sweep", "what": ["job"] }), "what: "),
            (json!({ "action": "analyze", "all": true }), "all: "),
            (json!({ "action": "reindex", "dry_run": "maybe" }), "dry_run: "),
        ] {
            let refused = read(&params).unwrap_err();
            assert!(refused.starts_with(field), "{params}: {refused}");
        }
    }
}
