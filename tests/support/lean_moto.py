"""moto without what costs most of its time: images that no test uses, names of methods, copies of whole tables.

- For each account in EC2 moto makes 1,300 images with a volume and a snapshot each. Here it makes the one of
  `amis.json`, which the tests' launch templates name (https://docs.getmoto.org/en/latest/docs/services/ec2.html).
- For each call moto lists the methods of the class that answers, and spells names as Python does, letter by letter.
  Both are done once for each.
- moto copies a table with every value in it, once for each action of a transaction, only to have it back where the
  transaction fails. Here the copy shares the items with the table. That is safe since an update, the only thing that
  changes an item in place, changes a copy then.
"""

from __future__ import annotations

import copy
import functools
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from moto.core import responses, utils
from moto.core.utils import method_names_from_class
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table


def _copied(table: Table, _memo: dict[int, Any]) -> Table:
    """A table that is as this one is now, whatever becomes of this one."""
    made = copy.copy(table)
    made.items = (
        defaultdict(dict, {key: dict(items) for key, items in table.items.items()})
        if table.has_range_key
        else copy.copy(table.items)
    )
    return made


_update_item = DynamoDBBackend.update_item


def _update_a_copy(self: DynamoDBBackend, table_name: str, key: dict[str, Any], *rest: Any, **named: Any) -> Any:
    """`update_item`, of a copy that takes the item's place first."""
    table = self.get_table(table_name)
    hash_key, range_key = self.get_keys_value(table, key)
    if (item := table.get_item(hash_key, range_key)) is not None:
        own = copy.deepcopy(item)
        if table.has_range_key:
            table.items[hash_key][range_key] = own
        else:
            table.items[hash_key] = own  # type: ignore[assignment] # moto writes so itself
    return _update_item(self, table_name, key, *rest, **named)


def use() -> None:
    """From now on, in this process, which has not imported moto's EC2 yet."""
    os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).with_name("amis.json"))
    setattr(responses, "method_names_from_class", functools.cache(method_names_from_class))  # noqa: B010
    spelled = functools.cache(utils.camelcase_to_underscores)
    for module in (utils, responses):
        setattr(module, "camelcase_to_underscores", spelled)  # noqa: B010
    setattr(Table, "__deepcopy__", _copied)  # noqa: B010 - mypy knows of no such method
    setattr(DynamoDBBackend, "update_item", _update_a_copy)  # noqa: B010 - nor that one may be replaced
