//! The manifests are valid, whole, and no pod in them has more than it needs.

use std::path::Path;

use serde_json::{Value, json};

use super::{pip, repository, run, seconds, text};

/// The overlay that is an example, with the component for KEDA as its comment says.
pub(super) async fn with_keda() -> Vec<Value> {
    let copy = tempfile::tempdir().unwrap();
    let sources = ["kubernetes", "nginx"].map(|name| repository("deploy").join(name).display().to_string());
    let arguments = ["-r", &sources[0], &sources[1], copy.path().to_str().unwrap()];
    assert_eq!(run("/bin/cp", &arguments, &repository("."), &[], "").await.code, 0);
    let overlay = copy.path().join("kubernetes/overlays/example");
    let file = overlay.join("kustomization.yaml");
    let written = std::fs::read_to_string(&file).unwrap();
    let changed = written.replace("# components: [../keda]", "components: [../keda]");
    assert_ne!(changed, written, "the example does not show it");
    std::fs::write(&file, changed).unwrap();
    built_in(&overlay).await
}

/// What an overlay makes of the base, held against the schemas of Kubernetes.
pub(super) async fn built(overlay: &str) -> Vec<Value> {
    built_in(&repository("deploy/kubernetes").join(overlay)).await
}

async fn built_in(directory: &Path) -> Vec<Value> {
    let arguments = ["kustomize", "--load-restrictor", "LoadRestrictionsNone", directory.to_str().unwrap()];
    let built = run(pip("kubectl"), &arguments, &repository("."), &[], "").await;
    assert_eq!(built.code, 0, "{built:?}");
    validated(&built.stdout).await.json().as_array().unwrap().clone()
}

async fn validated(manifests: &str) -> harness::Run {
    let script = repository("tests/deploy/validate.py");
    run(pip("python"), &[script.to_str().unwrap()], &repository("."), &[], manifests).await
}

pub(super) fn named<'a>(manifests: &'a [Value], kind: &str, name: &str) -> &'a Value {
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
    for overlay in ["base", "overlays/example"] {
        assert!(built(overlay).await.len() > 20, "{overlay}");
    }
    assert!(with_keda().await.len() > 20);
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
}

/// Whether a selector chooses what has these labels.
fn chooses(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.into_iter().all(|(name, value)| labels[name] == *value)
        && expressions.into_iter().all(|expression| {
            assert_eq!(expression["operator"], "In", "{expression}");
            let values = expression["values"].as_array().unwrap();
            values.contains(&labels[expression["key"].as_str().unwrap()])
        })
}

#[tokio::test]
async fn each_selector_chooses_somebody_and_not_everybody() {
    let manifests = built("base").await;
    let pods: Vec<&Value> = manifests
        .iter()
        .map(|manifest| &manifest["spec"]["template"]["metadata"]["labels"])
        .filter(|labels| labels.is_object())
        .collect();
    let mut looked_at = 0;
    for manifest in &manifests {
        let name = &manifest["metadata"]["name"];
        let spec = &manifest["spec"];
        let mut selectors = Vec::new();
        match manifest["kind"].as_str().unwrap() {
            "PodDisruptionBudget" => selectors.push(&spec["selector"]),
            // That one is for everybody.
            "NetworkPolicy" if name != "nobody" => {
                selectors.push(&spec["podSelector"]);
                let ingress = spec["ingress"].as_array().into_iter().flatten();
                let from = ingress.flat_map(|rule| rule["from"].as_array().into_iter().flatten());
                // Who comes from elsewhere is no pod of ours.
                let from = from.filter(|from| from["namespaceSelector"].is_null());
                selectors.extend(from.map(|from| &from["podSelector"]));
            }
            _ => {}
        }
        for selector in selectors {
            looked_at += 1;
            let chosen = pods.iter().filter(|labels| chooses(selector, labels)).count();
            assert!(
                chosen > 0 && chosen < pods.len(),
                "{name} chooses {chosen} of {}: {selector}",
                pods.len()
            );
        }
    }
    assert_eq!(looked_at, 8);
}

#[tokio::test]
async fn a_service_that_goes_has_the_time_that_it_needs() {
    for (overlay, manifests) in [("the base", built("base").await), ("KEDA's", with_keda().await)] {
        let worker = named(&manifests, "Deployment", "worker");
        let given = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
        let grace = seconds(environment(worker, "HOLDFAST_GRACE"));
        assert!(given > grace, "{overlay}: {given} s for a grace of {grace} s");
        // Its root is read-only, and repositories elsewhere are read through a cache.
        let cache = environment(worker, "XDG_CACHE_HOME");
        assert!(cache.starts_with(environment(worker, "HOLDFAST_SCRATCH")), "{overlay}: {cache}");
    }
}

#[tokio::test]
async fn workers_follow_the_work_by_the_signal_and_go_slowly() {
    let manifests = with_keda().await;
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
    let base = built("base").await;
    let least = &named(&base, "Deployment", "worker")["spec"]["replicas"];
    assert_eq!(&spec["minReplicaCount"], least, "as many as there are without it");
    // What the overlay says itself is still said.
    let pod = &worker["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "registry.example.org/backup/holdfast:0.1.0");
    let volumes = pod["volumes"].as_array().unwrap();
    let sources = volumes.iter().find(|volume| volume["name"] == "sources").unwrap();
    assert_eq!(sources["persistentVolumeClaim"]["claimName"], "shares");
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
