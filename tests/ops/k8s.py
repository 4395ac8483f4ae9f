"""Whether deploy/k8s can be applied, and whether what its pods are started with
works: tests/ops/k8s.sh says how. Reads the manifests as `kubectl kustomize` wrote
them to FOLDER/<name>.yaml."""

import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator

# The oldest that the manifests are for, and the newest that there are schemas of.
VERSIONS = ("1.29", "1.33", "1.37")
SERVER, CLIENT = "kvrecall-server", "kvrecall-client"
# What a server needs beside --drain-seconds to end its streams and its database.
STREAMS_AND_DATABASE = 10
NAMES = ("server", "tls", "study", "merge")


def expect(holds, what):
    if not holds:
        raise SystemExit(f"k8s.sh: {what}")


def check_schema(name, document):
    kind = document["kind"]
    if kind == "ServiceMonitor":
        model = operator.ServiceMonitor.model_validate(document)
        known = model.model_dump(by_alias=True, exclude_none=True, mode="json")
        # The model drops what it does not know.
        expect(known["spec"] == document["spec"],
               f"{name}: ServiceMonitor has a field that its definition lacks")
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise SystemExit(f"k8s.sh: {name}: {kind} is refused by Kubernetes "
                             f"{version}: {error.message}") from error


def pod_of(document):
    return document.get("spec", {}).get("template", {}).get("spec")


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def check_pod(name, pod, claims):
    """As the namespace's policy "restricted" asks, and with nowhere to write but in
    its volumes."""
    security = pod["securityContext"]
    expect(security["runAsNonRoot"] and security["runAsUser"] == 10001
           and security["seccompProfile"]["type"] == "RuntimeDefault",
           f"{name}: the pod may run as root, or without seccomp")
    for container in containers(pod):
        own = container["securityContext"]
        expect(not own["allowPrivilegeEscalation"] and own["readOnlyRootFilesystem"]
               and own["capabilities"]["drop"] == ["ALL"],
               f"{name}: {container['name']} may do more than it needs")
        expect(container["name"] != "server"
               or any(a.startswith("--threads=") for a in container["args"]),
               f"{name}: the server takes as many threads as its node has")
        expect("memory" in container["resources"]["limits"],
               f"{name}: {container['name']} has no limit of memory")
        volumes = {volume["name"] for volume in pod["volumes"]}
        for mount in container["volumeMounts"]:
            expect(mount["name"] in volumes | claims,
                   f"{name}: there is no volume {mount['name']}")
        for argument in container["args"]:
            # Else numbers would follow from the node.
            if argument.startswith("--threads="):
                expect(argument.split("=")[1]
                       == container["resources"]["requests"]["cpu"],
                       f"{name}: {container['name']} computes with other "
                       "threads than it requests")
            for variable in re.findall(r"\$\((\w+)\)", argument):
                expect(variable in variables_of(container, {}),
                       f"{name}: {variable} is not set")


CONFIG_MAPS = {}


def variables_of(container, own):
    """Its environment; `own`: what the cluster would fill in."""
    found = {}
    for source in container.get("envFrom", []):
        found.update(CONFIG_MAPS[source["configMapRef"]["name"]])
    for entry in container.get("env", []):
        found[entry["name"]] = entry.get("value") or own.get(entry["name"], "")
    return found


def check_references(name, documents):
    """What pods name is there: claims (those of the servers are the study's, too),
    configuration, services."""
    claims = {d["metadata"]["name"] for d in documents
              if d["kind"] == "PersistentVolumeClaim"}
    claims |= {"kvrecall-models"} if name in ("study", "merge") else set()
    claims |= {"kvrecall-study"} if name == "merge" else set()
    services = {d["metadata"]["name"] for d in documents if d["kind"] == "Service"}
    for document in documents:
        if document["kind"] == "StatefulSet":
            expect(document["spec"]["serviceName"] in services,
                   f"{name}: the StatefulSet's service is not there")
        pod = pod_of(document)
        for volume in pod["volumes"] if pod else []:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            expect(claim is None or claim in claims, f"{name}: no claim {claim}")


def check_server(name, documents):
    """Selectors choose the servers and nobody else; they have time to drain."""
    sets = [d for d in documents if d["kind"] == "StatefulSet"]
    expect(len(sets) == 1, f"{name}: {len(sets)} StatefulSets")
    labels = sets[0]["spec"]["template"]["metadata"]["labels"]
    for document in documents:
        spec = document.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        wanted = selector.get("matchLabels", selector)
        if document["kind"] in ("StatefulSet", "Service", "PodDisruptionBudget",
                                "NetworkPolicy"):
            expect(wanted, f"{name}: {document['kind']} chooses every pod")
            wanted = {k: v for k, v in wanted.items()
                      if not k.startswith("statefulset.kubernetes.io/")}
            expect(wanted.items() <= labels.items(),
                   f"{name}: {document['kind']} chooses no server")
    pod = pod_of(sets[0])
    drain = int(variables_of(pod["containers"][0], {})["DRAIN_SECONDS"])
    expect(pod["terminationGracePeriodSeconds"] > drain + STREAMS_AND_DATABASE,
           f"{name}: the pod is killed before it has drained")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        kinds = pod["containers"][0][probe].keys() & {"grpc", "exec"}
        expect(kinds == ({"exec"} if name == "tls" else {"grpc"}),
               f"{name}: {probe} asks by {kinds}")


def check_study(documents):
    job = next(d for d in documents if d["kind"] == "Job")
    shards = int(variables_of(pod_of(job)["containers"][0], {})["SHARDS"])
    expect(job["spec"]["completionMode"] == "Indexed"
           and job["spec"]["completions"] == shards,
           "study: completions and SHARDS differ")


class Place:
    """Command lines of containers, run here: their folders below a temporary one,
    their ports free ones."""

    def __init__(self, folder, programs):
        self.folder, self.programs = folder, programs
        for name in ("study", "data", "models", "tmp"):
            (folder / name).mkdir()

    def line(self, container, index, port):
        own = {"SHARD": str(index)}
        variables = variables_of(container, own)
        words = container.get("command", [SERVER]) + container["args"]
        words = [re.sub(r"\$\((\w+)\)", lambda m: variables[m[1]], w) for w in words]
        words = [self._here(word, port) for word in words]
        words[0] = str(self.programs.get(words[0], words[0]))
        variables = {name: self._here(value, port)
                     for name, value in variables.items()}
        environment = {**variables, "PATH": f"{self.programs[CLIENT].parent}:"
                       "/usr/bin:/bin", "HOME": str(self.folder),
                       "KVRECALL_SERVER": f"127.0.0.1:{port}"}
        return words, environment

    def _here(self, word, port):
        word = re.sub(r"(^|[= ])/(study|data|models|tmp|access)(?=[/ \n]|$)",
                      rf"\1{self.folder}/\2", word)
        word = word.replace(":50551", f":{port}")
        return re.sub(r"0\.0\.0\.0:9464", "127.0.0.1:0", word)


def free_port():
    import socket
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def check_command_lines(documents, place):
    """--check-config of the servers that the cluster would start."""
    for document in documents:
        if document["kind"] != "StatefulSet":
            continue
        container = pod_of(document)["containers"][0]
        words, environment = place.line(container, 0, free_port())
        done = subprocess.run(words + ["--check-config"], env=environment,
                              text=True, capture_output=True, check=False)
        expect(done.returncode == 0, f"the server refuses its options: {done.stderr}")
        print(done.stdout, end="")


def run_part(job, index, place):
    """A pod of the study: server, its startup probe, client, SIGTERM."""
    pod, port = pod_of(job), free_port()
    side, client = pod["initContainers"][0], pod["containers"][0]
    words, environment = place.line(side, index, port)
    # A node's disk, which is new to each pod.
    shutil.rmtree(place.folder / "data")
    (place.folder / "data").mkdir()
    with open(place.folder / f"server-{index}.log", "wb") as log:
        server = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    try:
        probe = side["startupProbe"]["exec"]["command"]
        probe = [str(place.programs[probe[0]])] + probe[1:]
        deadline = time.monotonic() + 60
        while subprocess.run(probe, env=environment, capture_output=True,
                             check=False).returncode != 0:
            expect(time.monotonic() < deadline, f"part {index} did not become ready")
            time.sleep(0.2)
        words, environment = place.line(client, index, port)
        done = subprocess.run(words, env=environment, text=True,
                              capture_output=True, check=False)
        expect(done.returncode == 0, f"part {index}: {done.stdout}{done.stderr}")
    finally:
        server.send_signal(signal.SIGTERM)
        status = server.wait(timeout=60)
    expect(status == 0, f"the server of part {index} ended with {status}")


def run_study(study, merge, place):
    job = next(d for d in study if d["kind"] == "Job")
    parts = job["spec"]["completions"]
    for index in range(parts):
        run_part(job, index, place)
    # A part whose pod was lost is made again, in the place of the first.
    run_part(job, 0, place)
    merging = pod_of(next(d for d in merge if d["kind"] == "Job"))["containers"][0]
    words, environment = place.line(merging, 0, free_port())
    done = subprocess.run(words, env=environment, text=True, capture_output=True,
                          check=False)
    expect(done.returncode == 0, f"merge: {done.stdout}{done.stderr}")
    print(done.stdout, end="")
    count = "SELECT count(DISTINCT sample_id), count(*) FROM samples"
    whole = sqlite3.connect(place.folder / "study/demo.db").execute(count).fetchone()
    each = [sqlite3.connect(place.folder / f"study/demo.part-{i}.db").execute(count)
            .fetchone()[0] for i in range(parts)]
    expect(sum(each) == whole[0] == whole[1] == 50 and min(each) > 0,
           f"samples: {each} in the parts, {whole} in the whole")
    print(f"study: {each} samples in its parts, {whole[0]} in the merged database")


def main():
    folder = pathlib.Path(sys.argv[1])
    programs = {SERVER: pathlib.Path(sys.argv[2]), CLIENT: pathlib.Path(sys.argv[3])}
    all_documents = {}
    for name in NAMES:
        text = (folder / f"{name}.yaml").read_text("utf-8")
        all_documents[name] = list(yaml.safe_load_all(text))
        for document in all_documents[name]:
            if document["kind"] == "ConfigMap":
                CONFIG_MAPS[document["metadata"]["name"]] = document["data"]
    for name, documents in all_documents.items():
        for document in documents:
            check_schema(name, document)
            if pod_of(document):
                claims = document["spec"].get("volumeClaimTemplates", [])
                check_pod(name, pod_of(document),
                          {claim["metadata"]["name"] for claim in claims})
        check_references(name, documents)
        kinds = sorted(document["kind"] for document in documents)
        print(f"{name}: {', '.join(kinds)}: good")
    check_server("server", all_documents["server"])
    check_server("tls", all_documents["tls"])
    check_study(all_documents["study"])
    with tempfile.TemporaryDirectory() as temporary:
        place = Place(pathlib.Path(temporary), programs)
        check_command_lines(all_documents["server"], place)
        subprocess.run([programs[SERVER], "init", "--access", place.folder / "access",
                        "--host", "kvrecall"], check=True, capture_output=True)
        # Not among what the secret holds.
        (place.folder / "access/ca.key").unlink()
        check_command_lines(all_documents["tls"], place)
        run_study(all_documents["study"], all_documents["merge"], place)


if __name__ == "__main__":
    main()
