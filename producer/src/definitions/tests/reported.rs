use super::*;

const REPORTED: &str = "jobs:
- name: erp
  owner: ops
  source: { kind: reported, site: hq, failure_domain: erp-1, media: disk }
  targets: [disk-a]
";

#[test]
fn a_source_that_is_reported_needs_no_more_than_its_place() {
    let (definitions, problems) = read(&[("demo.yaml", &format!("{REPORTED}  strict: true\n{TARGET}"))]);
    assert_eq!(problems, Vec::<String>::new());
    let job = &definitions.jobs[0].job;
    assert_eq!(
        (&job.source.data, job.source.place.failure_domain.as_str()),
        (&SourceData::Reported, "erp-1")
    );
    let stored = serde_json::to_value(job).unwrap();
    assert_eq!(stored["source"]["kind"], "reported");
    assert_eq!(serde_json::from_value::<Job>(stored).unwrap(), *job);
}

#[test]
fn what_only_we_could_do_is_refused_beside_a_source_that_is_reported() {
    for (field, name) in [("schedule: { every: 1d }", "schedule"), ("retention: { last: 0 }", "retention")] {
        let text = format!("{REPORTED}  {field}\n{TARGET}");
        let message =
            format!("jobs.erp.{name}: is the other system's business, where the source is reported");
        assert_only_problem(&text, 6, &message);
    }
    assert_eq!(problems(&format!("{REPORTED}  schedule: manual\n{TARGET}")), Vec::<String>::new());
    let text = format!("{}{TARGET}", REPORTED.replace("reported,", "reported, paths: [/srv],"));
    assert_only_problem(&text, 4, "jobs.erp.source.paths: is unknown, use one of: kind, site");
}
