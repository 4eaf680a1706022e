"""Emulates Lambda for a function: execution environments, each a process with Lambda's runtime client.

An environment fetches invocations from its Runtime API, one at a time, and posts the result of each; this
module has that API. As in Lambda, an idle environment is reused, another is started while all are busy,
and one that times out or dies is discarded.
"""

import contextlib
import ctypes
import json
import queue
import signal
import socketserver
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from deploy.runtime import NAME

ROOT = Path(__file__).resolve().parent.parent.parent
INTERPRETER = ROOT / ".tools" / "runtime" / "bin" / "python"
START_SECONDS = 30

# The parent-death signal fires when the thread that started the child ends: so one thread stays alive.
_SPAWNER = ThreadPoolExecutor(1, "spawner")
_popen: Callable[..., "subprocess.Popen[bytes]"] = subprocess.Popen


class FunctionError(Exception):
    """The function raised an exception; ``error`` is what its runtime client posted."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error.get('errorType')}: {error.get('errorMessage')}")
        self.error = error


class EnvironmentDiedError(Exception):
    """The environment ended, or was ended, before it returned a result."""


@dataclass
class _Outcome:
    at: float
    failed: bool
    body: bytes


class _RuntimeApi(socketserver.ThreadingMixIn, HTTPServer):
    """The Runtime API of one environment."""

    daemon_threads = True

    def __init__(self, arn: str) -> None:
        super().__init__(("127.0.0.1", 0), _RuntimeHandler)
        self.arn = arn
        self.events: queue.Queue[tuple[str, bytes, float]] = queue.Queue()
        self.outcomes: queue.Queue[_Outcome] = queue.Queue()

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: environments are ended in the middle of a request."""


class _RuntimeHandler(BaseHTTPRequestHandler):
    server: _RuntimeApi
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        request_id, event, deadline = self.server.events.get()
        self._respond(
            200,
            event,
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": self.server.arn,
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
            },
        )

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        outcome = _Outcome(time.perf_counter(), not self.path.endswith("/response"), body)
        self.server.outcomes.put(outcome)
        self._respond(202, b"", {})

    def _respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


class Environment:
    """One execution environment of a function, started on creation. Its log goes to ``log``."""

    def __init__(self, task_root: Path, handler: str, variables: Mapping[str, str], log: Path) -> None:
        name = handler.partition(".")[2]
        self._api = _RuntimeApi(f"arn:aws:lambda:us-east-1:123456789012:function:{name}")
        self._thread = threading.Thread(target=self._api.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.log = log
        self.started = time.perf_counter()
        with log.open("ab") as output:
            self._process = _SPAWNER.submit(
                _popen,
                [INTERPRETER, "-m", "awslambdaric", handler],
                cwd=task_root,
                env={
                    "PATH": "/usr/local/bin:/usr/bin:/bin",
                    "LANG": "en_US.UTF-8",
                    "TZ": ":UTC",
                    "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's code directory cannot be written to
                    "PYTHONPATH": str(task_root),
                    "LAMBDA_TASK_ROOT": str(task_root),
                    "_HANDLER": handler,
                    "AWS_EXECUTION_ENV": f"AWS_Lambda_{NAME}",
                    "AWS_LAMBDA_FUNCTION_NAME": name,
                    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
                    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
                    "AWS_LAMBDA_LOG_FORMAT": "JSON",
                    "AWS_LAMBDA_LOG_LEVEL": "INFO",
                    "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}",
                    **variables,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,
            ).result()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used (Linux)."""
        [line] = Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").splitlines()
        return int(line.split()[0]) / 1e9

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def invoke(self, event: Any, seconds: float = START_SECONDS) -> Any:
        """Return the function's result. Raises FunctionError or EnvironmentDiedError."""
        return json.loads(self.invoke_raw(json.dumps(event).encode(), seconds)[0])

    def invoke_raw(self, event: bytes, seconds: float = START_SECONDS) -> tuple[bytes, float]:
        """Return the function's result as posted, and when it arrived (``time.perf_counter``)."""
        ends = time.monotonic() + seconds
        self._api.events.put((str(uuid.uuid4()), event, time.time() + seconds))
        while True:
            try:
                outcome = self._api.outcomes.get(timeout=0.05)
            except queue.Empty:
                if not self.alive:
                    with contextlib.suppress(queue.Empty):  # it may have posted its result just before
                        outcome = self._api.outcomes.get_nowait()
                        break
                    raise EnvironmentDiedError("The environment died.") from None
                if time.monotonic() > ends:
                    self.kill()
                    raise EnvironmentDiedError("The environment ran out of time.") from None
            else:
                break
        if outcome.failed:
            raise FunctionError(json.loads(outcome.body))
        return outcome.body, outcome.at

    def kill(self) -> None:
        """Kill the process (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Kill the process and stop its Runtime API."""
        self.kill()
        self._api.shutdown()
        self._thread.join()
        self._api.server_close()

    def peak_memory(self) -> int:
        """Return the peak memory (resident set) so far, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


@dataclass
class Function:
    """A function and its environments. ``seconds`` is its timeout."""

    name: str
    task_root: Path
    handler: str
    variables: Mapping[str, str]
    seconds: float
    logs: Path
    environments: list[Environment] = field(default_factory=list)
    busy: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def invoke(self, event: Any) -> Any:
        """Invoke it in an idle environment or a new one. Raises FunctionError or EnvironmentDiedError."""
        with self._reserved() as environment:
            return environment.invoke(event, self.seconds)

    @contextlib.contextmanager
    def _reserved(self) -> Iterator[Environment]:
        with self._lock:
            self.environments = [one for one in self.environments if one.alive]
            idle = [one for one in self.environments if one.pid not in self.busy]
            environment = idle[0] if idle else self._start()
            self.busy.add(environment.pid)
        try:
            yield environment
        finally:
            with self._lock:
                self.busy.discard(environment.pid)

    def kill_busy(self) -> None:
        """Kill every environment that is handling an invocation."""
        for environment in list(self.environments):
            if environment.pid in self.busy:
                environment.kill()

    def close(self) -> None:
        """Kill every environment."""
        for environment in self.environments:
            environment.close()
        self.environments.clear()

    def read_logs(self) -> str:
        """Return everything that its environments have logged."""
        return "".join(file.read_text(encoding="utf-8") for file in sorted(self.logs.glob(f"{self.name}-*")))

    def _start(self) -> Environment:
        log = self.logs / f"{self.name}-{uuid.uuid4().hex}.log"
        environment = Environment(self.task_root, self.handler, self.variables, log)
        self.environments.append(environment)
        return environment


def _die_with_parent() -> None:
    """Have Linux kill this process when its parent ends."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
