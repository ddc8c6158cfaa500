"""Cuts a release into dist/: `python -m sluice_tools.release` builds and checks, `--version 0.3.0` sets the version.

It changes nothing outside dist/ when it builds, makes no tag and pushes nothing; RELEASE.md has the steps.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from sluice_tools.cfn import Template
from sluice_tools.deploy.build import CODE, EARLIEST, TEMPLATES, archive_of

ROOT = Path(__file__).resolve().parents[1]
BOM_TOOL = ROOT / ".envs/release/bin/cyclonedx-py"
LOCK = "requirements/runtime.txt"
"""What the layer is built from, and so what a wheel carries of others' code."""
VERSION = re.compile(r"\d+\.\d+\.\d+")
IN_PROJECT = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
IN_TEMPLATE = re.compile(r"(?<=\n    Sluice: \{ Version: )[^ ]+(?= \}\n)")
NAMED_CODE = re.compile(rf"^( +(?:{'|'.join(CODE)}): )(\S+)$", re.MULTILINE)
DEPLOYMENT = "sluice_tools/deployment/"
"""Where a wheel has what is deployed."""
PAGE = "docs/deploying.md"
IN_PAGE = re.compile(r"(your-bucket/sluice/|--semantic-version )(\d+\.\d+\.\d+)")
"""In the URLs and lines that the page on deploying prints."""
UNRELEASED = "## Unreleased\n"
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


class ReleaseError(RuntimeError):
    """There can be no release; each of `problems` names the file, and what would be right."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def version_of(root: Path) -> str:
    """The project's version."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def set_version(root: Path, version: str, today: date) -> None:
    """Write a version into the project, the templates, the page on deploying and the changelog's unreleased changes.

    Raises:
        ReleaseError: it is no version, or not later than the project's; or nothing is unreleased.
    """
    if not VERSION.fullmatch(version):
        raise ReleaseError(f"VERSION: must be three numbers such as 0.3.0 (got {version!r})")
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text()
    if f"\n## {version} - " in text:
        raise ReleaseError(f"VERSION: CHANGELOG.md has {version} already; a release is mended by the next one")
    if UNRELEASED not in text or not _changes(text, "Unreleased"):
        raise ReleaseError("CHANGELOG.md: nothing is below `## Unreleased`, so there is nothing to release")
    changelog.write_text(text.replace(UNRELEASED, f"{UNRELEASED}\n## {version} - {today.isoformat()}\n", 1))
    write_version(version, root)


def write_version(version: str, root: Path) -> None:
    """Write a version into the project, the templates and the page on deploying."""
    project = root / "pyproject.toml"
    project.write_text(IN_PROJECT.sub(f'version = "{version}"', project.read_text(), count=1))
    for name in TEMPLATES:
        path = root / name
        path.write_text(IN_TEMPLATE.sub(version, path.read_text(), count=1))
    page = root / PAGE
    page.write_text(IN_PAGE.sub(rf"\g<1>{version}", page.read_text()))


def problems(root: Path) -> list[str]:
    """What is in the way of a release, a sentence each."""
    version, text = version_of(root), (root / "CHANGELOG.md").read_text()
    found = []
    dirty = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    if dirty:
        found.append(f"the tree has changes that are not committed:\n{dirty.rstrip()}")
    found += [
        f"{name}: has version {there}, and pyproject.toml has {version}: run `make version`"
        for name in TEMPLATES
        if (there := template_version(root / name)) != version
    ]
    sections = SECTION.findall(text)
    if sections[:1] != ["Unreleased"] or _changes(text, "Unreleased"):
        found.append("CHANGELOG.md: must begin with an empty `## Unreleased`: run `make version`")
    dated = [one for one in sections[1:2] if re.fullmatch(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d", one)]
    if not dated or not _changes(text, dated[0]):
        found.append(f"CHANGELOG.md: must have the changes of {version} below `## {version} - ` and the date")
    return found


def template_version(path: Path) -> str:
    """The version that a template has."""
    return str(Template.load(path).body["Mappings"]["Release"]["Sluice"]["Version"])


def _changes(changelog: str, section: str) -> list[str]:
    """The changes in a section."""
    body = changelog.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return [line for line in body.splitlines() if line.startswith("- ")]


def build(root: Path, dist: Path, uv: str) -> list[Path]:
    """Build a release's files into a folder that is emptied first.

    Args:
        root: the checkout.
        dist: the folder.
        uv: the program.

    Returns:
        The wheel; an archive of what is deployed, for other tools than `sluice deploy`; the CycloneDX bill of materials
        of the layer's libraries; and the SHA-256 digest of each of the three.
    """
    version = version_of(root)
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir(parents=True)
    _run([uv, "build", "--quiet", "--wheel", "--out-dir", str(dist), "."], root)
    (dist / ".gitignore").unlink(missing_ok=True)
    (wheel,) = dist.glob("*.whl")
    deployment = dist / f"sluice-{version}-deployment.zip"
    pack_deployment(wheel, root / "samconfig.toml", deployment)
    bom = dist / f"sluice-{version}.cdx.json"
    _run([str(BOM_TOOL), "requirements", LOCK, "--pyproject", "pyproject.toml", "--output-reproducible",
          "--output-format", "JSON", "--output-file", str(bom)], root)  # fmt: skip
    files = sorted([wheel, deployment, bom])
    sums = dist / "SHA256SUMS"
    sums.write_text("".join(f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.name}\n" for one in files))
    return [*files, sums]


def pack_deployment(wheel: Path, config: Path, archive: Path) -> None:
    """Pack what SAM CLI deploys without a clone and without a build.

    Args:
        wheel: has templates and code.
        config: SAM CLI's settings, which have the capabilities that the templates need.
        archive: the archive; its one folder is `deployment`.
    """
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            if not entry.filename.startswith(DEPLOYMENT):
                continue
            content = source.read(entry)
            name = entry.filename.removeprefix(DEPLOYMENT)
            if name in TEMPLATES:
                content = NAMED_CODE.sub(_built, content.decode()).encode()
            entry.filename = f"deployment/{name}"
            target.writestr(entry, content)
        target.writestr(zipfile.ZipInfo(f"deployment/{config.name}", EARLIEST), config.read_bytes())


def _built(named: re.Match[str]) -> str:
    """A template's line with the archive of the code in place of the folder of its source."""
    return f"{named[1]}code/{archive_of(named[2])}"


def _run(command: list[str], root: Path) -> None:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(command[:2])} failed:\n{(done.stdout + done.stderr).strip()[-4_000:]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Set the version or build the release, and print what was done."""
    parser = argparse.ArgumentParser(prog="sluice_tools.release", description=__doc__)
    parser.add_argument("--version", help="set this version, such as 0.3.0, and build nothing")
    parser.add_argument("--uv", default="uv", help="the program uv")
    given = parser.parse_args(arguments)
    found: Sequence[str] = ()
    try:
        if given.version is not None:
            set_version(ROOT, given.version, datetime.now(UTC).date())
            print(f"pyproject.toml, {', '.join(TEMPLATES)}, {PAGE} and CHANGELOG.md have version {given.version}.")
        elif not (found := problems(ROOT)):
            for path in build(ROOT, ROOT / "dist", given.uv):
                print(path.relative_to(ROOT))
    except ReleaseError as error:
        found = error.problems
    for problem in found:
        print(f"release: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
