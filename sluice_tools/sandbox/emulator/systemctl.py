"""``systemctl`` for scripts on the sandbox's machines: asks the emulator to act on the machine's units.

Started by the shim that Run Command puts on a script's path: endpoint, instance id, then systemctl's own arguments.
"""

from __future__ import annotations

import json
import sys
import urllib.request


def main() -> int:
    """Ask, print what systemctl would print, and exit as it would."""
    endpoint, instance_id, *arguments = sys.argv[1:]
    request = urllib.request.Request(  # noqa: S310 - the emulator's own address
        f"{endpoint}/_sandbox/instances/{instance_id}/systemctl",
        data=json.dumps({"arguments": arguments}).encode(),
        method="POST",
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - as above; stopping takes as long as it takes
        done = json.load(answer)
    if done.get("text"):
        sys.stdout.write(done["text"] + "\n")
    if done.get("error"):
        sys.stderr.write(done["error"] + "\n")
    return int(done["exit_code"])


if __name__ == "__main__":
    sys.exit(main())
