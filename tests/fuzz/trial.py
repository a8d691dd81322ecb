"""One server with its sandbox: run cases against it in batches, and judge what was observed.

async with trial.opened("sqlite", adopt=False) as bench:
    findings = await bench.run_batch(cases)
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from receiver.sandbox import faults
from tests import postgres, sandbox_server
from tests.fuzz import calls, commands, probing, upstream_proxy
from tests.server import CONTEXT, Server, Site

#: Seconds in which `/healthz` must answer, runs must end once answers are valid, and readiness must return.
HEALTHY, SETTLED, READY = 1.0, 40.0, 25.0
#: Seconds that a batch waits at most until its answers were changed, and after its runs have ended.
SPENT, LINGER = 12.0, 1.0
#: Bytes of memory that count as a failure.
MEMORY = 1 << 30
SIDE_BY_SIDE = 8
ENDED = ("completed", "failed", "cancelled", "refused")
#: The secret that signs events; a sample.
SECRET = "whsec_" + "Zm9yIHRlc3RzIG9ubHksIG5vYm9keSB1c2VzIGl0IQ=="
SETTINGS: dict[str, Any] = {
    "webhook_secrets": SECRET,
    "capture_events": True,
    "sql": "on",
    "trusted_proxies": "127.0.0.0/8",
}
_READ = (
    "/v1/runs?limit=250&count=true", "/v1/runs?sort=-duration", "/v1/runs?sort=created",
    "/v1/export?documents=true",
    "/v1/export?format=csv", "/v1/stats?by=model", "/v1/stats?by=day", "/v1/stats?by=month",
    "/v1/stats?by=failure_reason", "/v1/deliveries", "/v1/jobs",
    "/v1/jobs/causes", "/v1/changes", "/metrics",
)  # fmt: skip
_READ_PAGES = ("/", "/runs", "/runs?sort=-duration", "/deliveries", "/jobs", "/settings", "/submit", "/views")
_TABS = ("answer", "trace", "prompt", "usage", "deliveries", "timeline", "document", "notification", "all")
_READ_OF_RUN = ("", "/steps?limit=250", "/timeline", "/document", "/events")


@dataclass(frozen=True)
class Case:
    """What is done at once: a request, a command, or both, while answers are changed as planned."""

    request: calls.Request | None = None
    plans: tuple[upstream_proxy.Plan, ...] = ()
    command: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None

    def shown(self) -> dict[str, Any]:
        """Return the case's line in a summary."""
        return {
            **({"plans": [plan.shown() for plan in self.plans]} if self.plans else {}),
            **({"command": " ".join(self.command)} if self.command else {}),
            **({"settings": dict(self.settings)} if self.settings is not None else {}),
            **(self.request.shown() if self.request else {}),
        }


@dataclass(frozen=True)
class Finding:
    """A failure. `kind` and `what` are the same for the same fault; `detail` need not be."""

    kind: str
    what: str
    detail: str = ""
    case: Case | None = None

    @property
    def signature(self) -> str:
        """Return what distinguishes this fault from others."""
        return f"{self.kind}: {self.what}"


@dataclass
class Known:
    """What cases may name: settled runs, their callback addresses, a cursor, the key, a session."""

    key: str = ""
    runs: list[str] = field(default_factory=list)
    upstream: list[str] = field(default_factory=list)
    callbacks: list[str] = field(default_factory=list)
    cursor: str = ""
    agent: str = ""
    cookie: str = ""
    form_token: str = ""

    @property
    def auth(self) -> tuple[bytes, bytes]:
        """Return the header of an administrator."""
        return b"authorization", f"Bearer {self.key}".encode()

    @property
    def browser(self) -> calls.Headers:
        """Return the headers of a browser that is signed in as an administrator."""
        return (b"cookie", self.cookie.encode()), (b"accept", b"text/html")


@dataclass
class Figures:
    """What was measured."""

    probes: int = 0
    slowest: float = 0.0
    slowest_raw: float = 0.0
    memory: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    changed_answers: Counter[str] = field(default_factory=Counter)
    submitted: int = 0
    settled: Counter[str] = field(default_factory=Counter)
    settle_seconds: float = 0.0
    starts: int = 0


class Bench:
    """The server, replaced with one on an empty database after a failure."""

    def __init__(
        self,
        kind: str,
        adopt: bool,
        fresh: Callable[[], Site],
        sandbox: sandbox_server.Sandbox,
        proxy: upstream_proxy.UpstreamProxy,
    ) -> None:
        self.kind, self.adopt = kind, adopt
        self.known = Known()
        self.figures = Figures()
        self.upstream = proxy
        self.sandbox = sandbox
        self.server: Server
        self._fresh = fresh
        self._log_read = 0
        self._reader = commands.Reader()
        self._probes: Any = None
        self._prober: Any = None

    async def renew(self) -> None:
        """Start a server on an empty database, and have three runs settle in it."""
        await asyncio.to_thread(self._replace)
        self._log_read = 0
        self.figures.starts += 1
        self.upstream.plans = []
        await self._make_known()
        self._start_prober()

    def _replace(self) -> None:
        self.close()
        adopt = "all" if self.adopt else "none"
        self.server = Server(self._fresh(), self.upstream.url, {}, {**SETTINGS, "adopt": adopt})
        self.server.start()
        assert not self.server.is_dead(), f"the server did not start: {self.server.log.read_text()[-1500:]}"

    def close(self) -> None:
        """Stop the prober and the server."""
        if self._prober is not None:
            self._probes.close()
            self._prober.join(60)
            self._prober = None
        self._reader.close()
        if hasattr(self, "server"):
            self.server.kill()

    def _start_prober(self) -> None:
        self._probes, theirs = multiprocessing.Pipe()
        arguments = (self.server.port, self.server.pid, theirs)
        self._prober = CONTEXT.Process(target=probing.probe, args=arguments, daemon=True)
        self._prober.start()
        theirs.close()

    async def _make_known(self) -> None:
        with self.sandbox.client() as upstream:
            agent = await asyncio.to_thread(sandbox_server.new_agent, upstream)
        self.known = Known(key=self.server.key, agent=agent)
        markers = [f"fuzz-{place:012x}" for place in range(3)]
        replies = [await self.send(submission(self.known, f"Review the lease. {marker}")) for marker in markers]
        self.known.runs = [json.loads(reply.body)["id"] for reply in replies]
        findings = await self._settle(dict.fromkeys(self.known.runs))
        assert not findings, findings
        shown = [json.loads((await self.ask(f"/v1/runs/{run}")).body) for run in self.known.runs]
        self.known.upstream = [run["upstreamId"] for run in shown]
        self.known.callbacks = ["/" + self.upstream.callbacks[marker].split("/", 3)[3] for marker in markers]
        self.known.cursor = json.loads((await self.ask("/v1/runs?limit=1")).body)["nextCursor"]
        await self._sign_in()

    async def _sign_in(self) -> None:
        form = (b"content-type", b"application/x-www-form-urlencoded")
        answer = await self.send(calls.Request("POST", b"/sign-in", (form,), f"key={self.known.key}".encode()))
        self.known.cookie = answer.headers["set-cookie"].partition(";")[0]
        page = await self.send(calls.Request("GET", b"/submit", self.known.browser))
        found = re.search(r'name="csrf" value="([^"]+)"', page.body.decode())
        assert found is not None, page.body[:1000]
        self.known.form_token = found[1]

    async def send(self, request: calls.Request) -> calls.Reply:
        """Send a request to the server."""
        return await calls.send(self.server.port, request)

    async def ask(self, target: str) -> calls.Reply:
        """Send a request as an administrator."""
        return await self.send(calls.Request("GET", target.encode(), (self.known.auth,)))

    async def run_batch(self, cases: Sequence[Case]) -> list[Finding]:
        """Run a batch, and return its failures."""
        self.upstream.plans = [replace(plan, done=[]) for case in cases for plan in case.plans]
        gate = asyncio.Semaphore(SIDE_BY_SIDE)
        played = await asyncio.gather(*(self._one(case, gate) for case in cases))
        findings = [finding for found, _ in played for finding in found]
        await self._until_plans_used([run for _, run in played if run])
        self._note_plans(cases)
        findings += await self._settle({run: case for case, (_, run) in zip(cases, played, strict=True) if run})
        findings += await self._read_all([run for _, run in played if run])
        findings += await self._until_ready()
        return findings + self._observed()

    async def _one(self, case: Case, gate: asyncio.Semaphore) -> tuple[list[Finding], str | None]:
        """Run one case; return its failures, and the run that it submitted."""
        async with gate:
            if case.settings is not None:
                return await self._configured(case, case.settings), None
            if case.command:
                return await self._commanded(case), None
            if case.request is None:
                return [], None
            reply = await self.send(case.request)
        self.figures.statuses[f"{reply.status or 'unanswered'}"] += 1
        run = None
        if case.request.expects == "submission" and 200 <= reply.status < 300:
            with suppress(ValueError, KeyError, TypeError):
                run = str(json.loads(reply.body)["id"])
        return judged(case, case.request, reply), run

    async def _commanded(self, case: Case) -> list[Finding]:
        result = await commands.run(case.command, self._environment())
        return self._printed(case, result)

    def _printed(self, case: Case, result: commands.CommandResult) -> list[Finding]:
        self.figures.statuses[f"exit code {result.code}"] += 1
        found = commands.wrong_with(result)
        return (
            [Finding("command", f"{' '.join(case.command[:2])}: {found}", result.text[-3000:], case)]
            if found
            else []
        )

    async def _configured(self, case: Case, asked: Mapping[str, Any]) -> list[Finding]:
        """Read settings; where the case has a command, by running it with them."""
        if case.command:
            return self._printed(case, await commands.configured(case.command, asked))
        answer = await self._reader.read(asked)
        self.figures.statuses[answer["outcome"]] += 1
        if answer["outcome"] in ("value", "sentence", "impossible"):
            return []
        return [
            Finding("settings", f"{answer['outcome']}: {answer['text'][:160]}", answer.get("detail", ""), case)
        ]

    def _environment(self) -> dict[str, str]:
        return {
            **self.server.site.environment,
            "CASEDEV_API_KEY": sandbox_server.KEY,
            "CASEDEV_BASE_URL": self.upstream.url,
            "RUNLEDGER_PUBLIC_URL": self.server.url,
        }

    async def _until_plans_used(self, runs: Sequence[str]) -> None:
        """Wait until all planned answers were changed, or no more are requested."""
        deadline, open_ = time.monotonic() + SPENT, set(runs)
        while any(plan.times > 0 for plan in self.upstream.plans) and time.monotonic() < deadline:
            for run in list(open_):
                reply = await self.ask(f"/v1/runs/{run}")
                if reply.status != 200 or json.loads(reply.body)["status"] in ENDED:
                    open_.discard(run)
            if not open_:
                deadline = min(deadline, time.monotonic() + LINGER)
            await asyncio.sleep(0.1)

    def _note_plans(self, cases: Sequence[Case]) -> None:
        """Remove the plans, and write into the cases what they did."""
        plans = iter(self.upstream.plans)
        for case in cases:
            for plan in case.plans:
                plan.done[:] = next(plans).done
        self.upstream.plans = []
        self.figures.changed_answers += self.upstream.changed_answers
        self.upstream.changed_answers.clear()

    async def _settle(self, runs: dict[str, Case | None]) -> list[Finding]:
        """Wait until all of these runs have ended."""
        begun, open_ = time.monotonic(), dict(runs)
        self.figures.submitted += len(runs)
        while open_ and time.monotonic() - begun < SETTLED and not self.server.is_dead():
            for run, case in list(open_.items()):
                reply = await self.ask(f"/v1/runs/{run}")
                if reply.status != 200:
                    found = judged(case, calls.Request("GET", b"/v1/runs/{id}"), reply)
                    if found:
                        return found
                elif has_ended(status := json.loads(reply.body)["status"], case):
                    self.figures.settled[status] += 1
                    del open_[run]
            await asyncio.sleep(0.1 if open_ else 0)
        self.figures.settle_seconds = max(self.figures.settle_seconds, time.monotonic() - begun)
        return [await self._unsettled(run, case) for run, case in open_.items()]

    async def _unsettled(self, run: str, case: Case | None) -> Finding:
        shown, jobs = await self.ask(f"/v1/runs/{run}"), await self.ask(f"/v1/jobs?run={run}")
        status, why = "?", "no job"
        with suppress(ValueError, KeyError, TypeError):
            status = json.loads(shown.body)["status"]
            listed = json.loads(jobs.body)["jobs"]
            why = ", ".join(
                f"{job['kind']}: {job.get('lastError') or job.get('error') or job.get('state')}" for job in listed
            )
        return Finding("unsettled", f"{status}, {_normal(why)}", jobs.body[:2000].decode("utf-8", "replace"), case)

    async def _read_all(self, runs: Sequence[str]) -> list[Finding]:
        """Read everything through the API and as pages, of these runs too."""
        targets = [*_READ, *(f"/v1/runs/{run}{part}" for run in runs for part in _READ_OF_RUN)]
        pages = [*_READ_PAGES, *(f"/runs/{run}?tab={tab}" for run in runs for tab in _TABS)]
        gate = asyncio.Semaphore(SIDE_BY_SIDE)

        async def read(target: str, headers: calls.Headers) -> list[Finding]:
            async with gate:
                request = calls.Request("GET", target.encode(), headers)
                return judged(None, request, await self.send(request))

        asked = [read(target, (self.known.auth,)) for target in targets]
        asked += [read(target, self.known.browser) for target in pages]
        return [finding for found in await asyncio.gather(*asked) for finding in found]

    async def _until_ready(self) -> list[Finding]:
        deadline = time.monotonic() + READY
        while (reply := await self.ask("/readyz")).status != 200:
            if time.monotonic() > deadline or self.server.is_dead():
                return [Finding("not ready", _normal(_checks(reply.body)), reply.body.decode("utf-8", "replace"))]
            await asyncio.sleep(0.2)
        return []

    def _observed(self) -> list[Finding]:
        """Return what the prober, the log, and the process itself show."""
        findings = self._probed() + self._logged()
        memory = probing.resident(self.server.pid)
        self.figures.memory = max(self.figures.memory, memory)
        if memory > MEMORY:
            findings.append(Finding("memory", "more than a gibibyte", f"{memory:,} bytes"))
        if self.server.is_dead():
            findings.append(Finding("dead", "the process ended", self.server.log.read_text()[-3000:]))
        return findings

    def _probed(self) -> list[Finding]:
        probes: list[probing.Probe] = []
        with suppress(EOFError, OSError):
            while self._probes.poll():
                probes.append(self._probes.recv())
        self.figures.probes += len(probes)
        worst = max(probes, key=lambda each: each.own, default=None)
        if worst is None:
            return []
        self.figures.slowest = max(self.figures.slowest, worst.own)
        self.figures.slowest_raw = max(self.figures.slowest_raw, *(each.seconds for each in probes))
        if worst.own > HEALTHY:
            detail = f"{worst.seconds:.2f} s, of which {worst.waited:.2f} s waiting for a core"
            return [Finding("stall", "/healthz took more than a second", detail)]
        wrong = [each for each in probes if each.status != 200]
        return [Finding("unhealthy", f"/healthz: {wrong[0].status}")] if wrong else []

    def _logged(self) -> list[Finding]:
        """Return the tracebacks that were logged since the last call."""
        with self.server.log.open("rb") as log:
            log.seek(self._log_read)
            added = log.read()
        self._log_read += len(added)
        return list(_tracebacks(added.decode("utf-8", "replace")))


def _tracebacks(text: str) -> list[Finding]:
    found: dict[str, Finding] = {}
    for line in text.splitlines():
        if "Traceback" in line or "background_task_failed" in line:
            finding = _traceback(line)
            found.setdefault(finding.signature, finding)
    return list(found.values())


def _traceback(line: str) -> Finding:
    """Return the exception, and the last of our own lines in the traceback."""
    event, trace = "", line
    with suppress(ValueError, TypeError):
        entry = json.loads(line)
        event, trace = str(entry.get("event")), str(entry.get("exception", line))
    ours = re.findall(r"(?:receiver|storage)/[\w/]+\.py\", line \d+", trace)
    place = ours[-1].replace('", line ', ":") if ours else "?"
    last = [
        each
        for each in trace.strip().splitlines()
        if re.match(r"[\w.]+(Error|Exception|Exit|Group|Interrupt)\b", each)
    ]
    return Finding("traceback", f"{event} at {place}: {_normal(last[-1] if last else '?')}", trace[-4000:])


def _normal(text: str) -> str:
    """Return a text without what differs each time."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{20,}|\b\w*\d[\w.:-]*", "#", text)[:160]


def _checks(body: bytes) -> str:
    """Return which checks of readiness fail."""
    with suppress(ValueError, AttributeError, TypeError):
        checks = json.loads(body).get("checks", {})
        if isinstance(checks, dict):
            return ", ".join(f"{name}: {each}" for name, each in checks.items() if each not in ("ok", True))
    return body[:300].decode("utf-8", "replace")


def judged(case: Case | None, request: calls.Request, reply: calls.Reply) -> list[Finding]:
    """Return what is wrong with a reply."""
    route = f"{request.method} {template(request.target)}"
    detail = reply.body[:1000].decode("utf-8", "replace")
    status = reply.status
    if reply.late:
        return [Finding("unanswered", f"{route}: nothing for {calls.PATIENCE:.0f} s", case=case)]
    if status == 0:
        return [Finding("unanswered", f"{route}: the connection was closed", case=case)] if request.sound else []
    if status >= 500 and status not in allowed(request):
        return [Finding("5xx", f"{route}: {status}", detail, case)]
    if not reply.whole:
        return [Finding("cut", f"{route}: the answer stops", detail, case)]
    if request.expects == "genuine" and 400 <= status < 500:
        return [
            Finding(
                "genuine event lost", f"{'4xx' if status in (401, 429) else status} {request.note}", detail, case
            )
        ]
    if request.expects == "forged" and 200 <= status < 300:
        return [Finding("forgery taken", f"{status} {request.note}", detail, case)]
    return []


def allowed(request: calls.Request) -> tuple[int, ...]:
    """Return the statuses from 500 on that are allowed: a stream that the upstream breaks is not our fault."""
    path = request.target.partition(b"?")[0]
    return (502, 503) if path.startswith(b"/v1/runs/") and path.endswith(b"/events") else (503,)


def has_ended(status: str, case: Case | None) -> bool:
    """Return whether a run has ended. One whose upstream id was changed cannot be found: it is lost."""
    renamed = case is not None and any(plan.route in ("create", "execute") for plan in case.plans)
    return status in ENDED or (status == "lost" and renamed)


def template(target: bytes) -> str:
    """Return a target without ids and parameters, for the report."""
    path = target.partition(b"?")[0].decode("latin-1")
    path = re.sub(r"((?:/v1)?/(?:runs|deliveries|jobs|views|bulk|keys)/)[^/]+", r"\1{id}", path)
    return re.sub(r"(/callbacks/).*", r"\1{token}", path)[:60]


def submission(known: Known, prompt: str, **fields: Any) -> calls.Request:
    """Return a request that submits a run."""
    body = json.dumps({"agentId": known.agent, "prompt": prompt, **fields}).encode()
    headers = (known.auth, (b"content-type", b"application/json"))
    return calls.Request("POST", b"/v1/runs", headers, body, expects="submission")


@asynccontextmanager
async def opened(kind: str, *, adopt: bool, cluster: postgres.Cluster | None = None) -> AsyncIterator[Bench]:
    """Open a bench with a started server; `cluster` is the PostgreSQL to use, where one runs already."""
    with ExitStack() as stack:
        if kind == "postgresql" and cluster is None:
            cluster = stack.enter_context(postgres.running())

        def fresh() -> Site:
            folder = Path(stack.enter_context(_folder()))
            return Site(folder) if cluster is None or kind == "sqlite" else Site(folder, _odd_database(cluster))

        switches = faults.Faults(event_states=(), callback_retries=3, retry_backoff=0.05)
        sandbox = stack.enter_context(sandbox_server.running(run_seconds=0.05, faults=switches))
        async with upstream_proxy.opened(sandbox.url) as proxy:
            bench = Bench(kind, adopt, fresh, sandbox, proxy)
            try:
                await bench.renew()
                yield bench
            finally:
                await asyncio.to_thread(bench.close)


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="runledger-fuzz-", ignore_cleanup_errors=True)


def _odd_database(cluster: postgres.Cluster) -> str:
    """Return the address of a fresh database whose sessions begin with a time zone and date style not ours."""
    url = cluster.fresh()
    name = url.partition("?")[0].rpartition("/")[2]
    with cluster.admin() as connection:
        connection.execute(f"ALTER DATABASE {name} SET timezone TO 'America/St_Johns'".encode())
        connection.execute(f"ALTER DATABASE {name} SET datestyle TO 'German, DMY'".encode())
    return url
