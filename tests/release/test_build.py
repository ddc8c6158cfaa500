"""`sam build` as anyone would run it: for both architectures, from the locks, and no heavier than it must be."""

from __future__ import annotations

import marshal
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sluice_tools.sam_cli import SAM, build_template
from sluice_tools.sandbox.sandbox import ROOT

pytestmark = pytest.mark.sandbox

BUILD_TIMEOUT_S = 600.0
"""A cold cache of packages on a slow line; two seconds otherwise."""
LAYER_BYTES_MAX = 38 * 1024 * 1024
"""Unpacked, of both layers together, 6 MB of it botocore; Lambda allows 250 MB. A cold start pays for what it loads."""
ELF_MACHINE = {"x86_64": 62, "aarch64": 183}
HEADER_SIZE = 16
"""Of a .pyc file, before the marshalled code (PEP 552)."""
UNCHECKED = 1
"""Flags of a .pyc file that is trusted without a look at its source (PEP 552)."""


def build(directory: Path, architecture: str) -> Path:
    """Build the stack for an architecture without SAM CLI's cache; where it was written."""
    tools = [ROOT / ".envs/sam/bin", ROOT / ".envs/bootstrap/bin"]
    path = os.pathsep.join([*map(str, tools), os.environ["PATH"]])
    subprocess.run(
        [
            SAM, "build", "--template-file", ROOT / "template.yaml", "--build-dir", directory, "--no-cached",
            "--parameter-overrides", f"Architecture={architecture}",
        ],
        cwd=directory.parent,
        env=os.environ | {"PATH": path, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-west-1"},
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )  # fmt: skip
    return directory


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stack built for arm64, the parameter's default, as other tests deploy it: once for a state of the sources."""
    if not SAM.exists():
        pytest.skip("BUILD TESTS NOT RUN: SAM CLI is missing: run `make setup-sandbox`")
    directory = tmp_path_factory.mktemp("build")
    environ = os.environ | {"AWS_DEFAULT_REGION": "eu-west-1"}
    return build_template(
        ROOT / "template.yaml", directory / "arm64", environ=environ, log=directory / "build.log"
    ).parent


def test_build_is_the_same_when_the_architecture_differs(built: Path, tmp_path: Path) -> None:
    """One build serves both architectures, so the parameter is of the deployment alone."""
    other = build(tmp_path / "x86_64", "x86_64")

    def files(directory: Path) -> set[str]:
        return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}

    assert files(built) == files(other)


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_extension_modules_are_there_when_either_architecture_runs(built: Path, architecture: str) -> None:
    """Each module's twin, of the machine that its name says."""
    modules = sorted((built / "DepsLayer").rglob(f"*.cpython-313-{architecture}-linux-gnu.so"))

    assert {module.name.split(".")[0] for module in modules} >= {"_pydantic_core", "_speedups"}
    for module in modules:
        (machine,) = struct.unpack_from("<H", module.read_bytes(), 18)
        assert machine == ELF_MACHINE[architecture], module.name
    assert len(modules) * 2 == len(list((built / "DepsLayer").rglob("*.so")))


def test_layers_are_light_when_built(built: Path) -> None:
    """Nothing that no function imports."""
    size = 0
    for layer in ("CoreLayer", "DepsLayer"):
        size += sum(path.stat().st_size for path in (built / layer).rglob("*") if path.is_file())
    names = {path.name for path in (built / "DepsLayer/python").iterdir()}

    assert size < LAYER_BYTES_MAX
    assert not names & {"boto3", "s3transfer", "bin", "wrapt-stubs", ".lock"}
    assert not [path for path in built.rglob("tests") if path.is_dir()]
    assert {path.name for path in (built / "CoreLayer").iterdir()} == {"python"}
    assert {path.name for path in (built / "CoreLayer/python").iterdir()} == {"sluice"}


@pytest.mark.parametrize("name", ["Planner", "Drainer", "Redriver", "Operator", "Console"])
def test_function_is_its_handler_when_built(built: Path, name: str) -> None:
    """One file each; all else is in the layers."""
    assert [path.name for path in (built / name).iterdir()] == ["app.py"]


def test_layers_import_when_nothing_else_is_on_the_path(built: Path) -> None:
    """As on Lambda, where layers come before what the runtime has, and nothing of that is needed."""
    layers = [str(built / layer / "python") for layer in ("CoreLayer", "DepsLayer")]
    code = (
        f"import sys; sys.path[:0] = {layers!r}\n"
        "import aws_lambda_powertools, aws_xray_sdk, botocore.session, htpy, pydantic, urllib3\n"
        "import sluice, sluice.aws, sluice.config, sluice.planning.planner\n"
        f"assert sluice.__file__.startswith({layers[0]!r}), sluice.__file__\n"
        "for module in (aws_lambda_powertools, aws_xray_sdk, botocore, htpy, pydantic, urllib3):\n"
        f"    assert module.__file__.startswith({layers[1]!r}), module.__file__\n"
        "assert 'boto3' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=60)


def test_clients_are_made_when_only_the_models_in_use_are_there(built: Path) -> None:
    """Of each service, in each partition, from the layer alone; it knows the fields that older versions lack."""
    services = (ROOT / "layers/deps/services.txt").read_text().split()
    layer = built / "DepsLayer/python"
    assert sorted(path.name for path in (layer / "botocore/data").iterdir() if path.is_dir()) == services
    code = (
        f"import sys; sys.path[:0] = [{str(layer)!r}]\n"
        "import botocore.session\n"
        "session = botocore.session.Session()\n"
        "key = dict(aws_access_key_id='a', aws_secret_access_key='b')\n"
        f"for service in {services!r}:\n"
        "    for region, suffix in (('eu-west-1', 'amazonaws.com'), ('us-gov-west-1', 'amazonaws.com'),\n"
        "                           ('cn-north-1', 'amazonaws.com.cn')):\n"
        "        client = session.create_client(service, region_name=region, **key)\n"
        "        host = client.meta.endpoint_url\n"
        "        assert host.endswith(suffix), host\n"
        "        client.meta.service_model.operation_names\n"
        "groups = session.create_client('autoscaling', region_name='eu-west-1', **key).meta.service_model\n"
        "assert 'InstanceLifecyclePolicy' in groups.shape_for('AutoScalingGroup').members\n"
        "ssm = session.create_client('ssm', region_name='eu-west-1', **key)\n"
        "assert ssm.can_paginate('get_parameters_by_path') and ssm.can_paginate('get_parameter_history')\n"
    )

    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        ("CoreLayer", "sluice/config/fleet.py"),
        ("DepsLayer", "pydantic/__init__.py"),
        ("DepsLayer", "botocore/session.py"),
    ],
)
def test_byte_code_comes_along_when_layers_are_read_only(built: Path, layer: str, source: str) -> None:
    """Lambda could not write it; it is trusted as it is, and names files as they are on Lambda."""
    path = built / layer / "python" / source
    compiled = path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc"
    data = compiled.read_bytes()

    assert int.from_bytes(data[4:8], "little") == UNCHECKED
    assert marshal.loads(data[HEADER_SIZE:]).co_filename == f"/opt/python/{source}"


def test_layer_is_whole_when_uv_is_missing(built: Path, tmp_path: Path) -> None:
    """The same by pip from the same lock, where there is neither uv nor a Python 3.13 by that name."""
    source, artifacts, path = tmp_path / "deps", tmp_path / "layer", tmp_path / "bin"
    shutil.copytree(ROOT / "layers/deps", source)
    path.mkdir()
    programs = {name: shutil.which(name) for name in ("bash", "find", "make", "rm", "tar")}
    for program, found in (programs | {"python3": f"{sys.base_prefix}/bin/python3"}).items():
        (path / program).write_text(f'#!/bin/sh\nexec {found} "$@"\n')
        (path / program).chmod(0o755)
    has_pip = subprocess.run(["python3", "-m", "pip", "--version"], env={"PATH": str(path)}, check=False, timeout=60)
    if has_pip.returncode != 0:
        pytest.skip("LAYER WITH PIP NOT BUILT: this machine's python3 has no pip")

    subprocess.run(
        ["make", "build-DepsLayer", f"ARTIFACTS_DIR={artifacts}"],
        cwd=source,
        env={"PATH": str(path), "HOME": os.environ["HOME"]},
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )

    def code(directory: Path) -> set[str]:
        kept = (".py", ".so")
        return {str(found.relative_to(directory)) for found in directory.rglob("*") if found.suffix in kept}

    assert code(artifacts) == code(built / "DepsLayer")
