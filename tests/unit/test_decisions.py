"""The decision records in docs/adr, held to their index, to each other and to CONTRIBUTING.md's template."""

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/adr"
FILES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
SECTIONS = ["Status", "Context", "Decision", "Rejected"]
LINK = r"\[(\d{4})\]\(([^)]+\.md)\)"


@dataclass(frozen=True)
class Record:
    """One record: its number, its title, and the text of each section by heading."""

    number: str
    title: str
    sections: dict[str, str]

    @property
    def status(self) -> str:
        """The status on one line, however it is wrapped."""
        return " ".join(self.sections["Status"].split())

    def related(self, relation: str) -> set[str]:
        """The numbers of the records to which the status names this relation ("Supersedes", "Amended by")."""
        return {number for number, _ in re.findall(rf"\b{relation} {LINK}", self.status)}


def read(path: Path) -> Record:
    """A record out of its file."""
    head, *sections = re.split(r"^## ", path.read_text(), flags=re.MULTILINE)
    title = re.fullmatch(r"# (\d{4})\. (.+)\n+", head)
    assert title, f"{path.name} begins with '# NNNN. Title', not with {head[:40]!r}"
    parts = dict(section.split("\n", 1) for section in sections)
    return Record(title[1], title[2], {heading: text.strip() for heading, text in parts.items()})


RECORDS = {path.name: read(path) for path in FILES}


def test_records_when_their_form_is_read() -> None:
    """Number and title are the file's name, the sections are there in order, and each says something."""
    for name, record in RECORDS.items():
        slug = re.sub(r"[^a-z0-9]+", "-", record.title.lower().replace("'s", "s")).strip("-")
        assert name == f"{record.number}-{slug}.md"
        assert list(record.sections) in (SECTIONS, [*SECTIONS, "Consequences"]), name
        assert all(record.sections.values()), name


def test_status_when_it_is_read() -> None:
    """Each record is accepted, or superseded by another one, on a date that exists."""
    for name, record in RECORDS.items():
        status = re.match(rf"(?:Superseded by {LINK}\. )?Accepted on (\d{{4}}-\d\d-\d\d)\.", record.status)
        assert status, f"{name}: {record.status}"
        assert date.fromisoformat(status[3])


def test_numbers_when_counted() -> None:
    """Each number is given once, without a gap."""
    assert [record.number for record in RECORDS.values()] == [f"{n:04d}" for n in range(1, len(RECORDS) + 1)]


def test_index_when_held_to_the_files() -> None:
    """Each record has its line, in order, with its number, title and status, and nothing else has one."""
    index = (FOLDER / "README.md").read_text()
    rows = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \| (.+) \|$", index, flags=re.MULTILINE)
    expected = []
    for name, record in RECORDS.items():
        superseded = re.match(rf"Superseded by {LINK}", record.status)
        status = f"superseded by [{superseded[1]}]({superseded[2]})" if superseded else "accepted"
        expected.append((record.number, name, record.title, status))
    assert rows == expected


@pytest.mark.parametrize(("relation", "inverse"), [("Supersedes", "Superseded by"), ("Amends", "Amended by")])
def test_relation_when_one_record_changes_another(relation: str, inverse: str) -> None:
    """Both records say so."""
    pairs = {(record.number, other) for record in RECORDS.values() for other in record.related(relation)}
    answers = {(other, record.number) for record in RECORDS.values() for other in record.related(inverse)}
    assert pairs
    assert pairs == answers


def test_links_when_followed() -> None:
    """Each link between records leads to a file that is there, and its number is that file's."""
    for path in [*FILES, FOLDER / "README.md"]:
        for number, target in re.findall(LINK, path.read_text()):
            assert target in RECORDS, f"{path.name} links to {target}"
            assert RECORDS[target].number == number, f"{path.name} calls {target} {number}"


def test_template_when_compared() -> None:
    """CONTRIBUTING.md's template has the sections that this test asks for, in the same order."""
    template = re.search(r"```markdown\n(# 0.+?)```", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    assert template
    assert re.findall(r"^## (\w+)$", template[1], flags=re.MULTILINE) == [*SECTIONS, "Consequences"]
