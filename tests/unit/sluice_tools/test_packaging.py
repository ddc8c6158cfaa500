"""What an installation of Sluice brings along, as pyproject.toml says it."""

import re
import tomllib
from pathlib import Path

import pytest

from sluice_tools.cfn import Template
from sluice_tools.deploy.build import TEMPLATES, archive_of, code_of, template_file
from sluice_tools.extras import EXTRAS, missing_extra

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def named(requirements: list[object]) -> dict[str, str]:
    """The specifier of each requirement by its library's name."""
    found = [re.match(r"([a-z0-9-]+)(?:\[[^]]*\])?(.*)", one) for one in requirements if isinstance(one, str)]
    return {one[1]: one[2] for one in found if one}


def test_requirements_agree_when_commands_and_layer_have_the_same_library() -> None:
    """Only libraries of the core are named twice, with the same bounds."""
    commands, layer = named(PROJECT["project"]["dependencies"]), named(PROJECT["dependency-groups"]["runtime"])

    shared = commands.keys() & layer.keys()

    assert shared == {"botocore", "htpy", "pydantic"}
    assert {name: commands[name] for name in shared} == {name: layer[name] for name in shared}


def test_lock_has_the_projects_requirements_when_compiled() -> None:
    """The development environment has what an installation has, and the extra."""
    lock = (ROOT / "requirements/dev.txt").read_text()
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["backtest"]]

    assert [name for name in named(wanted) if f"\n{name}==" not in lock] == []


def test_extra_is_named_when_its_library_is_missing() -> None:
    """Also where the import failed further down; another missing module is not for want of an extra."""
    error = ImportError("no module")
    error.__cause__ = ModuleNotFoundError("No module named 'scipy'", name="scipy.optimize")

    assert (missing_extra(error) or "").startswith("scipy is not installed. It comes with the extra `backtest`")
    assert missing_extra(ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere")) is None


def test_extras_are_those_of_the_project_when_compared() -> None:
    """Each library of an extra has the extra's name for the message."""
    declared = PROJECT["project"]["optional-dependencies"]

    assert {library: extra for extra, group in declared.items() for library in named(group)} == EXTRAS


@pytest.mark.parametrize("name", TEMPLATES)
def test_code_has_its_makefile_when_a_template_names_it(name: str) -> None:
    """Whatever a template builds has a target for it, and every local source is built."""
    template = Template.load(template_file(name))
    found = code_of(template)

    for logical_id, source in found.items():
        assert re.search(rf"^[^#\n]*\bbuild-{logical_id}\b.*:", (ROOT / source / "Makefile").read_text(), re.MULTILINE)
        assert archive_of(source) == source.replace("/", "-") + ".zip"
    kinds = {"AWS::Serverless::Function", "AWS::Serverless::LayerVersion"}
    assert set(found) == {key for key, resource in template.resources.items() if resource["Type"] in kinds}
