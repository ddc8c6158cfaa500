"""The fields of the ledger's records are on record themselves, so that none goes or is renamed without a migration.

tests/unit/records/fields.json has the fields of each form's version. A field that is new is added there. For one that
is gone or has another name: a migration (`sluice.aws.ledger.migrations`), a test of it with a record of the version
before, and then the fields of the new version.
"""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from sluice.aws.ledger import records
from sluice.aws.ledger.forms import Form, ItemForm

ON_RECORD = json.loads((Path(__file__).parent / "records" / "fields.json").read_text(encoding="utf-8"))
FORMS = {form.name: form for form in vars(records).values() if isinstance(form, Form | ItemForm)}


def fields_of(kind: Any, before: str = "") -> Iterator[str]:
    """The fields of a dataclass and of those that it holds, such as `launches.to_service.mean`."""
    if not is_dataclass(kind):
        for each in get_args(kind):
            yield from fields_of(each, before)
        return
    hints = get_type_hints(kind)
    for field in fields(kind):
        inner = sorted(set(fields_of(hints[field.name], f"{before}{field.name}.")))
        yield from inner or (f"{before}{field.name}",)


def kept(form: Form[Any] | ItemForm) -> list[str]:
    """The fields or attributes that a form keeps."""
    names = form.attributes if isinstance(form, ItemForm) else fields_of(form.kind)
    left_out = form.not_kept if isinstance(form, Form) else frozenset()
    return sorted({name for name in names if name.partition(".")[0] not in left_out})


def test_forms_when_they_are_counted() -> None:
    """Each has its fields on record."""
    assert FORMS.keys() == ON_RECORD.keys()


@pytest.mark.parametrize("name", FORMS)
def test_fields_when_they_are_held_to_those_on_record(name: str) -> None:
    """No field of this version is gone, and none is new without being on record."""
    form, on_record = FORMS[name], ON_RECORD[name]
    assert form.version == on_record["version"], "write down the fields of the new version"
    assert set(on_record["fields"]) - set(kept(form)) == set(), "gone or renamed: it takes a migration"
    assert set(kept(form)) - set(on_record["fields"]) == set(), "new: add it to tests/unit/records/fields.json"
