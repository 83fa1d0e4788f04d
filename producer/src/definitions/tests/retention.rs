use shared::retention::{Keep, Retention};

use super::*;

#[test]
fn a_retention_keeps_by_the_rules_that_it_names() {
    let text = "  retention: { last: 7, hourly: 0, daily: 14, yearly: 10000, timezone: Europe/Berlin, schedule: { every: 1d } }
";
    let (definitions, problems) = read(&[("demo.yaml", &format!("{JOB}{text}{TARGET}"))]);
    assert_eq!(problems, Vec::<String>::new());
    let keep = [(Keep::Last, 7), (Keep::Daily, 14), (Keep::Yearly, 10_000)];
    let expected = Retention {
        keep: keep.into_iter().map(|(rule, count)| (rule, count.try_into().unwrap())).collect(),
        timezone: Tz::Europe__Berlin,
        schedule: Some(Schedule::new(When::Every(Duration::from_hours(24)), Tz::UTC)),
    };
    assert_eq!(definitions.jobs[0].job.retention, Some(expected));
    let (definitions, _) = read(&[("demo.yaml", &format!("{JOB}  retention: {{ last: 1 }}\n{TARGET}"))]);
    let retention = definitions.jobs[0].job.retention.as_ref().unwrap();
    assert_eq!((retention.timezone, &retention.schedule), (Tz::UTC, &None));
}

#[test]
fn a_bad_retention_names_its_line_and_field_and_is_the_only_problem() {
    for (retention, message) in [
        ("{}", ": needs at least one of last, hourly, daily, weekly, monthly, yearly above 0"),
        ("{ last: 0, daily: 0 }", ": needs at least one of last"),
        ("{ last: -1 }", ".last: is"),
        ("{ weekly: 1.5 }", ".weekly: is a number, a whole number from 0 to 10000 is needed"),
        ("{ daily: 10001 }", ".daily: is not from 0 to 10000"),
        ("{ daily: 7d }", ".daily: is a text, a whole number from 0 to 10000 is needed"),
        ("{ minutely: 5, last: 1 }", ".minutely: is unknown, use one of: last, hourly"),
        ("{ last: 1, timezone: Berlin }", ".timezone: \"Berlin\" is no time zone"),
        ("{ last: 1, schedule: manual }", ".schedule: is a text, a mapping is needed"),
        ("{ last: 1, schedule: {} }", ".schedule: needs one of cron and every"),
        ("{ last: 1, schedule: { every: 0s } }", ".schedule.every: is zero"),
        ("7", ": is a number, a mapping is needed"),
    ] {
        let text =
            format!("{}{TARGET}", with(JOB, "[disk-a]\n", &format!("[disk-a]\n  retention: {retention}\n")));
        assert_only_problem(&text, 11, &format!("jobs.docs.retention{message}"));
    }
}
