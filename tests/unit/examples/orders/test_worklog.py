"""The lines that prove that no order was interrupted."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from examples.orders.orders.worklog import WorkLog, read_worklog


def test_worklog_holds_whole_lines_when_many_write_at_once(tmp_path: Path) -> None:
    """Writers of several processes share a file; here several logs on it, from several threads."""
    logs = [WorkLog(f"i-{number}", tmp_path / "work.jsonl", clock=lambda: 12.3456) for number in range(4)]
    with ThreadPoolExecutor(8) as threads:
        for number in range(400):
            threads.submit(logs[number % 4].write, "started", message_id=f"m{number}", order_id="x" * 200)
    lines = [json.loads(line) for line in (tmp_path / "work.jsonl").read_text().splitlines()]
    assert len(lines) == 400
    assert {line["message_id"] for line in lines} == {f"m{number}" for number in range(400)}
    assert {line["at"] for line in lines} == {12.346}


def test_audit_finds_nothing_interrupted_when_all_work_ended(tmp_path: Path) -> None:
    """Each beginning has its end, whatever the outcome."""
    log = WorkLog("i-1", tmp_path / "work.jsonl")
    for number, outcome in enumerate(["stored", "stored", "dead_lettered", "returned"]):
        log.write("started", message_id=f"m{number}")
        log.write("finished", message_id=f"m{number}", outcome=outcome)
    log.write("drained")
    audit = read_worklog((tmp_path / "work.jsonl").read_text().splitlines())
    assert audit.started == 4
    assert audit.outcomes == {"stored": 2, "dead_lettered": 1, "returned": 1}
    assert audit.interrupted == ()
    assert audit.drains == 1


def test_audit_names_what_was_interrupted_when_a_process_was_killed() -> None:
    """The same message finished by another process does not excuse the first."""
    lines = [
        {"event": "started", "instance": "i-1", "process": 1, "message_id": "m1"},
        {"event": "started", "instance": "i-2", "process": 1, "message_id": "m1"},
        {"event": "finished", "instance": "i-2", "process": 1, "message_id": "m1", "outcome": "stored"},
        {"event": "started", "instance": "i-2", "process": 2, "message_id": "m2"},
    ]
    audit = read_worklog(["", "not JSON", "[1]", *(json.dumps(line) for line in lines)])
    assert audit.interrupted == (("i-1", "m1"), ("i-2", "m2"))
