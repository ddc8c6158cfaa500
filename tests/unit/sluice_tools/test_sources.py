"""Where the project's own source is, and what it imports."""

from pathlib import Path

from sluice_tools.sources import CHECKOUT, CORE, closure, digest, path_of


def test_closure_when_a_module_imports_others() -> None:
    """All that it imports of the project, by name, and nothing of others."""
    found = closure("sluice_tools.backtest.policies.sluice", roots=(CHECKOUT, CORE))
    assert {
        "sluice.planning.planner",
        "sluice.planning.deadlines",
        "sluice.config.fleet",
        "sluice_tools.backtest.simulator",
    } <= found.keys()
    assert not any(name.startswith(("numpy", "pydantic")) for name in found)
    assert (
        found["sluice.planning.planner"]
        == path_of("sluice.planning.planner")
        == CORE / "sluice" / "planning" / "planner.py"
    )


def test_digest_when_code_changes(tmp_path: Path) -> None:
    """Code counts, in what is imported too; words and what is outside do not."""
    package = tmp_path / "room"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "policy.py").write_text(
        '"""One."""\nimport json\nfrom room import rules\n\n\ndef f():\n    return rules.A\n'
    )
    (package / "rules.py").write_text("from room.deep import B\nA = B\n")
    (package / "deep.py").write_text("B = 1\n")
    (package / "apart.py").write_text("C = 1\n")

    def digested() -> str:
        return digest("room.policy", (tmp_path,))

    before = digested()
    (package / "policy.py").write_text(
        '"""Two."""\nimport json\nfrom room import rules\n\n\ndef f():\n    """Said."""\n    return rules.A  # why\n'
    )
    (package / "apart.py").write_text("C = 2\n")
    assert digested() == before
    (package / "deep.py").write_text("B = 2\n")
    assert digested() != before
