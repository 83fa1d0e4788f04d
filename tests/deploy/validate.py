"""Reads manifests as YAML from standard input, holds those of Kubernetes itself against its schemas, in which an unknown field is an error,
and prints all of them as a list of JSON. Ends with 1 and the problems on standard error when there are any.
"""

import json
import sys

import kubernetes_validate
import yaml

VERSION = "1.37"

manifests = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
problems = []
for manifest in manifests:
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    # Other groups have schemas of their own.
    if "." in manifest["apiVersion"].split("/")[0] and not manifest["apiVersion"].split("/")[0].endswith("k8s.io"):
        continue
    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        problems.append(f"{name}: {'.'.join(map(str, error.path))}: {error.message}")
    except kubernetes_validate.SchemaNotFoundError as error:
        problems.append(f"{name}: {error.message}")
json.dump(manifests, sys.stdout)
if problems:
    sys.exit("\n".join(problems))
