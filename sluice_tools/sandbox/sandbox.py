"""Starts the embedded emulator, hands out clients and environments for it, deploys into it, and ends all of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import botocore.config

from sluice_tools.sam_cli import SAM, SAM_TIMEOUT_S, SamError, build_template, sam
from sluice_tools.sandbox.archives import archived_template
from sluice_tools.sandbox.emulator.settings import CALLS_ENV, INSTANCES_ENV, SETTINGS_ENV, Settings
from sluice_tools.sandbox.installation import emulator_python

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(__file__).resolve().parents[1]

REGION = "eu-central-1"
ACCOUNT = "000000000000"
"""The emulator's account for callers with the root credentials below."""
ROOT_KEY = "test"
"""Access key and secret of the emulated account's root: only for people and tests, never for functions."""

HEALTH_PATH = "/_ministack/health"
START_TIMEOUT_S = 60.0
"""The emulator answers in 1 to 3 s on an idle machine; a loaded one with two cores may need ten times that."""
START_POLL_S = 0.1
"""Pause between two looks at a starting emulator."""
START_ATTEMPTS = 3
"""The port is free when picked but not held: another process may take it before the emulator binds it."""
STOP_TIMEOUT_S = 20.0
"""Ending the instances takes well under a second; a loaded machine may need many times that."""
SAM_POLL_S = 0.5
"""Between two looks of SAM CLI at a stack: it waits 5 s otherwise, longer than the emulator takes for most stacks."""
ADMIN_TIMEOUT_S = 30.0
"""Admin calls act at once; killing an instance waits for the kernel only."""


class SandboxError(RuntimeError):
    """The sandbox could not do what was asked; the message ends with the log's last lines where there is one."""


def missing() -> str | None:
    """What must be installed before a sandbox can start and SAM CLI can deploy into it, or None."""
    return next((problem for program in (emulator_python(), SAM) if (problem := _missing(program))), None)


def _missing(program: Path) -> str | None:
    return None if program.exists() else f"{program} is missing: run `make setup-sandbox`"


class Sandbox:
    """One running emulator with a directory and a port of its own; a context manager.

    Everything it starts is in its own process group and ends with ``stop``; if this process dies without it, the
    emulator sees its standard input close, ends its instances and exits.
    """

    def __init__(self, settings: Settings | None = None, *, directory: Path | None = None) -> None:
        """Prepare a sandbox; ``directory`` (kept at the end) holds logs and state, default a temporary one."""
        self.settings = settings or Settings()
        self._keep = directory is not None
        self._given = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = Path()
        self.port = 0
        self._session = boto3.session.Session(region_name=REGION)
        self._clients: dict[tuple[object, ...], Any] = {}
        self._making = threading.Lock()

    # --- life ---

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> Self:
        """Start the emulator and wait until it answers.

        Raises:
            SandboxError: Its environment is missing, or it does not come up within START_TIMEOUT_S.
        """
        if problem := _missing(emulator_python()):
            raise SandboxError(problem)
        if self._given is not None:
            self._given.mkdir(parents=True, exist_ok=True)
            self.directory = self._given.resolve()
        else:
            self.directory = Path(tempfile.mkdtemp(prefix="sluice-sandbox-"))
        (self.directory / "tmp").mkdir(exist_ok=True)
        modules = self.directory / "modules"
        modules.mkdir(exist_ok=True)
        # The emulator finds this package there, and nothing of the environment or checkout that the package is in.
        with contextlib.suppress(FileExistsError):
            (modules / PACKAGE.name).symlink_to(PACKAGE)
        for attempt in range(START_ATTEMPTS):
            self.port = _free_port()
            self._spawn()
            try:
                self._wait_until_healthy()
            except SandboxError:
                self._end_emulator()
                if attempt + 1 == START_ATTEMPTS or "already in use" not in self._log_tail():
                    raise
            except BaseException:  # nobody gets what would have to be stopped
                self.stop()
                raise
            else:
                break
        return self

    def stop(self) -> None:
        """End the emulator and every process it started; of a given directory only logs and state stay."""
        self._end_emulator()
        if self.directory == Path():
            return
        # The functions' unpacked code and layers: tens of thousands of files.
        shutil.rmtree(self.directory / "tmp" if self._keep else self.directory, ignore_errors=True)

    def _spawn(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [emulator_python(), "-m", "sluice_tools.sandbox.emulator", "--with-parent"],
                cwd=self.directory / "modules",
                env=self._emulator_env(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _emulator_env(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL") if name in os.environ}
        return inherited | {
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
            "BIND_HOST": "127.0.0.1",
            # No Docker: functions run as processes of the emulator's own interpreter.
            "DOCKER_HOST": "unix:///nonexistent",
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_ENABLED": "0",
            # Lambda tries a failed asynchronous invocation again after one minute, then after two.
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": str(self.settings.minute_s),
            "LAMBDA_ASYNC_RETRY_MAX_SECONDS": str(2 * self.settings.minute_s),
            "LAMBDA_EXECUTOR": "local",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "PYTHONUNBUFFERED": "1",
            "SFTP_ENABLED": "0",
            "TMPDIR": str(self.directory / "tmp"),
            SETTINGS_ENV: self.settings.to_json(),
            CALLS_ENV: str(self.calls_path),
            INSTANCES_ENV: str(self.directory / "instances"),
        }

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._healthy():
            if self._process is not None and (code := self._process.poll()) is not None:
                raise SandboxError(f"the emulator ended with exit code {code}\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise SandboxError(f"the emulator did not answer within {START_TIMEOUT_S:.0f} s\n{self._log_tail()}")
            time.sleep(START_POLL_S)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + HEALTH_PATH, timeout=5) as answer:  # noqa: S310 - our own URL
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False

    def _end_emulator(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            # The emulator ends its instances, its functions and itself when this closes.
            process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # Lambda workers are in the emulator's group: this is for any that it left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def _log_tail(self, lines: int = 30) -> str:
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    # --- what callers use ---

    @property
    def url(self) -> str:
        """The emulator's endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        """The emulator's own log, Lambda output included."""
        return self.directory / "emulator.log"

    @property
    def calls_path(self) -> Path:
        """JSONL: one line an AWS call that authorisation checked."""
        return self.directory / "calls.jsonl"

    @property
    def running(self) -> bool:
        """Whether the emulator's process is alive."""
        return self._process is not None and self._process.poll() is None

    def env(self) -> dict[str, str]:
        """Variables that point the SDKs, the AWS CLI and SAM CLI at this sandbox as its root."""
        return {
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": str(SAM_POLL_S),
        }

    def client(self, service: str, **credentials: str) -> Any:
        """A boto3 client of the sandbox, made once; as root unless boto3's ``aws_*`` credential arguments are given."""
        wanted = (service, *sorted(credentials.items()))
        with self._making:  # sessions are not for several threads, clients are
            if wanted not in self._clients:
                self._clients[wanted] = self._session.client(  # type: ignore[call-overload]
                    service,
                    endpoint_url=self.url,
                    config=botocore.config.Config(max_pool_connections=32, retries={"mode": "standard"}),
                    **({"aws_access_key_id": ROOT_KEY, "aws_secret_access_key": ROOT_KEY} | credentials),
                )
            return self._clients[wanted]

    def deploy(
        self,
        template_dir: Path,
        stack_name: str,
        parameters: Mapping[str, str] | None = None,
        *,
        template: str = "template.yaml",
        build: bool = True,
        sam_args: Sequence[str] = (),
    ) -> dict[str, str]:
        """Build and deploy a SAM template with the real SAM CLI.

        Args:
            template_dir: The folder of the template.
            stack_name: The stack to create or update.
            parameters: Parameter overrides.
            template: The template's file name.
            build: Whether there is code to build; without, the template is deployed as it stands.
            sam_args: More arguments for ``sam deploy``.

        Returns:
            The stack's outputs by key.

        Raises:
            SandboxError: Build or deployment failed; the message ends with SAM CLI's last lines.
        """
        work = self.directory / "sam" / stack_name
        work.mkdir(parents=True, exist_ok=True)
        # In quotes: SAM CLI splits what follows the option at spaces.
        overrides = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in (parameters or {}).items()]
        given = ["--parameter-overrides", *overrides] if overrides else []
        source = template_dir / template
        if build:
            source = self.build_archives(source, work / "build", log=work / "build.log")
        self.sam(
            "deploy", "--template-file", str(source), "--stack-name", stack_name,
            "--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar",
            "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND",
            *given, *sam_args,
            log=work / "deploy.log", cwd=work,
        )  # fmt: skip
        return self.outputs(stack_name)

    def outputs(self, stack_name: str) -> dict[str, str]:
        """A deployed stack's outputs by key."""
        stack = self.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def sam(self, *arguments: str, log: Path, cwd: Path | None = None) -> None:
        """Run SAM CLI against this sandbox, its output appended to ``log``.

        Raises:
            SandboxError: It failed or took more than SAM_TIMEOUT_S; the message ends with its last lines.
        """
        try:
            sam(*arguments, environ=self.sam_env(), log=log, cwd=cwd, timeout_s=SAM_TIMEOUT_S)
        except SamError as error:
            raise SandboxError(str(error)) from error

    def build(self, template: Path, into: Path, *, log: Path) -> Path:
        """Build one of the checkout's templates into a folder, as `build_template` does; the built template.

        Raises:
            SandboxError: The build failed or took more than SAM_TIMEOUT_S; the message ends with its last lines.
        """
        try:
            return build_template(template, into, environ=self.sam_env(), log=log)
        except SamError as error:
            raise SandboxError(str(error)) from error

    def build_archives(self, template: Path, into: Path, *, log: Path) -> Path:
        """As `build`, in the form that costs least to deploy: `archived_template`.

        Raises:
            SandboxError: As `build`.
        """
        try:
            return archived_template(template, into, environ=self.sam_env(), log=log)
        except SamError as error:
            raise SandboxError(str(error)) from error

    def sam_env(self) -> dict[str, str]:
        """This process's environment, but that SAM CLI reaches this sandbox instead of AWS."""
        return {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | self.env()

    # --- admin: what on AWS happens by itself, or by nobody's wish ---

    def admin(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the emulator's own interface under ``/_sandbox/``.

        Raises:
            SandboxError: It refused; the message is its own.
        """
        request = urllib.request.Request(  # noqa: S310 - our own URL
            f"{self.url}/_sandbox/{path.lstrip('/')}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=ADMIN_TIMEOUT_S) as answer:  # noqa: S310 - our own URL
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SandboxError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error

    def instances(self) -> list[dict[str, Any]]:
        """Every instance so far: instance_id, group, state, pid, unit_active, exit_code, log (its output's path)."""
        return list(self.admin("GET", "instances"))

    def instance(self, instance_id: str) -> dict[str, Any]:
        """One of ``instances``."""
        return dict(self.admin("GET", f"instances/{instance_id}"))

    def kill(self, instance_id: str) -> None:
        """SIGKILL everything on an instance, as a crash of its host would: Auto Scaling finds it unhealthy."""
        self.admin("POST", f"instances/{instance_id}/kill")

    def interrupt(self, instance_id: str) -> float:
        """EC2 takes a Spot instance back: notice and event now, the end after ``spot_notice_s``; when that is."""
        return float(self.admin("POST", f"instances/{instance_id}/spot-interruption")["ends_at"])

    def recommend_rebalance(self, instance_id: str) -> None:
        """EC2 finds a Spot instance at elevated risk of interruption."""
        self.admin("POST", f"instances/{instance_id}/rebalance-recommendation")

    def fail_launches(self, group: str, *messages: str) -> None:
        """Let the group's next launches fail with these status messages, one each."""
        self.admin("POST", f"groups/{group}/launch-failures", {"messages": messages})

    def emit(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str] = ()) -> None:
        """Put an event of an AWS service on the default bus, as only AWS can."""
        event = {"source": source, "detail-type": detail_type, "detail": detail, "resources": list(resources)}
        self.admin("POST", "events", event)

    def metadata(self, instance_id: str, path: str) -> str | None:
        """What an instance reads at ``latest/meta-data/<path>``; None where EC2 answers 404."""
        url = f"{self.url}/_sandbox/imds/{instance_id}/latest/meta-data/{path}"
        try:
            with urllib.request.urlopen(url, timeout=ADMIN_TIMEOUT_S) as answer:  # noqa: S310 - our own URL
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise

    def calls(self) -> list[dict[str, Any]]:
        """Every AWS call that authorisation checked so far: principal, action, resource, allowed."""
        if not self.calls_path.exists():
            return []
        return [json.loads(line) for line in self.calls_path.read_text().splitlines()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
