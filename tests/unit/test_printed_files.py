"""A document that prints a file prints all of it, as it is."""

import pytest

from sluice_tools.sandbox.sandbox import ROOT
from tests.support.consumers_page import PAGE, consumer_commands
from tests.support.pasted import documents
from tests.support.printed_files import printed_files

PRINTED = [(document, path) for document in documents() for path in printed_files(document)]


@pytest.mark.parametrize(("document", "path"), PRINTED, ids=lambda one: str(one).removeprefix(f"{ROOT}/"))
def test_file_is_printed_as_it_is(document, path):
    """The block after the comment that names the file is the file."""
    assert printed_files(document)[path] == (ROOT / path).read_text()


def test_consumers_page_is_read_when_its_parts_are_looked_for():
    """Its files and commands are found, so that the tests of them have something to test."""
    languages = {f"examples/languages/{name}" for name in ("consumer.mjs", "consumer.go", "Consumer.java")}
    assert languages | {"examples/workers/worker.service"} == set(printed_files(PAGE))
    assert set(consumer_commands()) == {"celery", "dramatiq"}
