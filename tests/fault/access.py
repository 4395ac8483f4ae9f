"""Who may call what, and every way in which TLS may fail.

What must hold: every method asks for its scope before it looks at the request;
who has no token of the server's learns nothing of what there is; a token that is
removed is refused without a restart; a connection that fails says why in words,
and the server goes on.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from fault_server import CLIENT, SERVER, Server, Table

CALL_METHODS = os.environ["KVRECALL_CALL_METHODS"]
TLS_TEST = os.environ["KVRECALL_TLS_TEST"]

SCOPES = ["read", "submit", "admin"]
# What each method needs; one that is missing here is a broken promise.
NEEDED = {
    "RunService/GetRun": "read",
    "RunService/ListRuns": "read",
    "RunService/ListRecords": "read",
    "RunService/WatchRun": "read",
    "RunService/ExportRun": "read",
    "RunService/CreateRun": "submit",
    "RunService/SubmitSamples": "submit",
    "RunService/CancelRun": "submit",
    "ModelService/GetModel": "read",
    "ModelService/GetServerInfo": "read",
    "ModelService/Tokenize": "read",
    "AdminService/GetStatus": "admin",
    "AdminService/DeleteRun": "admin",
    "AdminService/Backup": "admin",
    "AdminService/Checkpoint": "admin",
    "AdminService/Drain": "admin",
    "Health/Check": None,
}
ADMITTED = {"OK", "INVALID_ARGUMENT"}  # the request is empty


def run(*command, **variables):
    return subprocess.run(command, text=True, capture_output=True, timeout=120,
                          env={**os.environ, **variables})


def expected(method, caller):
    needed = NEEDED.get(method, "admin")
    if needed is None:
        return {"OK"}
    if caller not in SCOPES:
        return {"UNAUTHENTICATED"}
    if SCOPES.index(caller) < SCOPES.index(needed):
        return {"PERMISSION_DENIED"}
    return ADMITTED


class Access:
    def __init__(self, folder):
        self.folder = folder / "access"
        self.manage("init")
        self.tokens = {scope: self.manage("token", "add", f"{scope}er",
                                          "--scope", scope).strip()
                       for scope in SCOPES}
        self.tokens |= {"none": "", "bad": "kvr_" + "A" * 43}
        self.authority = str(self.folder / "ca.crt")
        self.server = Server(folder / "access.db", delay_ms=0,
                             extra=["--access", str(self.folder)])
        self.server.start()

    def manage(self, *arguments):
        done = run(SERVER, *arguments, "--access", str(self.folder))
        if done.returncode != 0:
            raise SystemExit(f"kvrecall-server {arguments}: {done.stderr}")
        return done.stdout

    def client(self, token, *arguments):
        return run(CLIENT, *arguments, "--server", self.server.address, "--ca",
                   self.authority, KVRECALL_TOKEN=token)

    def answers(self, caller):
        """{method: code} of a caller."""
        done = run(CALL_METHODS, self.server.address, self.authority,
                   self.tokens[caller])
        return {line.split()[0]: line.split()[1]
                for line in done.stdout.splitlines()}

    def becomes(self, token, admitted):
        """Seconds until a token is let in, or is not."""
        start = time.monotonic()
        while (self.client(token, "runs").returncode == 0) != admitted:
            if time.monotonic() - start > 30:
                return None
        return time.monotonic() - start


def check_methods(access, table):
    callers = ["none", "bad", *SCOPES]
    answers = {caller: access.answers(caller) for caller in callers}
    methods = answers["admin"]
    print("method".ljust(30) + "".join(c.ljust(19) for c in callers))
    wrong = [m for m in NEEDED if m not in methods]
    for method in methods:
        print(method.ljust(30)
              + "".join(answers[c].get(method, "-").ljust(19) for c in callers))
        if method not in NEEDED or any(
                answers[c].get(method) not in expected(method, c)
                for c in callers):
            wrong.append(method)
    print()
    table.row("methods", len(methods))
    table.row("methods that admit others than they should",
              len(wrong), "0", not wrong)


def check_hints(access, table, folder):
    samples = folder / "samples.jsonl"
    samples.write_text('{"_id": "a", "input": "Who?"}\n')
    run_id = access.client(
        access.tokens["submit"], "submit", "--jsonl", str(samples), "--detach",
        "--chat-template", "none", "--max-new-tokens", "2").stdout.strip()
    known = access.client(access.tokens["read"], "show", run_id)
    table.row("a reader sees the run", known.returncode == 0, "yes",
              known.returncode == 0)
    other = access.manage("token", "add", "other", "--scope",
                          "submit").strip()
    access.becomes(other, True)
    refused = access.client(other, "cancel", run_id)
    theirs = (refused.returncode != 0
              and "made by someone else" in refused.stderr)
    table.row("someone else's run is not cancelled", theirs, "yes", theirs)
    for caller in ("submit", "admin"):
        done = access.client(access.tokens[caller], "cancel", run_id)
        table.row(f"its owner's or an admin's is: {caller}",
                  done.returncode == 0, "yes", done.returncode == 0)
    for caller in ("none", "bad"):
        texts = {access.client(access.tokens[caller], "show", name).stderr
                 for name in (run_id, run_id[:-4] + "0000", "nonsense!")}
        table.row(f"answers to {caller} on runs there are or not",
                  len(texts), "1", len(texts) == 1)


def check_reload(access, table):
    token = access.manage("token", "add", "guest", "--scope", "read").strip()
    came = access.becomes(token, True)
    access.manage("token", "remove", "guest")
    went = access.becomes(token, False)
    for name, seconds in (("is let in", came), ("is refused", went)):
        table.row(f"seconds until a changed token {name}",
                  "never" if seconds is None else f"{seconds:.1f}", "≤ 5",
                  seconds is not None and seconds <= 5)


def check_tls(table, folder):
    report = folder / "tls.json"
    done = run(TLS_TEST, f"--gtest_output=json:{report}", "--gtest_brief=1")
    if not report.exists():
        raise SystemExit(f"{TLS_TEST}: {done.stderr}")
    for test in json.loads(report.read_text())["testsuites"][0]["testsuite"]:
        failed = "failures" in test
        table.row(f"TLS: {test['name']}", "no" if failed else "yes", "yes",
                  not failed)


def main():
    table = Table()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        access = Access(folder)
        check_methods(access, table)
        check_hints(access, table, folder)
        check_reload(access, table)
        clear = run(CLIENT, "runs", "--server", access.server.address)
        table.row("a client in clear is told of TLS",
                  "speaks TLS" in clear.stderr, "yes",
                  "speaks TLS" in clear.stderr)
        check_tls(table, folder)
        status = access.server.stop()
        table.row("the server's exit, after all this", status, "0",
                  status == 0)
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
