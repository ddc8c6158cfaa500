"""No document, template or code uses a private word (tests/support/words.py), but for the exceptions below.

And no class of what is deployed has the name of another.
"""

import ast
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.words import PRIVATE, Text, find

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Excepted:
    """One place that may use a private word.

    Attributes:
        file: its path in the repository.
        line: a part of the line that no other line of the file has.
        word: the private word there, as `find` names it.
        reason: why it is the right word there.
    """

    file: str
    line: str
    word: str
    reason: str


MIGRATIONS = "layers/core/sluice/aws/ledger/migrations.py"
OLD_FIELD = "a field or a code of a record that an older version wrote"
EXCEPTIONS = (
    Excepted(MIGRATIONS, '"sightings": ("samples",)', "sightings", OLD_FIELD),
    Excepted(MIGRATIONS, 'and "sightings" in queue', "sightings", OLD_FIELD),
    Excepted(MIGRATIONS, 'queue.pop("sightings")', "sightings", OLD_FIELD),
    Excepted(MIGRATIONS, '"kept_back": ("margin", "share")', "kept back", OLD_FIELD),
    Excepted(MIGRATIONS, '"unproven": "cold-start"', "unproven", OLD_FIELD),
    Excepted(MIGRATIONS, '"stabilising": "stabilization-window"', "stabilising", OLD_FIELD),
)


def listed(*patterns: str) -> list[str]:
    """The repository's files that match, by path."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(path for path in done.stdout.splitlines() if (ROOT / path).exists())


PAGES = listed("*.md", "*.yaml", "*.yml", "*.toml", "*.tf", "*.sh", ".ci/*", "Makefile", ":!tests", ":!requirements")
DEPLOYED = listed("layers/core/sluice/*.py", "functions/*.py")
CODE = listed("layers/core/sluice/*.py", "functions/*.py", "sluice_tools/*.py", "examples/*.py", "hatch_build.py")


def problems(path: str, kind: Text) -> list[str]:
    """The private words of a file that no exception covers: file, line, word and replacement."""
    text = (ROOT / path).read_text()
    lines = text.splitlines()
    excepted = {(each.line, each.word) for each in EXCEPTIONS if each.file == path}
    return [
        f"{path}, {found}"
        for found in find(text, kind)
        if not any(part in lines[found.line - 1] and found.word == word for part, word in excepted)
    ]


def sentences(path: str) -> Iterator[tuple[int, str]]:
    """The texts of a module that are sentences, by line: of log lines, errors and help, and no docstrings."""
    tree = ast.parse((ROOT / path).read_text())
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [part.value if isinstance(part, ast.Constant) else "{}" for part in parts]
        text = "".join(text for text in texts if isinstance(text, str))
        if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in inner and len(text.split()) > 2:
            yield node.lineno, text


@pytest.mark.slow
def test_pages_when_their_words_are_looked_up() -> None:
    """Only the glossary's words, and those of the field."""
    found = [problem for path in PAGES for problem in problems(path, Text.PAGE)]
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_code_when_its_words_are_looked_up() -> None:
    """Names, docstrings, comments and texts have no private word."""
    found = [problem for path in CODE for problem in problems(path, Text.CODE)]
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_log_lines_errors_and_help_when_their_words_are_looked_up() -> None:
    """Sentences in the code that is deployed, and in the commands, are as plain as the documents are."""
    paths = [path for path in CODE if path.startswith(("layers/", "functions/", "sluice_tools/commands/"))]
    texts = [(path, line, text) for path in paths for line, text in sentences(path)]
    assert len(texts) > 1000
    found = [f"{path}:{line}: {found}" for path, line, text in texts for found in find(text, Text.PAGE)]
    assert not found, "\n".join(found)


def shared_names(modules: Mapping[str, str]) -> dict[str, list[str]]:
    """The names that more than one module gives to a class of its own, with the modules' paths; private ones aside.

    Args:
        modules: the text of each module by its path.
    """
    places: dict[str, list[str]] = {}
    for path, text in modules.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(path)
    return {name: paths for name, paths in places.items() if len(paths) > 1}


def test_classes_when_their_names_are_compared() -> None:
    """One word, one meaning: no two modules of what is deployed have a class of the same name."""
    assert len(DEPLOYED) > 200
    assert shared_names({path: (ROOT / path).read_text() for path in DEPLOYED}) == {}


def test_shared_names_when_two_modules_have_a_class_of_one_name() -> None:
    """It names the class and both modules; a private class, an imported one, and one inside another are none."""
    one = "class Queue:\n    class Empty: ...\nclass _Reader: ...\n"
    other = "from one import Queue\nclass _Reader: ...\nclass Empty: ...\n"
    assert shared_names({"one.py": one, "other.py": other}) == {}
    assert shared_names({"one.py": one, "other.py": "class Queue: ...\n"}) == {"Queue": ["one.py", "other.py"]}


def test_files_when_listed() -> None:
    """Documents, templates and modules are among them, wherever they are."""
    assert {"README.md", "docs/planner.md", "docs/adr/README.md", "template.yaml", "fleet.yaml"} <= set(PAGES)
    assert {"layers/core/sluice/planning/planner.py", "functions/planner/app.py", "sluice_tools/demo/acts.py"} <= set(
        CODE
    )
    assert {"examples/consumer/sluice_consumer.py", "examples/orders/orders/consumer.py"} <= set(CODE)


@pytest.mark.parametrize("each", EXCEPTIONS, ids=lambda each: f"{each.file}-{each.word}")
def test_exception_when_its_place_is_read(each: Excepted) -> None:
    """The place is there once, still has the word, and has a reason; an exception that nothing needs fails."""
    lines = (ROOT / each.file).read_text().splitlines()
    assert [each.line in line for line in lines].count(True) == 1
    place = next(line for line in lines if each.line in line)
    assert each.word in place.lower().replace("_", " ")
    assert len(each.reason) > 10


def test_private_words_when_they_are_listed() -> None:
    """Each has a replacement, and is used in some kind of text."""
    for private in PRIVATE:
        assert private.instead, private
        assert private.used_in, private
        assert private.word == private.word.lower()


def test_find_when_a_word_is_used() -> None:
    """It names line, word and replacement; a longer word, a name with underscores, or another kind of text is none."""
    (found,) = find("Fine.\nThe fleet will grow.\n", Text.PAGE)
    assert str(found) == "line 2: 'grow' is a private word; write: scale out"
    assert list(find("growl, shrink_window_s, personal", Text.PAGE)) == []
    assert list(find("in this case", Text.PAGE)) == []
    assert [each.word for each in find("in this case", Text.DECISION)] == ["case"]


def test_find_when_a_phrase_is_broken_over_two_lines() -> None:
    """Also in a comment, whose second line begins with its mark."""
    assert [each.line for each in find("It was looked\nat.\n# and is kept\n# back", Text.PAGE)] == [3, 1]
