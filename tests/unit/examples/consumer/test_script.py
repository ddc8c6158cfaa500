"""The shell script that drains units without a line of code in them: which units it stops and starts again."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[4] / "examples/consumer/sluice-drain"
# systemctl show answers for what is in memory; the completion of the lifecycle action brings the instance back.
PROGRAMS = {
    "curl": """case "$*" in
  *api/token*) echo t ;;
  *instance-id*) echo i-1 ;;
  *target-lifecycle-state*) cat "$STATE" ;;
  *) exit 22 ;;
esac""",
    "aws": 'echo "aws $2" >> "$CALLS"; echo InService > "$STATE"',
    "systemctl": """case "$*" in
  "show --property=Id -- worker@*") printf 'Id=worker@1.service\\n\\nId=worker@2.service\\n' ;;
  "show --property=ConsistsOf,Wants,Requires,BindsTo -- workers.target")
    printf 'ConsistsOf=a.service b.service\\nWants=c.service network.target\\nRequires=\\n' ;;
  show*) ;;
  start*) echo "systemctl $*" >> "$CALLS"; kill "$PPID" ;;
  *) echo "systemctl $*" >> "$CALLS" ;;
esac""",
}


@pytest.mark.parametrize(
    ("names", "units"),
    [
        ("worker.service", "worker.service"),
        ("a.service b.service", "a.service b.service"),
        ("a.service,b.service, c.service", "a.service b.service c.service"),
        ("worker@*", "worker@1.service worker@2.service"),
        ("workers.target", "workers.target a.service b.service c.service"),
    ],
)
def test_every_unit_is_stopped_and_started_again_when_several_are_named(names: str, units: str, tmp_path: Path) -> None:
    """One stop waits for all of them before the lifecycle action is completed; a pattern is not one for files."""
    (tmp_path / "worker@9").touch()
    for name, code in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{code}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "state").write_text("Warmed:Running\n")
    settings = {"GROUP": "g", "HOOK": "h", "UNIT": names, "POLL_S": "0.01", "RETRY_S": "0.01"}
    files = {"STATE": str(tmp_path / "state"), "CALLS": str(tmp_path / "calls")}
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["/bin/bash", str(SCRIPT)], check=False, cwd=tmp_path, env=settings | files | path, timeout=20)
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"systemctl stop {units}",
        "aws complete-lifecycle-action",
        f"systemctl start {units}",
    ]
