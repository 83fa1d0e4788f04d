//! The manifests are valid, whole, and no pod in them has more than it needs.

use serde_json::{Value, json};

use super::{pip, repository, run, seconds, text};

/// What an overlay makes of the base, held against the schemas of Kubernetes.
async fn built(overlay: &str) -> Vec<Value> {
    let directory = repository("deploy/kubernetes").join(overlay);
    let arguments = ["kustomize", "--load-restrictor", "LoadRestrictionsNone", directory.to_str().unwrap()];
    let built = run(pip("kubectl"), &arguments, &repository("."), &[], "").await;
    assert_eq!(built.code, 0, "{built:?}");
    validated(&built.stdout).await.json().as_array().unwrap().clone()
}

async fn validated(manifests: &str) -> harness::Run {
    let script = repository("tests/deploy/validate.py");
    run(pip("python"), &[script.to_str().unwrap()], &repository("."), &[], manifests).await
}

fn named<'a>(manifests: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found =
        manifests.iter().find(|manifest| manifest["kind"] == kind && manifest["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn environment<'a>(manifest: &'a Value, variable: &str) -> &'a str {
    let variables = manifest["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let found = variables.iter().find(|candidate| candidate["name"] == variable);
    found.unwrap_or_else(|| panic!("no {variable}"))["value"].as_str().unwrap()
}

#[tokio::test]
async fn the_schemas_take_every_manifest_and_refuse_a_field_that_they_do_not_know() {
    for overlay in ["base", "overlays/keda", "overlays/example"] {
        assert!(built(overlay).await.len() > 20, "{overlay}");
    }
    let wrong = "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {port: 1}}";
    let refused = validated(wrong).await;
    assert!(refused.code == 1 && refused.stderr.contains("Service x"), "{refused:?}");
}

#[tokio::test]
async fn no_pod_has_more_than_it_needs_and_each_is_looked_after() {
    let manifests = built("base").await;
    let mut workloads = 0;
    for manifest in manifests.iter().filter(|manifest| manifest["spec"]["template"].is_object()) {
        workloads += 1;
        let name = &manifest["metadata"]["name"];
        let pod = &manifest["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        for container in pod["containers"].as_array().unwrap() {
            let expected = json!({ "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } });
            assert_eq!(container["securityContext"], expected, "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            assert!(container["resources"]["requests"]["cpu"].is_string(), "{name}");
            if manifest["kind"] == "Deployment" {
                assert!(container["livenessProbe"]["httpGet"].is_object(), "{name}");
                assert!(container["readinessProbe"]["httpGet"].is_object(), "{name}");
            }
        }
        let account = pod["serviceAccountName"].as_str().unwrap();
        assert_eq!(named(&manifests, "ServiceAccount", account)["automountServiceAccountToken"], false);
        if manifest["spec"]["replicas"].as_u64().is_some_and(|replicas| replicas > 1) {
            named(&manifests, "PodDisruptionBudget", name.as_str().unwrap());
            assert!(pod["topologySpreadConstraints"].is_array(), "{name}");
        }
    }
    assert_eq!(workloads, 6);
    // Who is not named comes in nowhere.
    assert_eq!(
        named(&manifests, "NetworkPolicy", "nobody")["spec"],
        json!({ "podSelector": {}, "policyTypes": ["Ingress"] })
    );
    // A selector that chose nobody, or everybody, would be a policy in name only.
    for policy in manifests
        .iter()
        .filter(|manifest| manifest["kind"] == "NetworkPolicy" && manifest["metadata"]["name"] != "nobody")
    {
        assert_ne!(policy["spec"]["podSelector"], json!({}), "{policy}");
    }
}

#[tokio::test]
async fn a_service_that_goes_has_the_time_that_it_needs() {
    for (overlay, name) in [("base", "worker"), ("overlays/keda", "worker")] {
        let manifests = built(overlay).await;
        let worker = named(&manifests, "Deployment", name);
        let given = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
        let grace = seconds(environment(worker, "HOLDFAST_GRACE"));
        assert!(given > grace, "{overlay}: {given} s for a grace of {grace} s");
    }
}

#[tokio::test]
async fn workers_follow_the_work_by_the_signal_and_go_slowly() {
    let manifests = built("overlays/keda").await;
    let scaled = named(&manifests, "ScaledObject", "worker");
    let schema: Value = serde_json::from_str(&text("tests/deploy/scaled-object.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(scaled).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut wrong = scaled.clone();
    wrong["spec"]["pollInterval"] = json!(15);
    assert!(!validator.is_valid(&wrong), "the schema takes everything");

    let spec = &scaled["spec"];
    let worker = named(&manifests, "Deployment", "worker");
    assert!(worker["spec"].get("replicas").is_none(), "two would say how many workers there are");
    let down = &spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"];
    assert_eq!(down["stabilizationWindowSeconds"], 300);
    assert_eq!(spec["fallback"]["behavior"], "currentReplicasIfHigher", "no answer must not shrink a fleet");
    for trigger in spec["triggers"].as_array().unwrap() {
        let (kind, metadata) = (trigger["name"].as_str().unwrap(), &trigger["metadata"]);
        assert_eq!(metadata["query"], format!("max(holdfast_pool_slots_needed{{kind=\"{kind}\"}})"));
        assert_eq!(metadata["ignoreNullValues"], "false", "no answer is not zero");
        let slots = environment(worker, &format!("HOLDFAST_POOLS_{}_SLOTS", kind.to_uppercase()));
        assert_eq!(metadata["threshold"], slots, "{kind}: the slots of one worker");
    }
}
